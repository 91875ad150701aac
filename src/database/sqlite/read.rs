//! Rows of a table of SQLite.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, RecordBatchOptions, StringArray,
    UInt64Array,
};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use rusqlite::types::Value;
use tokio::sync::mpsc::Sender;

use super::open::{Purpose, failed, open};
use crate::database::column::{Column, schema_of};
use crate::database::decimal::{decimals, fraction, scale};
use crate::database::error::no_such_table;
use crate::database::name::{TableName, quoted};
use crate::error::{Error, Result as AtioResult};

/// Rows of one batch.
const BATCH: usize = 8192;
/// How many batches may wait for the reader.
const QUEUE: usize = 2;

pub(in crate::database) async fn read(
    path: &Path,
    table: &TableName,
    columns: Vec<Column>,
    limit: Option<usize>,
) -> Result<SendableRecordBatchStream> {
    let mut stream = RecordBatchReceiverStream::builder(schema_of(&columns), QUEUE);
    let sender = stream.tx();
    let (path, table) = (path.to_owned(), table.clone());
    stream.spawn_blocking(move || {
        send_all(&path, &table, &columns, limit, &sender).map_err(|error| {
            error
                .context(format!("cannot read table '{table}' of SQLite"))
                .into()
        })
    });
    Ok(stream.build())
}

fn send_all(
    path: &Path,
    table: &TableName,
    columns: &[Column],
    limit: Option<usize>,
    sender: &Sender<Result<RecordBatch>>,
) -> AtioResult<()> {
    let connection = open(path, Purpose::Read)?.ok_or_else(no_such_table)?;
    // A name in quotes alone that is no column would be taken for a text.
    let name = |column: &Column| format!("rows.{}", quoted(&column.name, '"'));
    let names: Vec<_> = columns.iter().map(name).collect();
    let names = match names.is_empty() {
        true => "NULL".to_owned(),
        false => names.join(", "),
    };
    let limit = limit.map(|limit| format!(" LIMIT {limit}"));
    let sql = format!(
        "SELECT {names} FROM {} AS rows{}",
        table.quoted('"'),
        limit.unwrap_or_default()
    );
    let mut statement = connection.prepare(&sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut ended = false;
    loop {
        let mut values: Vec<Vec<Value>> = columns.iter().map(|_| Vec::new()).collect();
        let mut count = 0;
        while count < BATCH && !ended {
            let Some(row) = rows.next().map_err(failed)? else {
                // Asked again, it would begin again.
                ended = true;
                break;
            };
            for (at, column) in values.iter_mut().enumerate() {
                column.push(row.get(at).map_err(failed)?);
            }
            count += 1;
        }
        if count == 0 {
            return Ok(());
        }
        let arrays = values.into_iter().zip(columns);
        let arrays = arrays.map(|(values, column)| {
            array(values, &column.data_type)
                .map_err(|error| error.context(format!("column '{}'", column.name.escape_debug())))
        });
        let arrays = arrays.collect::<AtioResult<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(schema_of(columns), arrays, &options)
            .map_err(|error| Error::invalid(error.to_string()))?;
        if sender.blocking_send(Ok(batch)).is_err() {
            // Nobody wants more.
            return Ok(());
        }
    }
}

/// Values of a column as an array. SQLite lets a row hold anything, whatever the column is
/// declared as: what does not fit is an error.
pub(super) fn array(values: Vec<Value>, data_type: &DataType) -> AtioResult<ArrayRef> {
    let values = values.into_iter();
    let odd = |value: &Value| {
        Error::invalid(format!(
            "a row holds {}, which is no {data_type}",
            match value {
                Value::Null => "NULL".to_owned(),
                Value::Integer(value) => value.to_string(),
                Value::Real(value) => value.to_string(),
                Value::Text(value) => format!("'{}'", value.escape_debug()),
                Value::Blob(_) => "binary data".to_owned(),
            }
        ))
    };
    Ok(match data_type {
        DataType::Boolean => Arc::new(collected::<BooleanArray, _>(values, |value| match value {
            Value::Integer(value) => Ok(value != 0),
            other => Err(odd(&other)),
        })?),
        DataType::Int64 => Arc::new(collected::<Int64Array, _>(values, |value| match value {
            Value::Integer(value) => Ok(value),
            other => Err(odd(&other)),
        })?),
        DataType::UInt64 => Arc::new(collected::<UInt64Array, _>(values, |value| match value {
            Value::Integer(value) if value >= 0 => Ok(value.unsigned_abs()),
            other => Err(odd(&other)),
        })?),
        DataType::Float64 => Arc::new(collected::<Float64Array, _>(values, |value| match value {
            Value::Real(value) => Ok(value),
            #[expect(clippy::cast_precision_loss, reason = "as SQLite itself does")]
            Value::Integer(value) => Ok(value as f64),
            other => Err(odd(&other)),
        })?),
        DataType::Binary => {
            let values = values.map(|value| match value {
                Value::Null => Ok(None),
                Value::Blob(value) => Ok(Some(value)),
                Value::Text(value) => Ok(Some(value.into_bytes())),
                other => Err(odd(&other)),
            });
            let values = values.collect::<AtioResult<Vec<_>>>()?;
            Arc::new(BinaryArray::from_iter(values))
        }
        DataType::Decimal128(_, _) | DataType::Decimal256(_, _) => {
            let most = scale(data_type);
            let texts = collected::<StringArray, _>(values, |value| match value {
                Value::Text(value) => Ok(value),
                Value::Integer(value) => Ok(value.to_string()),
                Value::Real(value) if fraction(&value.to_string()) > most => Ok(printed(value)),
                Value::Real(value) => Ok(value.to_string()),
                other => Err(odd(&other)),
            })?;
            decimals(&texts, data_type)?
        }
        other => {
            let text = collected::<StringArray, _>(values, |value| match value {
                Value::Text(value) => Ok(value),
                Value::Integer(value) => Ok(value.to_string()),
                Value::Real(value) => Ok(value.to_string()),
                other => Err(odd(&other)),
            })?;
            let options = CastOptions {
                safe: false,
                ..CastOptions::default()
            };
            cast_with_options(&text, other, &options)
                .map_err(|error| Error::invalid(error.to_string()))?
        }
    })
}

/// With the 15 digits that SQLite itself prints: what comes after them is noise of the binary
/// form.
fn printed(value: f64) -> String {
    let rounded = format!("{value:.14e}").parse().unwrap_or(value);
    rounded.to_string()
}

fn collected<A, T>(
    values: impl Iterator<Item = Value>,
    one: impl Fn(Value) -> AtioResult<T>,
) -> AtioResult<A>
where
    A: FromIterator<Option<T>>,
{
    let values = values.map(|value| match value {
        Value::Null => Ok(None),
        value => one(value).map(Some),
    });
    values.collect()
}
