//! Faults of a server, scripted: for which request, what is done, and what is answered.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::{Response, StatusCode};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::request::{Kind, Request};

/// What the server does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Apply {
    Once,
    Never,
    /// As if the network had delivered it again; the answer is that to the second.
    Twice,
    /// After the answer, which cannot be the true one then.
    After(Duration),
    /// The same, once the test lets it through.
    Held,
}

/// What the client gets to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    True,
    /// The true answer, once the test lets it through.
    Late,
    /// The connection ends before an answer.
    Close,
    /// The connection is reset before an answer.
    Reset,
    /// Nothing at all, until the client gives up.
    Silence,
    /// This status, with the code that stores put into the body.
    Status(u16, &'static str),
    /// The true answer, but the connection ends after so many bytes of its body.
    Cut(usize),
    /// The true answer without the last bytes of its body, as if it were whole.
    Short(usize),
}

/// The requests it is for, and what becomes of them.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    kinds: Vec<Kind>,
    key: String,
    from: usize,
    count: usize,
    apply: Apply,
    reply: Reply,
}

impl Fault {
    /// For every request of these kinds (any, if there is none) whose key contains `key`.
    pub(super) fn on(kinds: &[Kind], key: &str) -> Self {
        Self {
            kinds: kinds.to_vec(),
            key: key.to_owned(),
            from: 1,
            count: usize::MAX,
            apply: Apply::Once,
            reply: Reply::True,
        }
    }

    /// For the `n`-th of them and those after it; the first is 1.
    pub(super) fn from(self, n: usize) -> Self {
        Self { from: n, ..self }
    }

    /// For so many of them.
    pub(super) fn times(self, count: usize) -> Self {
        Self { count, ..self }
    }

    pub(super) fn apply(self, apply: Apply) -> Self {
        Self { apply, ..self }
    }

    pub(super) fn reply(self, reply: Reply) -> Self {
        Self { reply, ..self }
    }
}

/// A request that came in, and what was said.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) kind: Kind,
    pub(super) key: String,
    /// None if there was no answer.
    pub(super) status: Option<u16>,
}

/// The faults to come, and what has happened.
#[derive(Debug)]
pub(super) struct Script {
    faults: Mutex<Vec<(Fault, usize)>>,
    /// How many requests met a fault.
    hits: AtomicUsize,
    seen: Mutex<Vec<Seen>>,
    held: Semaphore,
}

impl Script {
    pub(super) fn new() -> Self {
        Self {
            faults: Mutex::default(),
            hits: AtomicUsize::new(0),
            seen: Mutex::default(),
            held: Semaphore::new(0),
        }
    }

    /// Lets one request through that is held.
    pub(super) fn let_through(&self) {
        self.held.add_permits(1);
    }

    /// Waits until the test lets one through.
    pub(super) async fn hold(&self) {
        self.held.acquire().await.unwrap().forget();
    }

    pub(super) fn add(&self, fault: Fault) {
        self.faults.lock().push((fault, 0));
    }

    pub(super) fn clear(&self) {
        self.faults.lock().clear();
    }

    /// What is to become of `request`; the first fault that is for it decides.
    pub(super) fn next(&self, request: &Request) -> (Apply, Reply) {
        let mut decided = (Apply::Once, Reply::True);
        for (fault, matched) in self.faults.lock().iter_mut() {
            let kind = fault.kinds.is_empty() || fault.kinds.contains(&request.kind);
            if !kind || !request.key.contains(&fault.key) {
                continue;
            }
            *matched += 1;
            let due = *matched >= fault.from && *matched - fault.from < fault.count;
            if due && decided == (Apply::Once, Reply::True) {
                decided = (fault.apply, fault.reply);
            }
        }
        if decided != (Apply::Once, Reply::True) {
            self.hits.fetch_add(1, Ordering::SeqCst);
        }
        decided
    }

    /// How many requests met a fault so far.
    pub(super) fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    pub(super) fn saw(&self, request: &Request, status: Option<StatusCode>) {
        self.seen.lock().push(Seen {
            kind: request.kind,
            key: request.key.clone(),
            status: status.map(|status| status.as_u16()),
        });
    }

    /// Everything that came in, in the order of the answers.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }
}

impl Reply {
    /// The status and body that are sent in place of the true answer, if this is one.
    pub(super) fn status(self) -> Option<Response<Bytes>> {
        let Self::Status(code, name) = self else {
            return None;
        };
        let code = StatusCode::from_u16(code).unwrap();
        Some(super::protocol::error(code, name))
    }
}
