//! The cell that all scans of one table in a statement share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use atio_core::log::{Snapshot, Table};
use datafusion::logical_expr::LogicalPlan;
use tokio::sync::OnceCell;

use crate::error::Result;
use crate::scan::ReadSet;

/// The version of a table that one statement reads, and on which it writes.
#[derive(Debug, Clone, Default)]
pub(super) struct Pin(Arc<Cell>);

#[derive(Debug, Default)]
struct Cell {
    version: OnceCell<Arc<Snapshot>>,
    is_read: AtomicBool,
    /// What its scans read, where the statement writes.
    reads: Option<ReadSet>,
    /// The statement itself, where it may be run again.
    statement: Option<Arc<LogicalPlan>>,
}

impl Pin {
    /// For a statement that writes: its scans note what they read.
    pub(super) fn of_write(statement: Option<Arc<LogicalPlan>>) -> Self {
        Self(Arc::new(Cell {
            reads: Some(ReadSet::default()),
            statement,
            ..Cell::default()
        }))
    }

    /// The statement, which writes, as it was before anything was pinned; None where it is not to
    /// be run again.
    pub(super) fn statement(&self) -> Option<&Arc<LogicalPlan>> {
        self.0.statement.as_ref()
    }

    /// Where scans note what they read.
    pub(super) fn reads(&self) -> Option<&ReadSet> {
        self.0.reads.as_ref()
    }

    /// The pinned version; the newest one if this is the first to ask.
    pub(super) async fn get(&self, table: &Table) -> Result<Arc<Snapshot>> {
        let version = self.0.version.get_or_try_init(|| table.newest());
        version.await.cloned()
    }

    /// Pins a version that was found the newest in this very statement.
    pub(super) fn set(&self, found: Arc<Snapshot>) {
        // Somebody else may have been first.
        self.0.version.set(found).ok();
    }

    /// Says that a scan of the statement reads it.
    pub(super) fn read(&self) {
        self.0.is_read.store(true, Ordering::Relaxed);
    }

    /// True if a scan of the statement that is planned already reads it.
    pub(super) fn is_read(&self) -> bool {
        self.0.is_read.load(Ordering::Relaxed)
    }
}
