//! The task of a stream that commits: it owns what waits, so time runs also while nothing is pushed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use atio_core::format::Version;
use atio_core::log::{Advance, Committed, Snapshot, Table};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::utils::memory::RecordBatchMemoryCounter;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::feed::{Feed, in_memory};
use super::planned::Planned;
use super::stream_options::StreamOptions;
use super::target::WriteTarget;
use super::version_writer::VersionWriter;
use super::writing::Writing;
use crate::error::{self, Error, ErrorKind, Result};

#[derive(Debug)]
pub(super) enum Command {
    Push(RecordBatch, u64),
    Commit(oneshot::Sender<()>),
}

/// What the task that commits says.
#[derive(Debug)]
pub(super) struct Shared(Mutex<Said>);

#[derive(Debug)]
pub(super) struct Said {
    pub(super) committed: Option<u64>,
    /// Taken by the first who asks.
    pub(super) failed: Option<Error>,
    pub(super) told: bool,
}

impl Shared {
    /// Nothing has failed, and what is committed is `committed`.
    pub(super) fn new(committed: Option<u64>) -> Self {
        Self(Mutex::new(Said {
            committed,
            failed: None,
            told: false,
        }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Batches that are not committed.
#[derive(Debug, Default)]
struct Waiting {
    batches: Vec<RecordBatch>,
    rows: u64,
    memory: RecordBatchMemoryCounter,
    /// When the oldest must be committed.
    due: Option<Instant>,
}

impl Waiting {
    fn bytes(&self) -> u64 {
        self.memory.memory_usage() as u64
    }
}

/// Owns what waits, in a task of its own.
pub(super) struct Committer {
    table: Arc<Table>,
    base: Arc<Snapshot>,
    /// The version that was committed on the base.
    last: Option<Version>,
    context: Arc<TaskContext>,
    /// Set where its commits have checks.
    planned: Option<Planned>,
    options: StreamOptions,
    waiting: Waiting,
    /// The position behind what waits, and behind what is committed.
    reached: Option<u64>,
    committed: Option<u64>,
}

impl Committer {
    /// Commits on `base`, which has the rows of the source up to `position`.
    pub(super) fn new(
        table: &Arc<Table>,
        base: Arc<Snapshot>,
        (context, planned): (Arc<TaskContext>, Option<Planned>),
        options: StreamOptions,
        position: Option<u64>,
    ) -> Self {
        Self {
            table: Arc::clone(table),
            base,
            last: None,
            context,
            planned,
            options,
            waiting: Waiting::default(),
            reached: position,
            committed: position,
        }
    }

    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Command>, shared: Arc<Shared>) {
        loop {
            let next = match self.waiting.due {
                Some(due) => tokio::time::timeout_at(due, queue.recv()).await,
                None => Ok(queue.recv().await),
            };
            let (done, reply) = match next {
                Ok(None) => return,
                Ok(Some(Command::Push(batch, position))) => {
                    (self.push(batch, position).await, None)
                }
                Ok(Some(Command::Commit(reply))) => (self.commit().await, Some(reply)),
                Err(_) => (self.commit().await, None),
            };
            let mut said = shared.lock();
            said.committed = self.committed;
            if let Err(error) = done {
                // Before anybody can learn of the error: what is pushed then would be lost.
                queue.close();
                said.failed = Some(self.failed(error));
                return;
            }
            if let Some(reply) = reply {
                // Nobody waits any more: it is committed all the same.
                reply.send(()).ok();
            }
        }
    }

    async fn push(&mut self, batch: RecordBatch, position: u64) -> Result<()> {
        let before = self.waiting.bytes();
        self.waiting.memory.count_batch(&batch);
        if before > 0 && self.waiting.bytes() > self.options.commit_bytes {
            self.commit().await?;
            self.waiting.memory.count_batch(&batch);
        }
        let StreamOptions {
            source,
            commit_rows,
            commit_bytes,
            commit_every,
            ..
        } = &self.options;
        let now = Instant::now();
        let due = commit_every.and_then(|every| now.checked_add(every));
        self.waiting.due = self.waiting.due.or(due);
        self.waiting.rows += batch.num_rows() as u64;
        if batch.num_rows() > 0 {
            self.waiting.batches.push(batch);
        }
        self.reached = source.is_some().then_some(position);
        match self.waiting.rows >= *commit_rows || self.waiting.bytes() >= *commit_bytes {
            true => self.commit().await,
            false => Ok(()),
        }
    }

    /// Commits what waits, if anything does.
    async fn commit(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.rows == 0 && self.reached == self.committed {
            return Ok(());
        }
        if let Some(version) = self.last.take() {
            self.base = self.table.go_on(&self.base, version).await?;
        }
        let committed = self.append(waiting).await;
        let name = self.table.name();
        let what = format!("cannot write to '{name}'");
        let committed = committed.map_err(|error| error::from_datafusion(&what, error))?;
        let (Committed::As(version) | Committed::Before(version)) = committed;
        self.last = Some(version);
        self.committed = self.reached;
        Ok(())
    }

    async fn append(&self, waiting: Waiting) -> datafusion::error::Result<Committed> {
        let base = &self.base;
        let target = WriteTarget::appending(&self.table, Arc::clone(base), Some(waiting.rows))?;
        let writer = VersionWriter::new(WriteTarget {
            planned: self.planned.clone(),
            ..target
        })?;
        let rows = in_memory(&base.arrow, waiting.batches);
        let mut feed = Feed::new(&base.arrow, rows, None);
        let metrics = ExecutionPlanMetricsSet::new();
        let name = self.table.name();
        let writing = Writing::begin(&self.context, name, Some(waiting.rows), &metrics);
        let writing = Arc::new(writing);
        let staged = writer.stage(base, &mut feed, &writing).await?;
        let source = self.options.source.clone();
        let advance = source.zip(self.reached);
        let advance = advance.map(|(source, to)| Advance::stream(source, self.committed, to));
        writer
            .commit(staged, advance, self.options.of_commit(), &writing)
            .await
    }

    /// The error of a stream that stops, and what is committed.
    fn failed(&self, error: Error) -> Error {
        let unknown = matches!(
            error.kind(),
            ErrorKind::CommitUnknown | ErrorKind::CommitNotDurable
        );
        let said = match (&self.options.source, unknown) {
            (None, true) => "what its last commit held is there as a whole or not at all, which the table tells, and what was pushed after that is not: open it again, and push what is missing".to_owned(),
            (None, false) => "what was pushed after its last commit is not committed: open it again, and push it again".to_owned(),
            (Some(source), _) => {
                let source = source.escape_debug();
                let (there, pushed) = match self.committed {
                    None => (
                        format!("nothing of '{source}' is committed"),
                        "what was pushed",
                    ),
                    Some(position) => (
                        format!("'{source}' is committed up to position {position}"),
                        "what was pushed behind it",
                    ),
                };
                match unknown {
                    true => format!("{there}, and perhaps the next commit is, as a whole: open it again, and go on behind its position"),
                    false => format!("{there}, and {pushed} is not: open it again, and go on behind its position"),
                }
            }
        };
        error.context(format!(
            "the stream into '{}' stopped; {said}",
            self.table.name()
        ))
    }
}
