//! Rows into a table of SQLite, in one transaction.

use std::path::Path;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{
    DataType, Float64Type, Int64Type, SchemaRef, TimestampMicrosecondType, UInt64Type,
};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::runtime::SpawnedTask;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Transaction, TransactionBehavior};
use tokio::sync::mpsc;

use super::columns::columns_of;
use super::open::{Purpose, failed, open};
use super::read;
use super::types::{column_for, makes_numbers};
use crate::database::cells::fitted;
use crate::database::column::Column;
use crate::database::compatibility::{check_names, columns_for};
use crate::database::error::{Failed, no_such_table, table_exists};
use crate::database::name::{TableName, quoted};
use crate::database::write::{IfExists, Write};
use crate::error::{Error, ErrorKind};

/// How many batches may wait for the database.
const QUEUE: usize = 2;

/// What the thread that writes is told.
enum Message {
    Rows(RecordBatch),
    /// There are no more rows, and none was lost: only then is anything committed.
    End,
}

pub(in crate::database) async fn write(
    path: &Path,
    write: Write,
    mut rows: SendableRecordBatchStream,
) -> Result<u64, Failed> {
    check_names(&write.schema)?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    let path = path.to_owned();
    // A thread that is not told of the end rolls back: when this future is dropped, too.
    let thread = SpawnedTask::spawn_blocking(move || {
        let opened = open(&path, Purpose::Write)?;
        let mut connection = opened.ok_or_else(no_such_table)?;
        write_received(&mut connection, &write, receiver)
    });
    let mut stopped = None;
    loop {
        let message = match rows.next().await {
            Some(Ok(batch)) => Message::Rows(batch),
            Some(Err(error)) => {
                stopped = Some(error);
                break;
            }
            None => Message::End,
        };
        let ended = matches!(message, Message::End);
        // A thread that listens no more has failed, and says why.
        if sender.send(message).await.is_err() || ended {
            break;
        }
    }
    drop(sender);
    let written = thread.join().await.map_err(|error| {
        Error::new(ErrorKind::Storage, "SQLite's thread ended").with_source(error)
    })?;
    match stopped {
        Some(error) => Err(Failed::Rows(error)),
        None => written,
    }
}

fn write_received(
    connection: &mut rusqlite::Connection,
    write: &Write,
    mut messages: mpsc::Receiver<Message>,
) -> Result<u64, Failed> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    let columns = prepare(&transaction, write)?;
    let kept = Kept::of(&columns);
    let counts = !is_view(&transaction, &write.table).map_err(failed)?;
    let mut written = 0;
    {
        let names: Vec<_> = columns.iter().map(|c| quoted(&c.name, '"')).collect();
        let sql = format!(
            "INSERT INTO {} ({}) VALUES ({}){}",
            write.table.quoted('"'),
            names.join(", "),
            vec!["?"; names.len()].join(", "),
            kept.returning(&names)
        );
        let mut insert = transaction.prepare(&sql).map_err(failed)?;
        loop {
            match messages.blocking_recv() {
                Some(Message::Rows(batch)) => {
                    let cells = fitted(&batch, &columns)?;
                    let mut found = kept.nothing();
                    for row in 0..batch.num_rows() {
                        for (at, array) in cells.iter().enumerate() {
                            let value = cell(array, row).map_err(|error| {
                                let name = columns[at].name.escape_debug();
                                Error::invalid(format!("column '{name}': {error}"))
                            })?;
                            insert.raw_bind_parameter(at + 1, value).map_err(failed)?;
                        }
                        let mut rows = insert.raw_query();
                        while let Some(row) = rows.next().map_err(failed)? {
                            for (at, values) in found.iter_mut().enumerate() {
                                values.push(row.get(at).map_err(failed)?);
                            }
                        }
                        drop(rows);
                        if counts && transaction.changes() == 0 {
                            return Err(left_out().into());
                        }
                    }
                    kept.check(found, &columns, &cells)?;
                    written += batch.num_rows() as u64;
                }
                Some(Message::End) => break,
                None => {
                    return Err(Error::new(ErrorKind::Storage, "the rows did not end").into());
                }
            }
        }
    }
    transaction.commit().map_err(failed)?;
    Ok(written)
}

/// The columns where SQLite may keep another value than it was given, and the values that it
/// keeps: in a column that is not declared as text, a text that looks like a number becomes one,
/// of 15 digits.
struct Kept(Vec<usize>);

impl Kept {
    fn of(columns: &[Column]) -> Self {
        let columns = columns.iter().enumerate().filter(|(_, column)| {
            let as_text = matches!(
                column.data_type,
                DataType::Utf8 | DataType::Decimal128(_, _) | DataType::Decimal256(_, _)
            );
            as_text && makes_numbers(&column.sql_type)
        });
        Self(columns.map(|(at, _)| at).collect())
    }

    fn returning(&self, names: &[String]) -> String {
        match self.0.is_empty() {
            true => String::new(),
            false => {
                let names: Vec<_> = self.0.iter().map(|at| names[*at].as_str()).collect();
                format!(" RETURNING {}", names.join(", "))
            }
        }
    }

    fn nothing(&self) -> Vec<Vec<Value>> {
        self.0.iter().map(|_| Vec::new()).collect()
    }

