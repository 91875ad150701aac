//! How a write is going: its context, its metrics and its reporter.

use std::sync::Arc;

use atio_core::progress::Reporter;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, Time};

/// One statement that writes: where it runs, and who looks on.
pub(super) struct Writing<'a> {
    pub(super) context: &'a Arc<TaskContext>,
    pub(super) reporter: &'a Reporter,
    /// Bytes of the versions that are staged.
    pub(super) before: u64,
    pub(super) write_time: Time,
    pub(super) commit_time: Time,
    pub(super) files_written: Count,
    pub(super) bytes_written: Count,
    pub(super) commit_retries: Count,
}

impl<'a> Writing<'a> {
    pub(super) fn new(
        context: &'a Arc<TaskContext>,
        reporter: &'a Reporter,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Self {
        let time = |name| MetricBuilder::new(metrics).subset_time(name, 0);
        let count = |name| MetricBuilder::new(metrics).global_counter(name);
        Self {
            context,
            reporter,
            before: 0,
            write_time: time("write_time"),
            commit_time: time("commit_time"),
            files_written: count("files_written"),
            bytes_written: count("bytes_written"),
            commit_retries: count("commit_retries"),
        }
    }
}
