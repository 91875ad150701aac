//! What a statement writes to.

use std::sync::Arc;

use atio_core::format::Reads;
use atio_core::log::{DoesSelect, Snapshot, Table};
use datafusion::execution::TaskContext;
use datafusion::prelude::SessionConfig;

use super::options::TableOptions;
use super::planned::Planned;
use crate::delete_mode::DeleteMode;
use crate::error::Result;
use crate::scan::{Keys, ReadSet, SourceKeys, does_select};
use crate::settings::CommitSettings;

/// What a statement writes to, and how.
#[derive(Debug)]
pub(crate) struct WriteTarget {
    pub(crate) table: Arc<Table>,
    /// The version that the statement reads.
    pub(crate) base: Arc<Snapshot>,
    /// In place of all rows, not beside them.
    pub(crate) overwrite: bool,
    pub(crate) options: TableOptions,
    /// How many rows there will be, as far as that is known.
    pub(crate) rows: Option<u64>,
    /// Whether it reads the table's newest version too.
    pub(crate) reads_itself: bool,
    /// What it reads of the table.
    pub(crate) reads: Option<ReadSet>,
    /// What it was planned with, where its commit needs that.
    pub(crate) planned: Option<Planned>,
}

impl WriteTarget {
    /// What it reads of the table, for the versions that come before its own.
    pub(super) fn reads(&self, session: &SessionConfig) -> Option<Reads> {
        let isolation = CommitSettings::isolation(session);
        let reads = self.reads.as_ref();
        reads.map(|reads| reads.reads(isolation))
    }

    /// Tells whether rows that others added are such as it read, once it has run in `context`, where
    /// it took these keys from the source of a MERGE.
    pub(super) fn does_select(
        &self,
        context: &Arc<TaskContext>,
        merged: Option<(&Keys, &Arc<SourceKeys>)>,
    ) -> Option<DoesSelect> {
        does_select(self.reads.as_ref()?, context, merged)
    }

    /// How rows go of the files of the table.
    pub(super) fn delete_mode(&self, session: &SessionConfig) -> DeleteMode {
        let mode = CommitSettings::delete_mode(session);
        self.options.delete_mode(mode)
    }

    /// Appends to `base`, with the table's own options.
    pub(super) fn appending(
        table: &Arc<Table>,
        base: Arc<Snapshot>,
        rows: Option<u64>,
    ) -> Result<Self> {
        let options = TableOptions::of_table(&base.state.options)?;
        Ok(Self {
            table: Arc::clone(table),
            base,
            overwrite: false,
            options,
            rows,
            reads_itself: false,
            reads: None,
            planned: None,
        })
    }

    /// The answer of the nodes that write to it.
    #[cfg(feature = "proto")]
    pub(super) fn refuse_to_serialize(&self) -> crate::proto::Serialized {
        let subject = format!("the write to '{}'", self.table.name());
        crate::proto::refuse(&subject, "only the process that began it can commit it")
    }
}
