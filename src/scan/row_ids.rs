//! Where each row lies: the columns of a scan by which a statement names the rows that it changes.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::logical_expr::Expr;
use parquet::arrow::RowNumber;

/// The number of the data file, among those that the manifests of the version list, from 0.
pub(crate) const FILE: &str = "__atio_file";
/// The number of the row in its file, from 0.
pub(crate) const ROW: &str = "__atio_row";

/// Asks a scan to say of each row where it lies.
///
/// Clones share what the scan found.
#[derive(Debug, Clone, Default)]
pub(crate) struct RowIds {
    /// The scan may leave out files of which every row meets this, and name them instead.
    whole: Option<Expr>,
    /// Rows that it finds, and which stay as they are, decide what becomes of others.
    decides_more: bool,
    found: Arc<Mutex<Found>>,
}

/// What the scan found in the manifests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// The files of which every row meets the condition, which are not read.
    pub(crate) whole: Vec<u32>,
}

impl RowIds {
    /// Leaves out files of which every row meets `condition`.
    pub(crate) fn without_whole(condition: Expr) -> Self {
        Self {
            whole: Some(condition),
            ..Self::default()
        }
    }

    /// The rows that it finds also decide what becomes of others than themselves.
    pub(crate) fn deciding_more() -> Self {
        Self {
            decides_more: true,
            ..Self::default()
        }
    }

    /// The same question, asked by another plan: what its scan finds is its own.
    pub(crate) fn anew(&self) -> Self {
        Self {
            whole: self.whole.clone(),
            decides_more: self.decides_more,
            found: Arc::default(),
        }
    }

    /// True if both are told what one scan found.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.found, &other.found)
    }

    /// True if the scan only finds rows that the statement changes: none but these count.
    pub(super) fn only_finds(&self) -> bool {
        !self.decides_more
    }

    pub(super) fn whole(&self) -> Option<&Expr> {
        self.whole.as_ref()
    }

    pub(super) fn set_found(&self, found: Found) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// What the scan found, once it is planned.
    pub(crate) fn found(&self) -> Found {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.clone()
    }
}

pub(super) fn file_field() -> FieldRef {
    Arc::new(Field::new(FILE, DataType::UInt32, false))
}

pub(super) fn row_field() -> FieldRef {
    Arc::new(Field::new(ROW, DataType::Int64, false).with_extension_type(RowNumber))
}

/// `schema`, and behind its columns those that say where a row lies.
pub(crate) fn with_row_ids(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().cloned();
    let fields = fields.chain([file_field(), row_field()]);
    let metadata = schema.metadata().clone();
    Arc::new(Schema::new_with_metadata(
        fields.collect::<Vec<_>>(),
        metadata,
    ))
}

/// True if `name` is that of one of the two columns.
pub(crate) fn is_row_id(name: &str) -> bool {
    name == FILE || name == ROW
}
