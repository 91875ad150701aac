//! The pointer and the marker of a version, and when they are written.
//!
//! On a local disk that takes microseconds and happens before the answer. On a store it takes a
//! request, so it follows the answer: one at a time for each table, and always the newest.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::path::Path;
use tokio::runtime::{Handle, RuntimeFlavor};
use uuid::Uuid;

use crate::error::Result;
use crate::format::{CommitRecord, Operation, Version, layout, pointer};
use crate::lock::lock;
use crate::storage::Output;

/// The announcers of this process, each with its table.
static ANNOUNCERS: Mutex<Vec<OfTable>> = Mutex::new(Vec::new());

struct OfTable {
    store: Weak<dyn ObjectStore>,
    root: Path,
    announcer: Weak<Announcer>,
}

/// How long hints wait for those that are under way: the runtime that writes them may have stopped.
const PATIENCE: Duration = Duration::from_secs(15);
/// Every so many versions the hints do not follow the answer: a process that ends at once would
/// never write any, and others need requests to find what no pointer tells them.
const BEFORE_THE_ANSWER: u64 = 16;

/// Writes the hints of all versions that this process has committed.
///
/// On object stores they follow the answer of a commit, where the runtime has threads of its own.
/// Whoever ends the process before that loses no row: others need some requests more to find the
/// newest version. Waits for each table at most 15 seconds, and as long as its store takes to answer.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// // At the end of a program.
/// atio_core::log::flush().await;
/// # }
/// ```
pub async fn flush() {
    let announcers: Vec<_> = lock(&ANNOUNCERS)
        .iter()
        .filter_map(|known| known.announcer.upgrade())
        .collect();
    for announcer in announcers {
        announcer.flush().await;
    }
}

/// Pointer and marker of one version.
pub(super) struct Hints {
    table: Uuid,
    version: Version,
    output: Output,
    objects: [(&'static str, Bytes); 2],
    /// They are safe from a power failure: others go by them.
    durable: bool,
}

impl Hints {
    pub(super) fn of(output: &Output, record: &CommitRecord) -> Result<Self> {
        let version = record.version_id;
        let pointer = pointer::pointer(version, record.table)?;
        let success = pointer::success(version, record.txn, record.committed_at_us)?;
        Ok(Self {
            table: record.table,
            version,
            output: output.clone(),
            objects: [
                (layout::POINTER, pointer.into()),
                (layout::SUCCESS, success.into()),
            ],
            durable: matches!(
                record.operation,
                Operation::Create | Operation::Expire | Operation::Repair
            ),
        })
    }

    /// True if whoever commits waits for them.
    pub(super) fn waits(&self) -> bool {
        // A runtime of one thread stands still as soon as it has the answer.
        let goes_on = Handle::try_current()
            .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
        self.durable || self.version.get().is_multiple_of(BEFORE_THE_ANSWER) || !goes_on
    }

    pub(super) async fn write(self) {
        let Self {
            version,
            output,
            objects: [pointer, marker],
            durable,
            ..
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

/// Writes the hints of one table on a store.
#[derive(Default)]
pub(in crate::log) struct Announcer {
    due: Mutex<Due>,
    /// What was written last; held while something is.
    written: tokio::sync::Mutex<Option<(Uuid, Version)>>,
}

#[derive(Default)]
struct Due {
    hints: Option<Hints>,
    /// A task is going to write them.
    has_task: bool,
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
        announcers.push(OfTable {
            store: Arc::downgrade(store),
            root: root.clone(),
            announcer: Arc::downgrade(&announcer),
        });
        announcer
    }

    /// Has them written by a task. Older ones that are still due are of no use any more.
    pub(super) fn later(self: &Arc<Self>, hints: Hints) {
        let mut due = lock(&self.due);
        let newer = due
            .hints
            .as_ref()
            .is_none_or(|other| other.table != hints.table || other.version < hints.version);
        if newer {
            due.hints = Some(hints);
        }
        let has_task = std::mem::replace(&mut due.has_task, true);
        // A runtime that is shutting down drops the task at once.
        drop(due);
        if !has_task {
            let task = Task(Arc::clone(self));
            tokio::spawn(async move { while task.0.write_due().await {} });
        }
    }

    /// Writes what is due; false if nothing is, and the task has ended.
    async fn write_due(&self) -> bool {
        let mut written = self.written.lock().await;
        match self.take(false) {
            Some(hints) => {
                write_newer(&mut written, hints).await;
                true
            }
            None => false,
        }
    }

    fn take(&self, keep_task: bool) -> Option<Hints> {
        let mut due = lock(&self.due);
        let hints = due.hints.take();
        due.has_task &= keep_task || hints.is_some();
        hints
    }

    /// Writes them at once.
    pub(super) async fn now(&self, hints: Hints) {
        match tokio::time::timeout(PATIENCE, self.written.lock()).await {
            Ok(mut written) => write_newer(&mut written, hints).await,
            Err(_) => hints.write().await,
        }
    }

    /// Writes what is due, after what is under way.
    pub(in crate::log) async fn flush(&self) {
        if let Ok(mut written) = tokio::time::timeout(PATIENCE, self.written.lock()).await
            && let Some(hints) = self.take(true)
        {
            write_newer(&mut written, hints).await;
        }
    }
}

async fn write_newer(written: &mut Option<(Uuid, Version)>, hints: Hints) {
    let this = (hints.table, hints.version);
    if written.is_none_or(|(table, version)| table != this.0 || version < this.1) {
        hints.write().await;
        *written = Some(this);
    }
}

/// What is due is left to the next one if a runtime ends before its task.
struct Task(Arc<Announcer>);

impl Drop for Task {
    fn drop(&mut self) {
        lock(&self.0.due).has_task = false;
    }
}
