//! Rows as the columns of a database take them.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{
    DataType, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use super::column::Column;
use super::compatibility::is_nested;
use super::json::JsonText;
use crate::error::{Error, Result};

/// The columns of a batch, cast to exactly the types of `columns`.
///
/// A value that does not fit is an error, never NULL, and so is a time that the database
/// would round: no database keeps digits finer than microseconds.
pub(super) fn fitted(batch: &RecordBatch, columns: &[Column]) -> Result<Vec<ArrayRef>> {
    let pairs = batch.columns().iter().zip(columns);
    pairs
        .map(|(array, column)| {
            fit(array, &column.data_type)
                .and_then(|fitting| {
                    check_finer(array, &fitting, column)?;
                    check_times(&fitting, column)?;
                    Ok(fitting)
                })
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
    cast(array, data_type)
}

fn cast(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(array, data_type, &options).map_err(|error| Error::invalid(plain(&error)))
}

/// Fails at the first time of `array` that is finer than the microseconds of `fitting`.
fn check_finer(array: &ArrayRef, fitting: &ArrayRef, column: &Column) -> Result<()> {
    // What is written as text keeps its digits.
    if !has_nanoseconds(array.data_type()) || column.data_type == DataType::Utf8 {
        return Ok(());
    }
    let back = cast(fitting, array.data_type())?;
    if back.as_ref() == array.as_ref() {
        return Ok(());
    }
    let changed = |row: &usize| back.slice(*row, 1) != array.slice(*row, 1);
    match (0..array.len()).find(changed) {
        None => Ok(()),
        Some(row) => Err(would_change(array, row, column)),
    }
}

fn has_nanoseconds(data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(unit, _) | DataType::Time64(unit) => *unit == TimeUnit::Nanosecond,
        DataType::Dictionary(_, value) => has_nanoseconds(value),
        DataType::List(value) | DataType::LargeList(value) | DataType::FixedSizeList(value, _) => {
            has_nanoseconds(value.data_type())
        }
        _ => false,
    }
}

/// Fails at the first time that is between two steps of the column.
fn check_times(array: &dyn Array, column: &Column) -> Result<()> {
    let between = |value: Option<i64>| value.is_some_and(|value| value % column.step != 0);
    let found = match array.data_type() {
        _ if column.step == 1 => None,
        DataType::Timestamp(_, _) => {
            let mut values = array.as_primitive::<TimestampMicrosecondType>().iter();
            values.position(between)
        }
        DataType::Time64(_) => {
            let mut values = array.as_primitive::<Time64MicrosecondType>().iter();
            values.position(between)
        }
        DataType::List(_) => {
            let mut lists = array.as_list::<i32>().iter().flatten();
            return lists.try_for_each(|list| check_times(&list, column));
        }
        _ => None,
    };
    match found {
        None => Ok(()),
        Some(row) => Err(would_change(array, row, column)),
    }
}

fn would_change(array: &dyn Array, row: usize, column: &Column) -> Error {
    let options = FormatOptions::default();
    let shown = ArrayFormatter::try_new(array, &options)
        .and_then(|formatter| formatter.value(row).try_to_string());
    match shown {
        Ok(shown) => Error::invalid(format!(
            "it is {} and would change {shown}; cut the value first, as by date_trunc",
            column.sql_type
        )),
        Err(error) => Error::invalid(plain(&error)),
    }
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
