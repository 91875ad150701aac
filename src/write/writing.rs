//! How a write is going: its context, its metrics and its reporter.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use atio_core::format::{FileEntry, Version};
use atio_core::progress::{Listener, Reporter, Step};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, Time};

use super::outcome::{Counts, Outcome};

/// One statement that writes: where it runs, and who looks on.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) context: Arc<TaskContext>,
    reporter: Reporter,
    /// Bytes of the versions that are staged.
    staged: AtomicU64,
    metrics: ExecutionPlanMetricsSet,
    pub(super) commit_time: Time,
    files_written: Count,
    bytes_written: Count,
    pub(super) commit_retries: Count,
}

impl Writing {
    /// A write of about `rows` rows to the table called `table`.
    pub(super) fn begin(
        context: &Arc<TaskContext>,
        table: &str,
        rows: Option<u64>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Self {
        let listener = context.session_config().get_extension::<Listener>();
        let count = |name| MetricBuilder::new(metrics).global_counter(name);
        Self {
            context: Arc::clone(context),
            reporter: Reporter::begin(listener, table, rows),
            staged: AtomicU64::new(0),
            metrics: metrics.clone(),
            commit_time: MetricBuilder::new(metrics).subset_time("commit_time", 0),
            files_written: count("files_written"),
            bytes_written: count("bytes_written"),
            commit_retries: count("commit_retries"),
        }
    }

    /// Measures the time in which a partition writes.
    pub(super) fn write_time(&self, partition: usize) -> Time {
        MetricBuilder::new(&self.metrics).subset_time("write_time", partition)
    }

    /// Says that so many more rows were taken, and that so many bytes of the version have reached
    /// the storage.
    pub(super) fn took(&self, rows: u64, bytes: u64) {
        let staged = self.staged.load(Ordering::Relaxed);
        self.reporter.written(staged.saturating_add(bytes));
        self.reporter.advance(Step::Write, rows);
    }

    /// Says that the data files of a version are written.
    pub(super) fn staged(&self, files: &[FileEntry]) {
        let bytes: u64 = files.iter().filter_map(|file| file.size).sum();
        self.files_written.add(files.len());
        self.bytes_written
            .add(usize::try_from(bytes).unwrap_or(usize::MAX));
        let before = self.staged.fetch_add(bytes, Ordering::Relaxed);
        self.reporter.written(before.saturating_add(bytes));
    }

    pub(super) fn commits(&self) {
        self.reporter.report(Step::Commit);
    }

    /// Says that it made a version.
    pub(super) fn committed(&self, version: Version) {
        if let Some(outcome) = self.outcome() {
            outcome.set_version(version);
        }
    }

    /// Says how many rows that version changes.
    pub(super) fn changed(&self, counts: Counts) {
        if let Some(outcome) = self.outcome() {
            outcome.set_counts(counts);
        }
    }

    fn outcome(&self) -> Option<Arc<Outcome>> {
        self.context.session_config().get_extension::<Outcome>()
    }
}
