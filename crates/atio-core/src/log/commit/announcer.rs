//! The pointer and the marker of a version, and when they are written.
//!
//! On a local disk that takes microseconds and happens before the answer. On a store it takes a
//! request, so it follows the answer: one at a time for each table, and always the newest.

use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::path::Path;
use tokio::sync::Notify;

use crate::error::Result;
use crate::format::{CommitRecord, Operation, Version, layout, pointer};
use crate::lock::lock;
use crate::storage::Output;

/// The announcers of this process, each with its table.
static ANNOUNCERS: Mutex<Vec<Known>> = Mutex::new(Vec::new());

struct Known {
    store: Weak<dyn ObjectStore>,
    root: Path,
    announcer: Weak<Announcer>,
}

/// Waits until the hints are written of all versions that this process has committed.
///
/// On object stores they follow the answer of a commit. Whoever ends the process before that loses
/// no row: others need a request or two more to find the newest version.
pub async fn flush() {
    let announcers: Vec<_> = lock(&ANNOUNCERS)
        .iter()
        .filter_map(|known| known.announcer.upgrade())
        .collect();
    for announcer in announcers {
        announcer.idle().await;
    }
}

/// Pointer and marker of one version.
pub(super) struct Hints {
    version: Version,
    output: Output,
    objects: [(&'static str, Bytes); 2],
    /// Others go by the pointer: it is safe from a power failure, and there before the answer.
    durable: bool,
}

impl Hints {
    pub(super) fn of(output: &Output, record: &CommitRecord) -> Result<Self> {
        let version = record.version_id;
        let pointer = pointer::pointer(version, record.table)?;
        let success = pointer::success(version, record.txn, record.committed_at_us)?;
        Ok(Self {
            version,
            output: output.clone(),
            objects: [
                (layout::POINTER, pointer.into()),
                (layout::SUCCESS, success.into()),
            ],
            durable: matches!(record.operation, Operation::Create | Operation::Expire),
        })
    }

    /// True if whoever commits waits for it.
    pub(super) fn waits(&self) -> bool {
        self.durable
    }

    pub(super) async fn write(self) {
        let Self {
            version,
            output,
            objects: [pointer, marker],
            durable,
        } = self;
        let output = &output;
        let write = |(name, bytes)| async move {
            if let Err(error) = output.replace(name, bytes, durable).await {
                ::log::warn!(
                    "version {version} is committed, but {name} could not be written: {error}"
                );
            }
        };
        futures::join!(write(pointer), write(marker));
    }
}

/// Writes the hints of one table on a store behind the answers.
#[derive(Default)]
pub(in crate::log) struct Announcer {
    due: Mutex<Due>,
    idle: Notify,
}

#[derive(Default)]
struct Due {
    hints: Option<Hints>,
    /// A task is at it, which looks for more when it is done.
    writing: bool,
}

impl Announcer {
    /// The one of the table at `root`, which all handles of this process share.
    pub(in crate::log) fn of(store: &Arc<dyn ObjectStore>, root: &Path) -> Arc<Self> {
        let mut announcers = lock(&ANNOUNCERS);
        announcers
            .retain(|known| known.store.strong_count() > 0 && known.announcer.strong_count() > 0);
        let known = announcers.iter().find(|known| {
            known.root == *root && std::ptr::addr_eq(known.store.as_ptr(), Arc::as_ptr(store))
        });
        if let Some(known) = known.and_then(|known| known.announcer.upgrade()) {
            return known;
        }
        let announcer = Arc::new(Self::default());
        announcers.push(Known {
            store: Arc::downgrade(store),
            root: root.clone(),
            announcer: Arc::downgrade(&announcer),
        });
        announcer
    }

    pub(super) fn later(self: &Arc<Self>, hints: Hints) {
        let mut due = lock(&self.due);
        if due
            .hints
            .as_ref()
            .is_none_or(|other| other.version < hints.version)
        {
            due.hints = Some(hints);
        }
        if !std::mem::replace(&mut due.writing, true) {
            let mut writing = Writing {
                announcer: Arc::clone(self),
                ended: false,
            };
            tokio::spawn(async move {
                while let Some(hints) = writing.next() {
                    hints.write().await;
                }
            });
        }
    }

    /// Writes them at once; what is under way must not come after them.
    pub(super) async fn now(&self, hints: Hints) {
        self.idle().await;
        hints.write().await;
    }

    pub(in crate::log) async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if !lock(&self.due).writing {
                return;
            }
            idle.await;
        }
    }
}

/// The task that writes; if its runtime ends before it, nobody waits for it.
struct Writing {
    announcer: Arc<Announcer>,
    /// It found nothing more to do; another may have begun since.
    ended: bool,
}

impl Writing {
    fn next(&mut self) -> Option<Hints> {
        let mut due = lock(&self.announcer.due);
        let hints = due.hints.take();
        due.writing = hints.is_some();
        self.ended = hints.is_none();
        hints
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.ended {
            *lock(&self.announcer.due) = Due::default();
        }
        self.announcer.idle.notify_waiters();
    }
}
