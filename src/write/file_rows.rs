//! The rows that a write gives: one for each data file that is whole.

use std::sync::{Arc, LazyLock};

use atio_core::format::stats::ColumnStats;
use atio_core::format::{FileEntry, parse_json, to_json};
use datafusion::arrow::array::{ArrayRef, StringArray, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::common::cast::{as_string_array, as_uint64_array};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result as AtioResult};

/// The path below the root of the table, bytes, rows, checksum, and as JSON what a manifest says
/// of the columns.
pub(super) static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let columns = [
        ("path", DataType::Utf8),
        ("bytes", DataType::UInt64),
        ("rows", DataType::UInt64),
        ("checksum", DataType::Utf8),
        ("statistics", DataType::Utf8),
    ];
    let fields = columns.map(|(name, data_type)| Field::new(name, data_type, false));
    Arc::new(Schema::new(fields.to_vec()))
});

#[derive(Serialize, Deserialize)]
struct Statistics {
    stats: Vec<ColumnStats>,
    column_bytes: Vec<Option<u64>>,
}

/// One row for each file.
pub(super) fn to_batch(files: &[FileEntry]) -> Result<RecordBatch> {
    let rows = files.iter().map(FileEntry::stored_rows);
    let rows = rows.collect::<AtioResult<Vec<_>>>()?;
    let bytes = files.iter().map(FileEntry::bytes);
    let bytes = bytes.collect::<AtioResult<Vec<_>>>()?;
    let paths = files.iter().map(|file| Some(file.path.as_str()));
    let checksums = files
        .iter()
        .map(|file| file.checksum.map(|sum| sum.to_string()));
    let statistics = files.iter().map(|file| {
        let statistics = Statistics {
            stats: file.stats.clone(),
            column_bytes: file.column_bytes.clone(),
        };
        let json = to_json(&statistics)?;
        String::from_utf8(json).map_err(|error| {
            Error::invalid("statistics cannot be written as JSON").with_source(error)
        })
    });
    let columns: Vec<ArrayRef> = vec![
        Arc::new(paths.collect::<StringArray>()),
        Arc::new(UInt64Array::from(bytes)),
        Arc::new(UInt64Array::from(rows)),
        Arc::new(checksums.collect::<StringArray>()),
        Arc::new(StringArray::from(
            statistics.collect::<AtioResult<Vec<_>>>()?,
        )),
    ];
    Ok(RecordBatch::try_new(Arc::clone(&SCHEMA), columns)?)
}

/// The files that a batch of such rows is of.
pub(super) fn from_batch(batch: &RecordBatch) -> Result<Vec<FileEntry>> {
    let column = |at: usize| batch.column(at);
    let paths = as_string_array(column(0))?;
    let bytes = as_uint64_array(column(1))?;
    let rows = as_uint64_array(column(2))?;
    let checksums = as_string_array(column(3))?;
    let statistics = as_string_array(column(4))?;
    let files = (0..batch.num_rows()).map(|row| {
        let path = paths.value(row);
        let statistics: Statistics = parse_json(path, statistics.value(row).as_bytes())?;
        Ok(FileEntry {
            path: path.to_owned(),
            format: "parquet".to_owned(),
            size: Some(bytes.value(row)),
            rows: Some(rows.value(row)),
            checksum: Some(checksums.value(row).parse()?),
            stats: statistics.stats,
            dv: None,
            column_bytes: statistics.column_bytes,
        })
    });
    files.collect()
}

#[cfg(test)]
mod tests {
    use atio_core::format::Checksum;
    use atio_core::format::stats::{Bound, Value};

    use super::*;

    #[test]
    fn a_file_comes_back_as_it_was() {
        let bound = |value, cut| Some(Bound { value, cut });
        let stats = ColumnStats {
            nulls: Some(1),
            min: bound(Value::Float(-0.0), false),
            max: bound(Value::Text("é".to_owned()), true),
            nan: true,
        };
        let file = FileEntry {
            path: "data/0/00000-0.parquet".to_owned(),
            format: "parquet".to_owned(),
            size: Some(u64::MAX),
            rows: Some(3),
            checksum: Some(Checksum::of(b"x")),
            stats: vec![ColumnStats::default(), stats],
            dv: None,
            column_bytes: vec![None, Some(5)],
        };
        let files = [
            file.clone(),
            FileEntry {
                stats: Vec::new(),
                ..file
            },
        ];
        assert_eq!(from_batch(&to_batch(&files).unwrap()).unwrap(), files);
    }
}
