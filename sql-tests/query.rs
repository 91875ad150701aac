//! Statements, and the cells of their results.

#![cfg(test)]

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::SessionContext;

use crate::session::{Place, run};

/// The rows of a result as text, cells parted by `|`, sorted.
pub(crate) fn texts(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<_> = columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect();
            rows.push(cells.join("|"));
        }
    }
    rows.sort_unstable();
    rows
}

/// The rows of a statement that must succeed.
pub(crate) async fn rows(ctx: &SessionContext, sql: &str) -> Vec<String> {
    match run(ctx, sql).await {
        Ok(batches) => texts(&batches),
        Err(error) => panic!("{sql}: {error}"),
    }
}

/// The only row of a statement that must succeed.
pub(crate) async fn row(ctx: &SessionContext, sql: &str) -> String {
    let mut rows = rows(ctx, sql).await;
    assert_eq!(rows.len(), 1, "{sql} gave {rows:?}");
    rows.remove(0)
}

/// What a statement that must fail says.
pub(crate) async fn failure(ctx: &SessionContext, sql: &str) -> String {
    match run(ctx, sql).await {
        Ok(batches) => panic!("{sql} succeeded with {:?}", texts(&batches)),
        Err(error) => error.strip_backtrace(),
    }
}

/// Opens or creates the table `t` of `place`, with a column `a`, under `name`.
pub(crate) async fn open(ctx: &SessionContext, place: &Place, name: &str) {
    let sql = format!(
        "CREATE EXTERNAL TABLE {name} (a BIGINT) STORED AS ATIO LOCATION '{}/t'",
        place.root()
    );
    rows(ctx, &sql).await;
}
