//! Rows into a table of PostgreSQL, in one transaction.

use bytes::Bytes;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use futures::{SinkExt, StreamExt};
use tokio_postgres::Client;

use super::client::{connect, failed};
use super::columns;
use super::commit::Sent;
use super::encode::{Encoder, HEADER, TRAILER};
use super::types::{LONGEST_NAME, column_for};
use crate::database::cells::fitted;
use crate::database::column::Column;
use crate::database::compatibility::{check_names, columns_for};
use crate::database::error::{Failed, no_such_table, table_exists};
use crate::database::name::quoted;
use crate::database::server::Server;
use crate::database::write::{IfExists, Write};
use crate::error::{Error, ErrorKind, Result};

/// How many bytes go into one message, about.
const MESSAGE: usize = 64 * 1024;

pub(in crate::database) async fn write(
    server: &Server,
    write: Write,
    mut rows: SendableRecordBatchStream,
) -> Result<u64, Failed> {
    check_names(&write.schema)?;
    // Dropped without a commit, the connection ends and the server rolls back.
    let client = connect(server).await?;
    // Under a stricter level the rows that are replaced would be those of the beginning.
    let begin = "BEGIN ISOLATION LEVEL READ COMMITTED";
    client.batch_execute(begin).await.map_err(failed)?;
    let sent = Sent::of(&client).await?;
    let target = prepare(&client, &write).await?;
    let encoders = target.iter().map(Encoder::of).collect::<Result<Vec<_>>>()?;

    let names: Vec<_> = target.iter().map(|c| quoted(&c.name, '"')).collect();
    let copy = format!(
        "COPY {} ({}) FROM STDIN BINARY",
        write.table.quoted('"'),
        names.join(", ")
    );
    let sink = client.copy_in::<_, Bytes>(&copy).await.map_err(failed)?;
    let mut sink = std::pin::pin!(sink);
    let mut message = HEADER.to_vec();
    let mut written = 0;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let arrays = fitted(&batch, &target)?;
        for row in 0..batch.num_rows() {
            append_row(&batch, &mut message)?;
            for (encoder, array) in encoders.iter().zip(&arrays) {
                encoder.append(array, row, &mut message)?;
            }
            if message.len() >= MESSAGE {
                let full = std::mem::replace(&mut message, Vec::with_capacity(MESSAGE + 1024));
                if sink.send(full.into()).await.is_err() {
                    // The server has ended the copy; its answer says why.
                    let error = sink.as_mut().finish().await.err();
                    return Err(error.map_or_else(ended, failed).into());
                }
            }
        }
        written += batch.num_rows() as u64;
    }
    message.extend(TRAILER);
    sink.send(message.into()).await.map_err(failed)?;
    let copied = sink.as_mut().finish().await.map_err(failed)?;
    if copied != written {
        let message = format!("the server has {copied} of {written} rows");
        return Err(Error::new(ErrorKind::Storage, message).into());
    }
    sent.commit(server, &client).await?;
    Ok(written)
}

fn append_row(batch: &RecordBatch, message: &mut Vec<u8>) -> Result<()> {
    let columns = i16::try_from(batch.num_columns())
        .map_err(|_| Error::invalid("there are more columns than PostgreSQL takes"))?;
    message.extend(columns.to_be_bytes());
    Ok(())
}

fn ended() -> Error {
    Error::new(ErrorKind::Storage, "the connection ended")
}

/// Makes the table ready for the rows, and says which columns they go to.
async fn prepare(client: &Client, write: &Write) -> Result<Vec<Column>> {
    let table = write.table.quoted('"');
    match columns::of(client, &write.table).await? {
        None if !write.create => Err(no_such_table()),
        None => create(client, write, &table).await,
        Some(_) if write.if_exists == IfExists::Fail => Err(table_exists()),
        Some(_) => {
            let replace = write.if_exists == IfExists::Replace;
            // The stronger lock makes two replacements take turns; neither stops a reader.
            let mode = match replace {
                true => "SHARE ROW EXCLUSIVE",
                false => "ROW EXCLUSIVE",
            };
            let lock = format!("LOCK TABLE {table} IN {mode} MODE");
            client.batch_execute(&lock).await.map_err(failed)?;
            // From here on nobody changes their types, by which values are encoded.
            let columns = columns::of(client, &write.table).await?;
            let columns = columns_for(&write.schema, &columns.ok_or_else(no_such_table)?)?;
            if replace {
                // Deleted rows stay visible to others until the commit, which TRUNCATE's
                // would not.
                let delete = format!("DELETE FROM {table}");
                client.batch_execute(&delete).await.map_err(failed)?;
            }
            Ok(columns)
        }
    }
}

async fn create(client: &Client, write: &Write, table: &str) -> Result<Vec<Column>> {
    if write.table.table.len() > LONGEST_NAME {
        return Err(Error::invalid(format!(
            "a name of PostgreSQL's has at most {LONGEST_NAME} bytes"
        )));
    }
    let columns = write.schema.fields().iter().map(|field| column_for(field));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let defined = columns
        .iter()
        .map(|column| format!("{} {}", quoted(&column.name, '"'), column.sql_type));
    let defined: Vec<_> = defined.collect();
    let sql = format!("CREATE TABLE {table} ({})", defined.join(", "));
    client.batch_execute(&sql).await.map_err(failed)?;
    Ok(columns)
}
