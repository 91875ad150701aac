//! Other columns for a table: what an overwrite writes that brings its own.

use std::sync::Arc;

use arrow::datatypes::Schema;

use crate::error::{Error, Result};
use crate::format::TableSchema;
use crate::format::schema::FieldIds;
use crate::log::read::snapshot::Snapshot;

/// The columns that a version has in place of those of the version below.
#[derive(Debug, Clone)]
pub struct NewColumns {
    pub(in crate::log) schema: Arc<TableSchema>,
    pub(in crate::log) next_field_id: i32,
}

impl Snapshot {
    /// This version with other columns: what the data files of an overwrite are written for that
    /// replaces them. Its state stays that of this version.
    ///
    /// Every column gets a new field id, also one that keeps its name: old files have nothing of it.
    pub fn with_columns(&self, columns: &Schema) -> Result<Self> {
        let refused = |what: &str| {
            Error::unsupported(format!(
                "cannot give the table other columns: {what}; write to it once, and run it again"
            ))
        };
        if self.python.is_some() {
            return Err(refused("Python atio wrote its newest version"));
        }
        let mut ids = FieldIds {
            next: self.state.next_field_id,
        };
        // The next field id only ever grows, also over a rollback, so no schema had this id before.
        let id = u32::try_from(ids.next)
            .map_err(|_| Error::damaged("the next field id of the table is negative"))?;
        let schema = TableSchema::from_arrow(id, columns, &mut ids)?;
        let mut state = self.state.clone();
        state.next_field_id = ids.next;
        Ok(Self {
            version: self.version,
            record: self.record.clone(),
            state,
            arrow: schema.to_arrow()?,
            schema: Arc::new(schema),
            table: self.table,
            committed_at_us: self.committed_at_us,
            python: None,
            expired: Arc::clone(&self.expired),
        })
    }

    /// The columns that [`with_columns`](Self::with_columns) gave it; None for a version as it is.
    pub fn new_columns(&self) -> Option<NewColumns> {
        (self.schema.id != self.state.schema.id).then(|| NewColumns {
            schema: Arc::clone(&self.schema),
            next_field_id: self.state.next_field_id,
        })
    }
}
