//! Tables without SQL, and `atio::sql` in place of the session's own.

#![cfg(test)]

mod changes;
mod create_as;
mod drops;
mod memory;
mod merges;
mod refusals;
mod statements;
mod stock;
mod table_changes;
mod tables;

use std::sync::Arc;

use atio::{AtioTable, CommitOptions, CreateOptions};
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use datafusion::prelude::SessionContext;

use crate::query::texts;
use crate::session::Place;

/// Rows with these values of `a`.
fn batch(values: &[i64]) -> RecordBatch {
    let values: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
    RecordBatch::try_from_iter_with_nullable([("a", values, true)]).unwrap()
}

fn frame(ctx: &SessionContext, values: &[i64]) -> DataFrame {
    ctx.read_batch(batch(values)).unwrap()
}

/// A new table at `t` with one column, `a`, and a version for each list of values.
async fn table(ctx: &SessionContext, place: &Place, versions: &[&[i64]]) -> AtioTable {
    let location = format!("{}/t", place.root());
    let columns = batch(&[]).schema();
    let options = CreateOptions::default();
    let table = AtioTable::create(ctx, &location, &columns, options).await;
    let table = table.unwrap();
    for values in versions {
        append(ctx, &table, values).await;
    }
    table
}

async fn append(ctx: &SessionContext, table: &AtioTable, values: &[i64]) {
    let rows = frame(ctx, values);
    table.append(rows, CommitOptions::default()).await.unwrap();
}

/// What a table holds.
async fn content(ctx: &SessionContext, table: &AtioTable) -> Vec<String> {
    texts(&table.read(ctx).unwrap().collect().await.unwrap())
}

/// Runs a statement that must succeed by `atio::sql`.
async fn sql(ctx: &SessionContext, text: &str) -> Vec<String> {
    let run = async { atio::sql(ctx, text).await?.collect().await };
    match run.await {
        Ok(batches) => texts(&batches),
        Err(error) => panic!("{text}: {error}"),
    }
}

/// What a statement that must fail says there.
async fn refused(ctx: &SessionContext, text: &str) -> String {
    let run = async { atio::sql(ctx, text).await?.collect().await };
    match run.await {
        Ok(batches) => panic!("{text} succeeded with {:?}", texts(&batches)),
        Err(error) => error.strip_backtrace(),
    }
}

/// A function `meanwhile` that gives back its argument, and runs a statement in another session
/// before it does.
fn meanwhile(other: SessionContext, statement: impl Into<String>) -> ScalarUDF {
    let statement = statement.into();
    let run = move |arguments: &[ColumnarValue]| {
        let (other, statement) = (other.clone(), statement.clone());
        let ran = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().unwrap();
            runtime.block_on(sql(&other, &statement))
        });
        assert_eq!(ran.join().unwrap().len(), 1);
        Ok(arguments[0].clone())
    };
    create_udf(
        "meanwhile",
        vec![DataType::Int64],
        DataType::Int64,
        Volatility::Volatile,
        Arc::new(run),
    )
}
