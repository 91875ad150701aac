//! One INSERT: a version, or one for each chunk of its rows.

use std::sync::Arc;

use atio_core::format::Version;
use atio_core::log::{Advance, CommitOptions, Committed, Position};
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;

use super::feed::{ChunkLimit, Feed};
use super::job::Job;
use super::row_sum::RowSum;
use super::target::WriteTarget;
use super::version_writer::{StagedVersion, VersionWriter};
use super::writing::Writing;
use crate::error::{self, Error, ErrorKind, Result as AtioResult};

/// The property of each version of a load that has a key and several versions: the key.
const LOAD_KEY: &str = "atio.load";
/// The property of each version of a load that has several: its rows so far.
const LOAD_ROWS: &str = "atio.load_rows";

/// What may come before a load that stopped is run again.
const UNLESS: &str = ", unless an INSERT OVERWRITE comes first, which ends it";

/// Fails if `key` is that of a load that has not ended: then it is for the rest of that.
pub(super) fn check_not_begun(target: &WriteTarget, key: &str) -> AtioResult<()> {
    match target.table.load_position(&target.base.state, key)? {
        None => Ok(()),
        Some(position) => Err(Error::invalid(format!(
            "the key '{}' is that of a load into '{}' that stopped at {position}: run the INSERT INTO again to end it, or use another key; nothing was written",
            key.escape_debug(),
            target.table.name()
        ))),
    }
}

/// A load that runs.
pub(super) struct Load {
    writer: Arc<VersionWriter>,
    options: CommitOptions,
    /// How far it came under its key, this time or before.
    position: Option<Position>,
    /// Rows that were committed this time, and the first and last version with them.
    rows: u64,
    versions: Option<(Version, Version)>,
}

impl Load {
    /// The load that `options` describe, where it was left.
    pub(super) fn new(writer: &Arc<VersionWriter>, options: CommitOptions) -> AtioResult<Self> {
        let state = &writer.target.base.state;
        let position = match &options.idempotency_key {
            Some(key) => writer.target.table.load_position(state, key)?,
            None => None,
        };
        Ok(Self {
            writer: Arc::clone(writer),
            options,
            position,
            rows: 0,
            versions: None,
        })
    }

    /// True if its rows are written one after another, by one who can tell where a chunk ends.
    pub(super) fn is_in_order(&self) -> bool {
        self.options.has_chunks() || self.position.is_some()
    }

    /// Commits the data files that `rows` are of, which is all that the statement writes, and
    /// gives how many rows they have.
    pub(super) async fn run_whole(
        mut self,
        job: &Job,
        rows: SendableRecordBatchStream,
    ) -> Result<u64> {
        let overwrite = self.writer.target.overwrite;
        match self.commit_whole(job, rows).await {
            Ok(()) => Ok(self.rows),
            Err(error) if overwrite => Err(error),
            Err(error) => Err(self.explain(error).await),
        }
    }

    async fn commit_whole(&mut self, job: &Job, rows: SendableRecordBatchStream) -> Result<()> {
        let staged = self.writer.gather(job, rows).await?;
        if staged.rows == 0 && !self.writer.target.overwrite {
            staged.abort().await;
            return Ok(());
        }
        let reached = Reached {
            rows: staged.rows,
            position: None,
            more: false,
        };
        self.commit(staged, reached, job.writing()).await.map(drop)
    }

    /// Appends all rows, and gives how many were written this time.
    pub(super) async fn run(
        mut self,
        data: SendableRecordBatchStream,
        writing: &Arc<Writing>,
    ) -> Result<u64> {
        let schema = &self.writer.target.base.arrow;
        let goes_on = self.position.is_some();
        let sum = match self.key().is_some() && (goes_on || self.options.has_chunks()) {
            true => {
                self.check_reads_others()?;
                Some(RowSum::new(schema)?)
            }
            false => None,
        };
        let mut feed = Feed::new(schema, data, sum);
        if let Some(position) = self.position {
            feed.skip(position.number()).await?;
            self.check_same_rows(position, &feed)?;
            writing.took(feed.rows(), 0);
        }
        match self.append(&mut feed, writing).await {
            Ok(()) => Ok(self.rows),
            Err(error) => Err(self.explain(error).await),
        }
    }

    async fn append(&mut self, feed: &mut Feed, writing: &Arc<Writing>) -> Result<()> {
        let table = Arc::clone(&self.writer.target.table);
        let limit = ChunkLimit {
            rows: self.options.commit_every_rows,
            bytes: self.options.commit_every_bytes,
        };
        let mut base = self.writer.target.base.clone();
        loop {
            feed.begin_chunk(limit);
            let staged = self.writer.stage(&base, feed, writing).await?;
            if staged.rows == 0 && self.position.is_none() {
                staged.abort().await;
                return Ok(());
            }
            let more = feed.has_more().await;
            let reached = Reached {
                rows: feed.rows(),
                position: position_of(feed),
                more,
            };
            let Some(version) = self.commit(staged, reached, writing).await? else {
                return Ok(());
            };
            if !more {
                return Ok(());
            }
            base = table.go_on(&base, version).await?;
        }
    }

