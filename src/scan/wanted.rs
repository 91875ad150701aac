//! Which rows a scan would have read, of any that it has not seen.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::BooleanArray;
use datafusion::arrow::compute::and;
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::physical_expr::utils::collect_columns;

use super::selected::Selected;
use super::source_keys::{Keys, SourceKeys};

/// Which rows a scan would have read, too: those that are both.
pub(super) struct Wanted {
    pub(super) selected: Option<Selected>,
    /// Those that a row of the source of a MERGE matches.
    pub(super) merged: Option<(Keys, Arc<SourceKeys>)>,
}

impl Wanted {
    /// True if it is not any row.
    pub(super) fn tells(&self) -> bool {
        self.selected.is_some() || self.merged.is_some()
    }

    /// The columns that it reads, of rows of `schema`.
    pub(super) fn columns(&self, schema: &Schema) -> Result<BTreeSet<usize>> {
        let selected = self.selected.iter().map(Selected::expr);
        let merged = self.merged.iter().flat_map(|(keys, _)| &keys.values);
        let columns = selected.chain(merged).flat_map(collect_columns);
        let columns = columns.map(|column| Ok(schema.index_of(column.name())?));
        columns.collect()
    }

    /// The same over columns of these names.
    pub(super) fn over(&self, schema: &Schema) -> Result<Self> {
        let selected = self.selected.as_ref();
        let merged = match &self.merged {
            Some((keys, known)) => Some((keys.over(schema)?, Arc::clone(known))),
            None => None,
        };
        Ok(Self {
            selected: selected.map(|selected| selected.over(schema)).transpose()?,
            merged,
        })
    }

    /// True if a row of `rows` is one.
    pub(super) fn has_one(&self, rows: &RecordBatch) -> Result<bool> {
        let mut all: Option<BooleanArray> = None;
        if let Some(selected) = &self.selected {
            all = Some(selected.rows(rows)?);
        }
        if let Some((keys, known)) = &self.merged {
            let matched = known.match_rows(keys, rows)?;
            all = Some(match all {
                Some(selected) => and(&selected, &matched)?,
                None => matched,
            });
        }
        Ok(all.is_none_or(|all| all.true_count() > 0))
    }
}
