//! Rows that arrive one batch after another: committed by number, size and time, and of a
//! source that is told apart each once.

use std::sync::Arc;

use atio_core::log::{Table, check_position};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::SchemaExt;
use datafusion::execution::TaskContext;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::checks::Checks;
use super::committer::{Command, Committer, Shared};
use super::feed::of_table;
use super::planned::Planned;
use super::stream_options::StreamOptions;
use crate::error::{Error, ErrorKind, Result};

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
        planned: Option<Planned>,
    ) -> Result<Self> {
        options.check()?;
        let base = table.newest().await?;
        if let Some(planned) = &planned {
            let checks = Checks::of_planned(table, planned, &options.of_commit());
            checks.prepare(&base).await?;
        }
        let position = match &options.source {
            Some(source) => table.stream_position(&base.state, source)?,
            None => None,
        };
        let schema = Arc::clone(&base.arrow);
        let has_source = options.source.is_some();
        let shared = Arc::new(Shared::new(position));
        let (commands, queue) = mpsc::channel(WAITING);
        let committer = Committer::new(table, base, (context, planned), options, position);
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
    /// use std::time::Duration;
    ///
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
        // A commit that has begun ends by itself, unless a check is being asked.
        self.task.abort();
    }
}
