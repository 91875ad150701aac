//! The table that the tests of changed rows begin with.

use std::sync::Arc;

use atio::{AtioTable, CommitOptions, CreateOptions, ErrorKind, RowsChanged};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::dataframe::DataFrame;
use datafusion::prelude::SessionContext;

use crate::session::Place;

pub(super) const ROWS: &str = "SELECT * FROM (VALUES (1, 'one', 10), (2, 'two', 20), (3, 'three', 30), \
                    (NULL, 'none', 0)) AS v(id, v, n)";

pub(super) fn commit() -> CommitOptions {
    CommitOptions::default()
}

pub(super) async fn frame(ctx: &SessionContext, query: &str) -> DataFrame {
    ctx.sql(query).await.unwrap()
}

/// A table at `name` with a key, a text and a number, registered under that name.
pub(super) async fn stock(ctx: &SessionContext, place: &Place, name: &str) -> AtioTable {
    let columns = Schema::new(vec![
        Field::new("id", DataType::Int32, true),
        Field::new("v", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
    ]);
    let location = format!("{}/{name}", place.root());
    let table = AtioTable::create(ctx, &location, &columns, CreateOptions::default()).await;
    let table = table.unwrap();
    let rows = frame(ctx, ROWS).await;
    table.append(rows, commit()).await.unwrap();
    let registered = Arc::new(table.clone());
    ctx.register_table(name, registered).unwrap();
    table
}

/// The kind of an error, and its words.
pub(super) fn refusal(result: atio::Result<RowsChanged>) -> (ErrorKind, String) {
    let error = result.unwrap_err();
    (error.kind(), error.to_string())
}
