//! Rows as the columns of a database take them.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;

use super::agree::is_nested;
use super::column::Column;
use super::json::JsonText;
use crate::error::{Error, Result};

/// The columns of a batch, cast to exactly the types of `columns`.
///
/// A value that does not fit is an error, never NULL. Digits finer than microseconds are cut
/// off, because no database keeps them.
pub(super) fn fitted(batch: &RecordBatch, columns: &[Column]) -> Result<Vec<ArrayRef>> {
    let pairs = batch.columns().iter().zip(columns);
    pairs
        .map(|(array, column)| {
            fit(array, &column.data_type)
                .map_err(|error| error.context(format!("column '{}'", column.name.escape_debug())))
        })
        .collect()
}

fn fit(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if array.data_type() == data_type {
        return Ok(Arc::clone(array));
    }
    if *data_type == DataType::Utf8 && is_nested(array.data_type()) {
        let text = JsonText::of(array);
        let rows = (0..array.len()).map(|row| text.at(row));
        return Ok(Arc::new(rows.collect::<Result<StringArray>>()?));
    }
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(array, data_type, &options).map_err(|error| Error::invalid(plain(&error)))
}

/// What Arrow says, without the names that it gives its errors.
fn plain(error: &ArrowError) -> String {
    match error {
        ArrowError::CastError(said)
        | ArrowError::InvalidArgumentError(said)
        | ArrowError::ParseError(said)
        | ArrowError::ComputeError(said) => said.clone(),
        other => other.to_string(),
    }
}
