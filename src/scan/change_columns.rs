//! The columns of a scan of changes that say of each row what became of it, and when.

use std::sync::Arc;

use atio_core::format::Version;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::common::ScalarValue;

/// What became of the row.
const CHANGE: &str = "_change";
/// The version that did it.
const VERSION: &str = "_version";
/// When that version was committed.
const COMMITTED_AT: &str = "_committed_at";

/// All of them, as they come behind those of the table.
pub(crate) const CHANGE_COLUMNS: [&str; 3] = [CHANGE, VERSION, COMMITTED_AT];

/// Which filters on the columns can be answered before it is known what became of a row.
pub(super) const OF_VERSION: [&str; 2] = [VERSION, COMMITTED_AT];
pub(super) const NUMBER: [&str; 1] = [VERSION];

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChangeKind {
    Insert,
    Delete,
    UpdateBefore,
    UpdateAfter,
}

impl ChangeKind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Delete => "delete",
            Self::UpdateBefore => "update_before",
            Self::UpdateAfter => "update_after",
        }
    }
}

/// What all rows of a file have in the columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChangeOfFile {
    pub(super) kind: ChangeKind,
    pub(super) version: Version,
    /// Microseconds since 1970.
    pub(super) committed_at_us: i64,
    /// A version that lists the file.
    pub(super) listed_by: Version,
}

impl ChangeOfFile {
    /// The values, in the order of the columns.
    pub(super) fn values(&self) -> Vec<ScalarValue> {
        let version = i64::try_from(self.version.get()).ok();
        vec![
            ScalarValue::Utf8(Some(self.kind.word().to_owned())),
            ScalarValue::Int64(version),
            ScalarValue::TimestampMicrosecond(Some(self.committed_at_us), Some("UTC".into())),
        ]
    }
}

/// The columns themselves.
pub(super) fn change_fields() -> Vec<FieldRef> {
    let at = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let types = [DataType::Utf8, DataType::Int64, at];
    let fields = CHANGE_COLUMNS.into_iter().zip(types);
    fields
        .map(|(name, data_type)| Arc::new(Field::new(name, data_type, false)))
        .collect()
}

/// `schema`, and behind its columns those that say what became of a row.
pub(crate) fn with_change_columns(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().cloned();
    let fields: Vec<_> = fields.chain(change_fields()).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}
