//! The data files of one version: streams of rows that write them side by side.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use atio_core::format::FileEntry;
use atio_core::log::Transaction;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::common::utils::memory::RecordBatchMemoryCounter;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};

use super::data_files::{DataFiles, Limits, OpenFiles};
use super::feed::Feed;
use super::writing::Writing;
use crate::error::Error;

/// Rows that take less memory make no file of their own, where other streams have more.
const SMALL: usize = 8 * 1024 * 1024;

/// What the streams of rows of one version share.
pub(super) struct Job {
    files: DataFiles,
    limits: Limits,
    writing: Arc<Writing>,
    streams: Mutex<Streams>,
}

/// The streams of one version.
#[derive(Default)]
struct Streams {
    /// None until the first of them begins, and says how many there are.
    ended: Option<Vec<bool>>,
    small: Vec<Small>,
    /// How many have given the files that they wrote, and how many files that were.
    given: usize,
    files: usize,
}

/// The rows of a stream that had few.
#[derive(Default)]
struct Small {
    stream: usize,
    batches: Vec<RecordBatch>,
    /// Counts them in the session's memory.
    memory: Option<MemoryReservation>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({})", self.files.txn().id())
    }
}

impl Job {
    pub(super) fn new(files: DataFiles, limits: Limits, writing: Arc<Writing>) -> Self {
        Self {
            files,
            limits,
            writing,
            streams: Mutex::default(),
        }
    }

    pub(super) fn txn(&self) -> &Arc<Transaction> {
        self.files.txn()
    }

    /// The columns of the rows that it takes.
    pub(super) fn schema(&self) -> &SchemaRef {
        self.files.schema()
    }

    pub(super) fn writing(&self) -> &Arc<Writing> {
        &self.writing
    }

    /// Waits until no encoder runs any more: what it writes could not be removed.
    pub(super) async fn ended(&self) {
        self.files.ended().await;
    }

    /// Writes the rows of the only stream, to the end of its chunk.
    pub(super) async fn write(&self, feed: &mut Feed) -> Result<Vec<FileEntry>> {
        self.write_after(Vec::new(), feed).await
    }

    /// Writes the rows of one of `of` streams. Where they are few they wait: the stream that ends
    /// last writes those of all.
    pub(super) async fn write_stream(
        &self,
        stream: usize,
        of: usize,
        feed: &mut Feed,
    ) -> Result<Vec<FileEntry>> {
        lock(&self.streams)
            .ended
            .get_or_insert_with(|| vec![false; of]);
        let files = self.write_or_keep(stream, of, feed).await?;
        let mut streams = lock(&self.streams);
        streams.given += 1;
        streams.files += files.len();
        Ok(files)
    }

    async fn write_or_keep(
        &self,
        stream: usize,
        of: usize,
        feed: &mut Feed,
    ) -> Result<Vec<FileEntry>> {
        let mut small = Small {
            stream,
            ..Small::default()
        };
        if of > 1 && self.keep(&mut small, feed).await? {
            return self.end_stream(small, feed).await;
        }
        small.memory = None;
        let first = std::mem::take(&mut small.batches);
        let mut whole = self.write_after(first, feed).await?;
        whole.extend(self.end_stream(small, feed).await?);
        Ok(whole)
    }

    /// Keeps rows while they are few; true if they are all that the stream has.
    async fn keep(&self, small: &mut Small, feed: &mut Feed) -> Result<bool> {
        let pool = self.writing.context.memory_pool();
        let memory = MemoryConsumer::new("rows that wait for a data file").register(pool);
        let memory = small.memory.insert(memory);
        let mut counter = RecordBatchMemoryCounter::new();
        while let Some(batch) = feed.next().await? {
            counter.count_batch(&batch);
            small.batches.push(batch);
            let taken = counter.memory_usage();
            if taken > SMALL || memory.try_resize(taken).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Fails unless each stream has run to its end, and these are the files of all of them: rows
    /// would be lost.
    pub(super) fn check_ended(&self, files: &[FileEntry]) -> Result<()> {
        let streams = lock(&self.streams);
        let all = streams.ended.as_ref().map(Vec::len);
        match all == Some(streams.given) && streams.files == files.len() {
            true => Ok(()),
            false => Err(Error::invalid(
                "a part of the write did not run to its end; nothing was written: run it again",
            )
            .into()),
        }
    }

    async fn end_stream(&self, small: Small, feed: &mut Feed) -> Result<Vec<FileEntry>> {
        let mut all = {
            let mut streams = lock(&self.streams);
            let ended = streams.ended.as_mut();
            match ended.and_then(|ended| ended.get_mut(small.stream)) {
                Some(ended @ false) => *ended = true,
                _ => return Err(twice().into()),
            }
            streams.small.push(small);
            match streams
                .ended
                .as_ref()
                .is_some_and(|ended| ended.iter().all(|ended| *ended))
            {
                true => std::mem::take(&mut streams.small),
                false => return Ok(Vec::new()),
            }
        };
        all.sort_by_key(|small| small.stream);
        let (batches, _memory): (Vec<_>, Vec<_>) = all
            .into_iter()
            .map(|small| (small.batches, small.memory))
            .unzip();
        let batches: Vec<_> = batches.into_iter().flatten().collect();
        match batches.is_empty() {
            true => Ok(Vec::new()),
            false => self.write_after(batches, feed).await,
        }
    }

    /// Writes `first`, and then what `feed` has.
    async fn write_after(
        &self,
        first: Vec<RecordBatch>,
        feed: &mut Feed,
    ) -> Result<Vec<FileEntry>> {
        let mut open = OpenFiles::new(&self.files, feed.schema(), &[], self.limits)?;
        let mut whole = Vec::new();
        let mut first = first.into_iter();
        loop {
            let batch = match first.next() {
                Some(batch) => batch,
                None => match feed.next().await? {
                    Some(batch) => batch,
                    None => break,
                },
            };
            let rows = batch.num_rows() as u64;
            whole.extend(open.write(batch).await?);
            let bytes = self.files.bytes();
            feed.wrote(bytes);
            self.writing.took(rows, bytes);
        }
        whole.extend(open.finish().await?);
        // How large a file is in the end shows only by now.
        feed.wrote(self.files.bytes());
        Ok(whole)
    }
}

/// What is said of a plan of which two runs get into each other's way.
pub(super) fn twice() -> Error {
    Error::invalid("this plan is run twice at once; plan the statement again for each run")
}

fn lock(streams: &Mutex<Streams>) -> MutexGuard<'_, Streams> {
    streams.lock().unwrap_or_else(PoisonError::into_inner)
}