    /// Commits a chunk. None if others have done the rest.
    async fn commit(
        &mut self,
        staged: StagedVersion,
        reached: Reached,
        writing: &Writing,
    ) -> Result<Option<Version>> {
        let rows = staged.rows;
        let to = reached.position.filter(|_| reached.more);
        let key = self.options.idempotency_key.as_deref();
        let key = key.filter(|_| !self.writer.target.overwrite);
        let advance = key.map(|key| Advance::load(key, self.position, to));
        let options = self.options_of_chunk(&reached);
        let committed = self
            .writer
            .commit(staged, advance, options, writing)
            .await?;
        let Committed::As(version) = committed else {
            return Ok(None);
        };
        writing.committed(version);
        self.position = to;
        self.rows += rows;
        let first = self.versions.map_or(version, |(first, _)| first);
        self.versions = Some((first, version));
        Ok(Some(version))
    }

    fn options_of_chunk(&self, reached: &Reached) -> CommitOptions {
        let mut options = self.options.clone();
        if reached.more || self.versions.is_some() || self.position.is_some() {
            let properties = &mut options.properties;
            properties.insert(LOAD_ROWS.to_owned(), reached.rows.to_string());
            if let Some(key) = &self.options.idempotency_key {
                properties.insert(LOAD_KEY.to_owned(), key.clone());
            }
        }
        // With its key the load has ended.
        options.idempotency_key.take_if(|_| reached.more);
        options
    }

    /// Fails if it reads what it writes: run again, it would read the rows that it has written.
    fn check_reads_others(&self) -> AtioResult<()> {
        match self.writer.target.reads_itself {
            false => Ok(()),
            true => Err(Error::invalid(format!(
                "a load in chunks that can go on by its key cannot read the newest version of '{}', which it writes to: read a fixed one, as in atio_table('..', version => {}), or leave out the chunks or the key; nothing was written",
                self.writer.target.table.name(),
                self.writer.target.base.version
            ))),
        }
    }

    /// Adds to `error` what became of the rows that were committed, and how to go on.
    async fn explain(&self, error: DataFusionError) -> DataFusionError {
        let WriteTarget { table, base, .. } = &self.writer.target;
        let newest = match table.newest().await {
            Ok(newest) => newest,
            // The table was dropped meanwhile, and what was committed with it.
            Err(gone) if gone.kind() == ErrorKind::TableNotFound => return error,
            Err(_) => return self.stopped(error),
        };
        if newest.table != base.table && base.python.is_none() {
            return error;
        }
        let ended = self
            .key()
            .and_then(|key| table.overwritten_load(&newest.state, key));
        match ended {
            Some(ended) if !is_unknown(&error) => ended_by(&ended, error),
            _ => self.stopped(error),
        }
    }

    /// Fails if the rows that were passed over are not those that were written before.
    fn check_same_rows(&self, position: Position, feed: &Feed) -> AtioResult<()> {
        if position_of(feed) == Some(position) {
            return Ok(());
        }
        let what = match feed.rows() < position.number() {
            true => format!("gives only {} now", count(feed.rows(), "row")),
            false => "gives other rows than when it began, or in another order".to_owned(),
        };
        Err(Error::invalid(format!(
            "cannot go on with the load with the key '{}' into '{}': {} were written, and the query {what}; nothing was added. Let it give the same rows in the same order, by ORDER BY or SET datafusion.execution.target_partitions = 1; or look at what is there (atio_history shows the versions by their property {LOAD_KEY}) and go on under another key",
            self.key().unwrap_or_default().escape_debug(),
            self.writer.target.table.name(),
            count(position.number(), "row"),
        )))
    }

    /// The error of a load of which some versions stay.
    fn stopped(&self, error: DataFusionError) -> DataFusionError {
        let unknown = is_unknown(&error);
        let Some((first, last)) = self.versions else {
            return match (unknown, self.key()) {
                (true, Some(key)) => {
                    let unless = match self.position.is_some() || self.options.has_chunks() {
                        true => UNLESS,
                        false => "",
                    };
                    let said = format!(
                        "run it again with its key '{}', and it writes each row once{unless}",
                        key.escape_debug()
                    );
                    error::of_datafusion_in(&said, error).into()
                }
                _ => error,
            };
        };
        let versions = match first == last {
            true => format!("version {first}"),
            false => format!("versions {first} to {last}"),
        };
        let perhaps = match unknown {
            true => ", and perhaps the next rows,",
            false => "",
        };
        let next = match self.key() {
            Some(key) => format!(
                "run it again with its key '{}', and it goes on behind them{UNLESS}",
                key.escape_debug()
            ),
            None => "run again it would write them twice, for it has no idempotency key (atio_rollback takes them back)".to_owned(),
        };
        let said = format!(
            "the load into '{}' stopped; {} in {versions}{perhaps} are kept: {next}; of the rows behind them",
            self.writer.target.table.name(),
            count(self.rows, "row"),
        );
        error::of_datafusion_in(&said, error).into()
    }

    fn key(&self) -> Option<&str> {
        self.options.idempotency_key.as_deref()
    }
}

/// Where a chunk ended.
struct Reached {
    /// Of the whole load.
    rows: u64,
    /// None where the load cannot go on later.
    position: Option<Position>,
    more: bool,
}

fn is_unknown(error: &DataFusionError) -> bool {
    Error::find(error).is_some_and(|error| error.kind() == ErrorKind::CommitUnknown)
}

/// The error of a load that `ended` says cannot go on, and that stopped with `error`.
fn ended_by(ended: &Error, error: DataFusionError) -> DataFusionError {
    match Error::find(&error).is_some_and(|found| found.message() == ended.message()) {
        true => error,
        false => error::of_datafusion_in(&format!("{}; it stopped", ended.message()), error).into(),
    }
}

fn position_of(feed: &Feed) -> Option<Position> {
    feed.sum().map(|sum| Position::Rows {
        rows: feed.rows(),
        checksum: sum.checksum(),
    })
}

fn count(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}