    /// Fails unless a reader gets what was written.
    fn check(
        &self,
        found: Vec<Vec<Value>>,
        columns: &[Column],
        written: &[ArrayRef],
    ) -> Result<(), Error> {
        for (at, values) in self.0.iter().zip(found) {
            let (column, written) = (&columns[*at], &written[*at]);
            let about = || format!("column '{}'", column.name.escape_debug());
            let found =
                read::array(values, &column.data_type).map_err(|error| error.context(about()))?;
            let changed = |row: &usize| found.slice(*row, 1) != written.slice(*row, 1);
            let rows = written.len().min(found.len());
            let same = found.as_ref() == written.as_ref();
            let Some(row) = (0..rows).find(|row| !same && changed(row)) else {
                continue;
            };
            let shown = |array: &ArrayRef| {
                ArrayFormatter::try_new(array, &FormatOptions::default())
                    .and_then(|formatter| formatter.value(row).try_to_string())
                    .map(|text| match column.data_type {
                        DataType::Utf8 => format!("'{}'", text.escape_debug()),
                        _ => text,
                    })
                    .map_err(|error| Error::invalid(error.to_string()))
            };
            return Err(Error::invalid(format!(
                "{}: it is {}, of which SQLite makes numbers: {} would become {}; a column with TEXT in its type keeps it",
                about(),
                column.sql_type,
                shown(written)?,
                shown(&found)?
            )));
        }
        Ok(())
    }
}

/// Makes the table ready for the rows, and says which columns they go to.
fn prepare(transaction: &Transaction<'_>, write: &Write) -> Result<Vec<Column>, Error> {
    let table = write.table.quoted('"');
    match columns_of(transaction, &write.table).map_err(failed)? {
        None if !write.create => Err(no_such_table()),
        None => create(transaction, &table, &write.schema),
        Some(columns) => {
            if write.if_exists == IfExists::Fail {
                return Err(table_exists());
            }
            let columns = columns_for(&write.schema, &columns)?;
            if write.if_exists == IfExists::Replace {
                let sql = format!("DELETE FROM {table}");
                transaction.execute(&sql, []).map_err(failed)?;
            }
            Ok(columns)
        }
    }
}

/// A view has what its triggers do, and no rows of its own that are counted.
fn is_view(transaction: &Transaction<'_>, table: &TableName) -> rusqlite::Result<bool> {
    let schema = table.schema.as_deref().unwrap_or("main");
    let sql = format!(
        "SELECT count(*) FROM {}.sqlite_master WHERE type = 'view' AND name = ?1",
        quoted(schema, '"')
    );
    transaction.query_row(&sql, [&table.table], |row| row.get(0))
}

fn left_out() -> Error {
    Error::invalid(
        "the table leaves out a row (ON CONFLICT IGNORE, or a trigger); nothing was written",
    )
}

fn create(
    transaction: &Transaction<'_>,
    table: &str,
    schema: &SchemaRef,
) -> Result<Vec<Column>, Error> {
    let columns = schema.fields().iter().map(|field| column_for(field));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let defined = columns
        .iter()
        .map(|column| format!("{} {}", quoted(&column.name, '"'), column.sql_type));
    let defined: Vec<_> = defined.collect();
    let sql = format!("CREATE TABLE {table} ({})", defined.join(", "));
    transaction.execute(&sql, []).map_err(failed)?;
    Ok(columns)
}

/// One value, as SQLite takes it.
fn cell(array: &ArrayRef, row: usize) -> Result<ToSqlOutput<'_>, String> {
    if array.is_null(row) {
        return Ok(ToSqlOutput::Owned(Value::Null));
    }
    let integer = |value: i64| Ok(ToSqlOutput::Owned(Value::Integer(value)));
    let text = |value: String| Ok(ToSqlOutput::Owned(Value::Text(value)));
    match array.data_type() {
        DataType::Boolean => integer(i64::from(array.as_boolean().value(row))),
        DataType::Int64 => integer(array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt64 => {
            let value = array.as_primitive::<UInt64Type>().value(row);
            let fits = i64::try_from(value);
            integer(fits.map_err(|_| format!("SQLite does not hold {value}; cast it to text"))?)
        }
        DataType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            match value.is_nan() {
                true => Err("SQLite does not hold NaN; make it NULL".to_owned()),
                false => Ok(ToSqlOutput::Owned(Value::Real(value))),
            }
        }
        DataType::Utf8 => {
            let value = array.as_string::<i32>().value(row);
            Ok(ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes())))
        }
        DataType::Binary => {
            let value = array.as_binary::<i32>().value(row);
            Ok(ToSqlOutput::Borrowed(ValueRef::Blob(value)))
        }
        DataType::Timestamp(_, zone) => {
            let value = array.as_primitive::<TimestampMicrosecondType>().value(row);
            let time = chrono::DateTime::from_timestamp_micros(value)
                .ok_or_else(|| format!("{value} microseconds are no time"))?;
            let zone = if zone.is_some() { "+00:00" } else { "" };
            text(format!("{}{zone}", time.format("%Y-%m-%d %H:%M:%S%.6f")))
        }
        _ => {
            let formatter = ArrayFormatter::try_new(array, &FormatOptions::default());
            let formatter = formatter.map_err(|error| error.to_string())?;
            let value = formatter.value(row).try_to_string();
            text(value.map_err(|error| error.to_string())?)
        }
    }
}
