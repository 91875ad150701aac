//! Rows of a table of MySQL.

use datafusion::arrow::array::RecordBatchOptions;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use mysql_async::Value;
use mysql_async::prelude::Queryable;
use tokio::sync::mpsc::Sender;

use super::client::{connect, failed};
use super::decode::array;
use super::types;
use crate::database::column::{Column, schema_of};
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
                .context(format!("cannot read table '{table}' of MySQL"))
                .into()
        })
    });
    Ok(stream.build())
}

/// Has the server end a connection, unless all rows were read: the client reads them all
/// before it hangs up.
struct Unread(Option<Scan>);

struct Scan {
    server: Server,
    /// The server's number of the connection.
    id: u32,
    sql: String,
}

impl Scan {
    async fn end(&self) -> AtioResult<()> {
        let mut connection = connect(&self.server).await?;
        // Behind a proxy the number may be another's.
        let ours = "SELECT id FROM information_schema.processlist WHERE id = ? AND info = ?";
        let found: Option<u64> = connection
            .exec_first(ours, (self.id, &self.sql))
            .await
            .map_err(failed)?;
        if let Some(id) = found {
            let end = format!("KILL {id}");
            connection.query_drop(end).await.map_err(failed)?;
        }
        connection.disconnect().await.map_err(failed)
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        // Without a runtime the connection has ended.
        let runtime = tokio::runtime::Handle::try_current();
        if let (Some(scan), Ok(runtime)) = (self.0.take(), runtime) {
            // If this fails, the client reads on.
            runtime.spawn(async move { scan.end().await.ok() });
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
    let mut connection = connect(server).await?;
    let wanted = columns
        .iter()
        .map(|column| types::selected(&quoted(&column.name, '`'), &column.sql_type));
    let wanted = match columns.is_empty() {
        true => "NULL".to_owned(),
        false => wanted.collect::<Vec<_>>().join(", "),
    };
    let limit = limit.map(|limit| format!(" LIMIT {limit}"));
    let sql = format!(
        "SELECT {wanted} FROM {}{}",
        table.quoted('`'),
        limit.unwrap_or_default()
    );
    let mut unread = Unread(Some(Scan {
        server: server.clone(),
        id: connection.id(),
        sql: sql.clone(),
    }));
    let mut rows = connection.exec_iter(sql, ()).await.map_err(failed)?;
    let mut ended = false;
    loop {
        let mut values: Vec<Vec<Value>> = columns.iter().map(|_| Vec::new()).collect();
        let mut count = 0;
        while count < BATCH && !ended {
            let Some(row) = rows.next().await.map_err(failed)? else {
                // It is not to be asked again.
                ended = true;
                break;
            };
            for (column, value) in values.iter_mut().zip(row.unwrap()) {
                column.push(value);
            }
            count += 1;
        }
        if count == 0 {
            unread.0 = None;
            return Ok(());
        }
        let arrays = values.into_iter().zip(columns).map(|(values, column)| {
            array(values, &column.data_type)
                .map_err(|error| error.context(format!("column '{}'", column.name.escape_debug())))
        });
        let arrays = arrays.collect::<AtioResult<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(schema_of(columns), arrays, &options)
            .map_err(|error| Error::invalid(error.to_string()))?;
        if sender.send(Ok(batch)).await.is_err() {
            // Nobody wants more.
            return Ok(());
        }
    }
}
