//! One statement under a script of faults, and what must hold after it.

#![cfg(test)]

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use atio::ErrorKind;
use datafusion::object_store::ObjectStore;
use datafusion::object_store::memory::InMemory;

use super::call::{Call, Fault, Operation};
use super::fault_store::FaultStore;
use super::invariants::{Verdict, kind, query, session, sorted, verify, verify_next};
use crate::query::texts;
use crate::session::run;

/// Longer than any pause or deadline of a commit.
const SETTLED: Duration = Duration::from_secs(600);

/// The table as a statement finds or leaves it: None is no table.
pub(super) type Rows = Option<Vec<String>>;

pub(super) fn some(rows: &[i64]) -> Rows {
    let rows: Vec<_> = rows.iter().map(i64::to_string).collect();
    Some(sorted(&rows))
}

/// A statement, and what it does to the table below `root`.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) root: &'static str,
    pub(super) store: InMemory,
    /// Run without faults first, by the same session.
    pub(super) open: Vec<String>,
    pub(super) sql: String,
    pub(super) before: Rows,
    pub(super) after: Rows,
    /// What a crash may leave besides.
    pub(super) between: Option<Rows>,
    /// True if an error may come although the effect is there: the statement can be run
    /// again without harm.
    pub(super) repeatable: bool,
    /// What the statement gives if all goes well; None if nobody looks.
    pub(super) gives: Option<Vec<String>>,
}

/// How a statement ended.
#[derive(Debug)]
pub(super) enum End {
    Done(Vec<String>),
    Failed(Option<ErrorKind>, String),
    Crashed,
}

/// A statement that was run, and the store as it left it.
pub(super) struct Attempt {
    pub(super) end: End,
    pub(super) calls: Vec<Call>,
    pub(super) open_uploads: i64,
    pub(super) objects: Arc<dyn ObjectStore>,
}

/// Runs `future` in a runtime of its own, where waiting takes no time.
pub(super) fn in_runtime<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(future)
}

impl Case {
    /// Runs the statement on a copy of the store with the faults of `script`. What crashes
    /// is gone with its runtime; what does not has all the time to finish.
    pub(super) fn attempt(
        &self,
        script: impl Fn(&Call) -> Fault + Send + Sync + 'static,
    ) -> Attempt {
        let objects: Arc<dyn ObjectStore> = Arc::new(self.store.fork());
        let store = FaultStore::new(Arc::clone(&objects));
        let end = in_runtime(async {
            let ctx = session(Arc::new(store.clone()));
            for sql in &self.open {
                run(&ctx, sql).await.unwrap();
            }
            store.keep_listing().await;
            store.script(script);
            let ended = tokio::select! {
                biased;
                () = store.stopped() => return End::Crashed,
                ended = run(&ctx, &self.sql) => ended,
            };
            tokio::time::sleep(SETTLED).await;
            match ended {
                _ if store.has_stopped() => End::Crashed,
                Ok(batches) => End::Done(texts(&batches)),
                Err(error) => End::Failed(kind(&error), error.strip_backtrace()),
            }
        });
        in_runtime(store.land());
        store.cut_off();
        Attempt {
            end,
            calls: store.calls(),
            open_uploads: store.open_uploads(),
            objects,
        }
    }

    /// Checks what `attempt` left behind, against what it said.
    pub(super) fn verify(&self, attempt: &Attempt) -> Verdict<()> {
        in_runtime(async {
            let rows = verify(&attempt.objects, self.root).await?;
            self.verify_end(attempt, &rows)?;
            verify_next(&attempt.objects, self.root, rows).await
        })
    }

    fn verify_end(&self, attempt: &Attempt, rows: &Rows) -> Verdict<()> {
        let either = *rows == self.before || *rows == self.after;
        let fine = match &attempt.end {
            End::Done(_) => *rows == self.after,
            End::Crashed => either || self.between.as_ref() == Some(rows),
            End::Failed(Some(ErrorKind::CommitUnknown), _) => {
                let deletes = attempt.calls.iter().filter(|call| {
                    call.operation == Operation::Delete && call.key.contains("/data/")
                });
                either && deletes.count() == 0
            }
            End::Failed(..) => *rows == self.before || (self.repeatable && either),
        };
        if let End::Failed(_, said) = &attempt.end
            && said.is_empty()
        {
            return Err("it fails without a word".to_owned());
        }
        if !fine {
            return Err(format!("{:?}, but the rows are {rows:?}", attempt.end));
        }
        let aborts_fail = attempt
            .calls
            .iter()
            .any(|call| call.operation == Operation::Abort && call.fault != Fault::None);
        if attempt.open_uploads != 0 && !matches!(attempt.end, End::Crashed) && !aborts_fail {
            return Err(format!("{} uploads were not aborted", attempt.open_uploads));
        }
        match (&attempt.end, &self.gives) {
            (End::Done(given), Some(gives)) if given != gives => {
                Err(format!("it gives {given:?}, not {gives:?}"))
            }
            _ => Ok(()),
        }
    }
}

/// A store on which `statements` were run one after the other.
pub(super) fn prepared(statements: &[&str]) -> InMemory {
    let shared = Arc::new(InMemory::new());
    in_runtime(async {
        let ctx = session(Arc::clone(&shared) as _);
        for sql in statements {
            query(&ctx, sql).await.unwrap();
        }
    });
    shared.fork()
}
