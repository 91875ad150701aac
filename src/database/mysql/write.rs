//! Rows into a table of MySQL, in one transaction.

use datafusion::arrow::array::ArrayRef;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Value};

use super::accepted::Accepted;
use super::client::{connect, failed};
use super::commit::commit;
use super::encode::cell;
use super::types::{column_for, is_foreign, rounds};
use super::{columns, side_table};
use crate::database::cells::fitted;
use crate::database::column::Column;
use crate::database::compatibility::{check_names, columns_for};
use crate::database::error::{Failed, no_such_table, table_exists};
use crate::database::name::{TableName, quoted};
use crate::database::server::Server;
use crate::database::write::{IfExists, Write};
use crate::error::{Error, ErrorKind, Result};

/// How many values one statement takes.
const VALUES: usize = 65_535;
/// How many rows one statement brings, at most.
const ROWS: usize = 1000;
/// How many bytes, about: servers take 16 MB at least.
const BYTES: usize = 4 * 1024 * 1024;
/// How long to wait for another replacement of the same table.
const PATIENCE: u32 = 600;

/// Where the rows go.
struct Target {
    table: TableName,
    columns: Vec<Column>,
    /// Whether the table is a side table, which gets its name in the end.
    side: bool,
}

pub(in crate::database) async fn write(
    server: &Server,
    write: Write,
    rows: SendableRecordBatchStream,
) -> Result<u64, Failed> {
    check_names(&write.schema)?;
    // Dropped without a commit, the connection ends and the server rolls back.
    let mut connection = connect(server).await?;
    let target = prepare(&mut connection, &write).await?;
    let written = match insert_all(&mut connection, &write, &target, rows).await {
        Ok(written) => written,
        Err(error) => {
            connection.query_drop("ROLLBACK").await.ok();
            if target.side {
                side_table::abandon(&mut connection, &target.table).await;
            }
            connection.disconnect().await.ok();
            return Err(error);
        }
    };
    let side = target.side.then_some(&target.table);
    commit(server, &mut connection, &write.table, side).await?;
    // All is committed, however the farewell goes.
    connection.disconnect().await.ok();
    Ok(written)
}

/// Makes the table ready for the rows.
async fn prepare(connection: &mut Conn, write: &Write) -> Result<Target> {
    match columns::of(connection, &write.table).await? {
        None if !write.create => Err(no_such_table()),
        None => create(connection, write).await,
        Some(_) if write.if_exists == IfExists::Fail => Err(table_exists()),
        Some(columns) => {
            let columns = columns_for(&write.schema, &columns)?;
            if let Some(column) = columns.iter().find(|column| is_foreign(&column.sql_type)) {
                return Err(Error::unsupported(format!(
                    "column '{}' is {}, which is read but not written",
                    column.name.escape_debug(),
                    column.sql_type
                )));
            }
            if let Some(column) = columns.iter().find(|column| rounds(&column.sql_type)) {
                return Err(Error::unsupported(format!(
                    "column '{}' is {}, which rounds what it gets; make it decimal, or float or double without digits",
                    column.name.escape_debug(),
                    column.sql_type
                )));
            }
            let found = columns::engine_without_transactions(connection, &write.table).await?;
            if let Some(engine) = found {
                return Err(Error::unsupported(format!(
                    "the table is of {engine}, which cannot undo a write that fails; ALTER TABLE .. ENGINE = InnoDB"
                )));
            }
            Ok(Target {
                table: write.table.clone(),
                columns,
                side: false,
            })
        }
    }
}

async fn create(connection: &mut Conn, write: &Write) -> Result<Target> {
    let columns = write.schema.fields().iter().map(|field| column_for(field));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let defined = columns
        .iter()
        .map(|column| side_table::definition(&column.name, &column.sql_type));
    let defined: Vec<_> = defined.collect();
    let side = side_table::begin(connection, &write.table).await?;
    let sql = format!(
        "CREATE TABLE {} ({}) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin COMMENT = '{}'",
        side.quoted('`'),
        defined.join(", "),
        side_table::comment(&side)
    );
    connection.query_drop(sql).await.map_err(failed)?;
    Ok(Target {
        table: side,
        columns,
        side: true,
    })
}

/// Begins the transaction and does all of it but the commit.
async fn insert_all(
    connection: &mut Conn,
    write: &Write,
    target: &Target,
    mut rows: SendableRecordBatchStream,
) -> Result<u64, Failed> {
    let table = target.table.quoted('`');
    if !target.side && write.if_exists == IfExists::Replace {
        take_turns(connection, &write.table).await?;
    }
    connection
        .query_drop("START TRANSACTION")
        .await
        .map_err(failed)?;
    if !target.side && write.if_exists == IfExists::Replace {
        // Others see these rows until the commit.
        let sql = format!("DELETE FROM {table}");
        connection.query_drop(sql).await.map_err(failed)?;
    }
    let names: Vec<_> = target
        .columns
        .iter()
        .map(|c| quoted(&c.name, '`'))
        .collect();
    let insert = Insert {
        head: format!("INSERT INTO {table} ({}) VALUES ", names.join(", ")),
        one: format!("({})", vec!["?"; names.len()].join(", ")),
        most: (VALUES / names.len()).clamp(1, ROWS),
        accepted: target
            .columns
            .iter()
            .map(|column| Accepted::of(&column.sql_type))
            .collect(),
    };
    let mut written = 0;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let arrays = fitted(&batch, &target.columns)?;
        insert
            .send(connection, &target.columns, &arrays, batch.num_rows())
            .await?;
        written += batch.num_rows() as u64;
    }
    Ok(written)
}

/// Replacements of one table come one after the other: together they would lock rows in
/// different orders, and the server would end one.
async fn take_turns(connection: &mut Conn, table: &TableName) -> Result<()> {
    let sql = "SELECT get_lock(concat('atio_', sha1(concat(coalesce(?, database()), '.', ?))), ?)";
    let got: Option<Option<i64>> = connection
        .exec_first(sql, (&table.schema, &table.table, PATIENCE))
        .await
        .map_err(failed)?;
    match got.flatten() {
        Some(1) => Ok(()),
        _ => Err(Error::new(
            ErrorKind::Conflict,
            "another replacement of the table has not ended",
        )),
    }
}

/// A statement that brings several rows.
struct Insert {
    head: String,
    one: String,
    /// How many rows at most.
    most: usize,
    /// Of each column.
    accepted: Vec<Accepted>,
}

impl Insert {
    async fn send(
        &self,
        connection: &mut Conn,
        columns: &[Column],
        arrays: &[ArrayRef],
        rows: usize,
    ) -> Result<()> {
        let mut values = Vec::new();
        let (mut count, mut bytes) = (0, 0);
        for row in 0..rows {
            for ((array, column), accepted) in arrays.iter().zip(columns).zip(&self.accepted) {
                let value = cell(array, row)
                    .and_then(|value| accepted.check(&value).map(|()| value))
                    .map_err(|error| {
                        error.context(format!("column '{}'", column.name.escape_debug()))
                    })?;
                if let Value::Bytes(value) = &value {
                    bytes += value.len();
                }
                values.push(value);
            }
            count += 1;
            if count == self.most || bytes > BYTES || row + 1 == rows {
                let sql = format!("{}{}", self.head, vec![self.one.as_str(); count].join(", "));
                let values = Params::Positional(std::mem::take(&mut values));
                connection.exec_drop(sql, values).await.map_err(failed)?;
                (count, bytes) = (0, 0);
            }
        }
        Ok(())
    }
}
