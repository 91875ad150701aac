//! Rows of a table of PostgreSQL.

use datafusion::arrow::array::RecordBatchOptions;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use futures::TryStreamExt;
use tokio::sync::mpsc::Sender;
use tokio::task::AbortHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use super::client::{failed, open};
use super::decode::array;
use super::{columns, types};
use crate::database::column::{Column, schema_of};
use crate::database::error::no_such_table;
use crate::database::name::{TableName, quoted};
use crate::database::server::Server;
use crate::error::{Error, Result as AtioResult};

/// Rows of one batch.
const BATCH: usize = 8192;
/// How many batches may wait for the reader.
const QUEUE: usize = 2;

pub(in crate::database) async fn read(
    server: &Server,
    table: &TableName,
    columns: Vec<Column>,
    limit: Option<usize>,
) -> Result<SendableRecordBatchStream> {
    let mut stream = RecordBatchReceiverStream::builder(schema_of(&columns), QUEUE);
    let sender = stream.tx();
    let (server, table) = (server.clone(), table.clone());
    stream.spawn(async move {
        let sent = send_all(&server, &table, &columns, limit, &sender).await;
        sent.map_err(|error| {
            error
                .context(format!("cannot read table '{table}' of PostgreSQL"))
                .into()
        })
    });
    Ok(stream.build())
}

/// Fails unless the columns are still what they were: values come as bytes that say nothing
/// of their type. What was prepared before this fails by itself if they change after it.
async fn check_types(client: &Client, table: &TableName, known: &[Column]) -> AtioResult<()> {
    let found = columns::of(client, table).await?;
    let found = found.ok_or_else(no_such_table)?;
    let changed = known.iter().find(|column| {
        let same = |other: &Column| other.name == column.name && other.sql_type == column.sql_type;
        !found.iter().any(same)
    });
    match changed {
        None => Ok(()),
        Some(column) => Err(Error::invalid(format!(
            "column '{}' is not of the type {} any more: open the table again",
            column.name.escape_debug(),
            column.sql_type
        ))),
    }
}

/// Hangs up on the server unless all rows were read: a connection that is ended in order
/// reads them all first.
struct Unread(Option<AbortHandle>);

impl Drop for Unread {
    fn drop(&mut self) {
        if let Some(driver) = &self.0 {
            driver.abort();
        }
    }
}

async fn send_all(
    server: &Server,
    table: &TableName,
    columns: &[Column],
    limit: Option<usize>,
    sender: &Sender<Result<RecordBatch>>,
) -> AtioResult<()> {
    let (client, driver) = open(server).await?;
    let mut unread = Unread(Some(tokio::spawn(driver).abort_handle()));
    let wanted = columns.iter().map(|column| {
        let name = quoted(&column.name, '"');
        match types::data_type(&column.sql_type) {
            Some(_) => name,
            // As the server prints it.
            None => format!("{name}::text"),
        }
    });
    let wanted: Vec<_> = wanted.collect();
    let limit = limit.map(|limit| format!(" LIMIT {limit}"));
    let sql = format!(
        "SELECT {} FROM {}{}",
        wanted.join(", "),
        table.quoted('"'),
        limit.unwrap_or_default()
    );
    let nothing: [&(dyn ToSql + Sync); 0] = [];
    let statement = client.prepare(&sql).await.map_err(failed)?;
    check_types(&client, table, columns).await?;
    let rows = client.query_raw(&statement, nothing).await;
    let rows = rows.map_err(failed)?;
    let mut rows = std::pin::pin!(rows);
    let mut ended = false;
    loop {
        let mut chunk: Vec<Row> = Vec::with_capacity(BATCH);
        while chunk.len() < BATCH && !ended {
            match rows.try_next().await.map_err(failed)? {
                Some(row) => chunk.push(row),
                // It is not to be asked again.
                None => ended = true,
            }
        }
        if chunk.is_empty() {
            unread.0 = None;
            return Ok(());
        }
        let arrays = columns.iter().enumerate().map(|(at, column)| {
            array(&chunk, at, column)
                .map_err(|error| error.context(format!("column '{}'", column.name.escape_debug())))
        });
        let arrays = arrays.collect::<AtioResult<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(chunk.len()));
        let batch = RecordBatch::try_new_with_options(schema_of(columns), arrays, &options)
            .map_err(|error| Error::invalid(error.to_string()))?;
        if sender.send(Ok(batch)).await.is_err() {
            // Nobody wants more.
            return Ok(());
        }
    }
}
