//! Rows that arrive one batch after another: committed by number, size and time, and of a
//! source that is told apart each once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use atio_core::format::Version;
use atio_core::log::{Advance, Committed, Snapshot, Table, check_position};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::SchemaExt;
use datafusion::common::utils::memory::RecordBatchMemoryCounter;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::feed::{Feed, in_memory, of_table};
use super::stream_options::StreamOptions;
use super::target::Target;
use super::version_writer::VersionWriter;
use super::writing::Writing;
use crate::error::{self, Error, ErrorKind, Result};

/// How many batches wait while others are committed.
const WAITING: usize = 1;

/// Writes rows that arrive one batch after another into a table.
///
/// It commits by itself, as its [options](StreamOptions) say, also while nothing is pushed. A
/// commit is one version: its rows are there with the position of the source, or neither is. So
/// whoever starts again, even after a `kill -9`, asks for the [`position`](Self::position) and
/// goes on behind it. If two writers write one source, one of them fails with
/// [`Conflict`](crate::ErrorKind::Conflict) at its next commit.
///
/// Dropping it without [`close`](Self::close) gives up what was not committed; a commit that is
/// under way may still take effect, as a whole.
///
/// ```
/// use std::sync::Arc;
/// use atio::{StreamOptions, StreamWriter};
/// use datafusion::arrow::array::{Int64Array, RecordBatch};
/// use datafusion::prelude::SessionContext;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let location = directory.path().display();
/// let ctx = SessionContext::new();
/// atio::register(&ctx)?;
/// ctx.sql(&format!("CREATE EXTERNAL TABLE sensors (value BIGINT) STORED AS ATIO LOCATION '{location}/sensors'")).await?;
///
/// let options = StreamOptions { source: Some("sensor-7".into()), ..Default::default() };
/// let mut writer = StreamWriter::open(&ctx, "sensors", options).await?;
/// let begin = writer.position().map_or(0, |position| position + 1);
/// for position in begin..begin + 3 {
///     let values = Arc::new(Int64Array::from(vec![position as i64]));
///     let batch = RecordBatch::try_from_iter([("value", values as _)])?;
///     writer.push(batch, position).await?;
/// }
/// writer.close().await?;
///
/// assert_eq!(ctx.sql("SELECT * FROM sensors").await?.count().await?, 3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct StreamWriter {
    table: Arc<Table>,
    schema: SchemaRef,
    has_source: bool,
    pushed: Option<u64>,
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl StreamWriter {
    /// Opens `table`; see [`open`](Self::open).
    pub(crate) async fn of_table(
        table: &Arc<Table>,
        options: StreamOptions,
        context: Arc<TaskContext>,
    ) -> Result<Self> {
        options.check()?;
        let base = table.newest().await?;
        let position = match &options.source {
            Some(source) => table.stream_position(&base.state, source)?,
            None => None,
        };
        let schema = Arc::clone(&base.arrow);
        let shared = Arc::new(Shared(Mutex::new(Said {
            committed: position,
            failed: None,
            told: false,
        })));
        let has_source = options.source.is_some();
        let (commands, queue) = mpsc::channel(WAITING);
        let committer = Committer {
            table: Arc::clone(table),
            base,
            last: None,
            context,
            options,
            waiting: Waiting::default(),
            reached: position,
            committed: position,
        };
        let task = tokio::spawn(committer.run(queue, Arc::clone(&shared)));
        Ok(Self {
            table: Arc::clone(table),
            schema,
            has_source,
            pushed: position,
            commands,
            shared,
            task,
        })
    }

    /// The position behind the rows of the source that are committed; None if none are, or if
    /// the source has no name.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # use atio::{AtioTable, CreateOptions, StreamOptions, StreamWriter};
    /// # use arrow::array::{Int64Array, RecordBatch};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sensors = directory.path().join("sensors");
    /// # let location = sensors.to_str().unwrap_or_default();
    /// # let ctx = SessionContext::new();
    /// # let values = std::sync::Arc::new(Int64Array::from(vec![1]));
    /// # let batch = RecordBatch::try_from_iter([("value", values as _)])?;
    /// # AtioTable::create(&ctx, location, &batch.schema(), CreateOptions::default()).await?;
    /// # let options = StreamOptions { source: Some("sensor-7".into()), ..StreamOptions::default() };
    /// # let mut writer = StreamWriter::open(&ctx, location, options).await?;
    /// writer.push(batch, 12).await?;
    /// writer.commit().await?;
    /// assert_eq!(writer.position(), Some(12));
    /// # Ok(())
    /// # }
    /// ```
    pub fn position(&self) -> Option<u64> {
        self.shared.lock().committed
    }

    /// Adds rows; `position` is where the source is behind them. Without a source it says nothing.
    ///
    /// Waits while a commit is under way and another batch waits already. A batch without rows
    /// moves the position alone.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # use atio::{AtioTable, CreateOptions, StreamOptions, StreamWriter};
    /// # use arrow::array::{Int64Array, RecordBatch};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sensors = directory.path().join("sensors");
    /// # let location = sensors.to_str().unwrap_or_default();
    /// # let ctx = SessionContext::new();
    /// # let values = std::sync::Arc::new(Int64Array::from(vec![1]));
    /// # let batch = RecordBatch::try_from_iter([("value", values as _)])?;
    /// # AtioTable::create(&ctx, location, &batch.schema(), CreateOptions::default()).await?;
    /// # let options = StreamOptions { source: Some("sensor-7".into()), ..StreamOptions::default() };
    /// # let mut writer = StreamWriter::open(&ctx, location, options).await?;
    /// writer.push(batch.clone(), 1).await?;
    /// writer.push(batch.clone(), 2).await?;
    /// assert!(writer.push(batch, 2).await.is_err(), "positions must grow");
    /// writer.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the batch does not fit the table or
    /// the position is not greater than the one before: then nothing was added, and the writer
    /// goes on. Otherwise what a commit failed with: then it has stopped, and says what is
    /// committed.
    pub async fn push(&mut self, batch: RecordBatch, position: u64) -> Result<()> {
        if self.has_source {
            check_position(position)?;
            if let Some(before) = self.pushed.filter(|before| position <= *before) {
                return Err(Error::invalid(format!(
                    "the position {position} is not behind {before}, which was pushed to '{}' before: positions must grow",
                    self.table.name()
                )));
            }
        }
        let unfit = format!("the batch does not fit the table '{}'", self.table.name());
        let batch = self
            .schema
            .logically_equivalent_names_and_types(&batch.schema())
            .and_then(|()| of_table(&self.schema, &batch))
            .map_err(|error| Error::invalid(unfit).with_source(error))?;
        let rows = Command::Push(batch, position);
        if self.commands.send(rows).await.is_err() {
            return Err(self.stopped());
        }
        if self.has_source {
            self.pushed = Some(position);
        }
        Ok(())
    }

    /// Commits what was pushed, and waits until that is done.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # use atio::{AtioTable, CreateOptions, StreamOptions, StreamWriter};
    /// # use arrow::array::{Int64Array, RecordBatch};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sensors = directory.path().join("sensors");
    /// # let location = sensors.to_str().unwrap_or_default();
    /// # let ctx = SessionContext::new();
    /// # let values = std::sync::Arc::new(Int64Array::from(vec![1]));
    /// # let batch = RecordBatch::try_from_iter([("value", values as _)])?;
    /// # AtioTable::create(&ctx, location, &batch.schema(), CreateOptions::default()).await?;
    /// # let options = StreamOptions { source: Some("sensor-7".into()), ..StreamOptions::default() };
    /// # let mut writer = StreamWriter::open(&ctx, location, options).await?;
    /// writer.push(batch, 1).await?;
    /// writer.commit().await?;
    /// assert_eq!(AtioTable::open(&ctx, location).await?.current_version().await?.get(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// What the commit failed with, or one before; the writer has stopped then.
    pub async fn commit(&mut self) -> Result<()> {
        let (reply, done) = oneshot::channel();
        let sent = self.commands.send(Command::Commit(reply)).await;
        // What was not sent holds the reply, and nobody would give it.
        if sent.is_err() {
            return Err(self.stopped());
        }
        done.await.map_err(|_| self.stopped())
    }

    /// Waits until it has stopped because a commit failed, which the next call tells of. It may
    /// be given up at any time.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # use atio::{AtioTable, CreateOptions, StreamOptions, StreamWriter};
    /// # use arrow::array::{Int64Array, RecordBatch};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sensors = directory.path().join("sensors");
    /// # let location = sensors.to_str().unwrap_or_default();
    /// # let ctx = SessionContext::new();
    /// # let values = std::sync::Arc::new(Int64Array::from(vec![1]));
    /// # let batch = RecordBatch::try_from_iter([("value", values as _)])?;
    /// # AtioTable::create(&ctx, location, &batch.schema(), CreateOptions::default()).await?;
    /// # let options = StreamOptions { source: Some("sensor-7".into()), ..StreamOptions::default() };
    /// # let mut writer = StreamWriter::open(&ctx, location, options).await?;
    ///     ///
    /// // Beside waiting for rows; here none come, and nothing fails.
    /// let waited = tokio::time::timeout(Duration::from_millis(1), writer.until_stopped()).await;
    /// assert!(waited.is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn until_stopped(&self) {
        self.commands.closed().await;
    }

    /// Commits what was pushed, and ends.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # use atio::{AtioTable, CreateOptions, StreamOptions, StreamWriter};
    /// # use arrow::array::{Int64Array, RecordBatch};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sensors = directory.path().join("sensors");
    /// # let location = sensors.to_str().unwrap_or_default();
    /// # let ctx = SessionContext::new();
    /// # let values = std::sync::Arc::new(Int64Array::from(vec![1]));
    /// # let batch = RecordBatch::try_from_iter([("value", values as _)])?;
    /// # AtioTable::create(&ctx, location, &batch.schema(), CreateOptions::default()).await?;
    /// # let options = StreamOptions { source: Some("sensor-7".into()), ..StreamOptions::default() };
    /// # let mut writer = StreamWriter::open(&ctx, location, options).await?;
    /// writer.push(batch, 1).await?;
    /// writer.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    pub async fn close(mut self) -> Result<()> {
        self.commit().await?;
        self.table.flush().await;
        Ok(())
    }

    /// Why nothing more is taken.
    fn stopped(&self) -> Error {
        let mut said = self.shared.lock();
        if let Some(error) = said.failed.take() {
            said.told = true;
            return error;
        }
        let name = self.table.name();
        match said.told {
            true => Error::invalid(format!(
                "the stream into '{name}' has stopped, as an earlier error says: open it again"
            )),
            // By a panic, or by the end of its runtime.
            false => Error::new(
                ErrorKind::CommitUnknown,
                format!(
                    "the stream into '{name}' was cut off; what was pushed last is committed as a whole or not at all: open it again, and ask for its position"
                ),
            ),
        }
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        // A commit that has begun ends by itself.
        self.task.abort();
    }
}

#[derive(Debug)]
enum Command {
    Push(RecordBatch, u64),
    Commit(oneshot::Sender<()>),
}

/// What the task that commits says.
#[derive(Debug)]
struct Shared(Mutex<Said>);

#[derive(Debug)]
struct Said {
    committed: Option<u64>,
    /// Taken by the first who asks.
    failed: Option<Error>,
    told: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Said> {
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
struct Committer {
    table: Arc<Table>,
    base: Arc<Snapshot>,
    /// The version that was committed on the base.
    last: Option<Version>,
    context: Arc<TaskContext>,
    options: StreamOptions,
    waiting: Waiting,
    /// The position behind what waits, and behind what is committed.
    reached: Option<u64>,
    committed: Option<u64>,
}

impl Committer {
    async fn run(mut self, mut queue: mpsc::Receiver<Command>, shared: Arc<Shared>) {
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
        let target = Target::appending(&self.table, Arc::clone(base), Some(waiting.rows))?;
        let writer = VersionWriter::new(target)?;
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
