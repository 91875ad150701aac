//! A process loses its database in the middle of a write: nothing of the write is there.
//!
//! Here it is SQLite and a process that is killed; a lost connection to PostgreSQL or MariaDB
//! ends in the same way, for every write is one transaction.

use std::fs;

use datafusion::error::Result;

use crate::process::Process;
use crate::session::session;
use crate::story::{ensure, show};

pub(crate) async fn run() -> Result<()> {
    let ctx = session()?;
    let first = "COPY (SELECT 1 AS id, 'tea' AS item) TO 'shop.db/orders' STORED AS SQLITE";
    show(&ctx, first).await?;
    // What a transaction writes before its commit.
    let bytes = || fs::metadata("shop.db-wal").map_or(0, |file| file.len());

    let replace = "COPY (SELECT value AS id, 'cake' AS item FROM generate_series(1, 1000000000))
    TO 'shop.db/orders' STORED AS SQLITE OPTIONS (if_exists 'replace')";
    println!("\n  Another process replaces the rows, and is killed:\n  {replace};");
    let mut writer = Process::sql(&[replace])?;
    writer.wait_until(|| bytes() > 1_000_000)?;
    writer.kill()?;
    println!(
        "  it had written {} bytes into the log of the database",
        bytes()
    );

    println!("\n  The old row is there, and nothing else:");
    let open = "CREATE EXTERNAL TABLE orders STORED AS SQLITE LOCATION 'shop.db/orders'";
    show(&ctx, open).await?;
    let rows = show(&ctx, "SELECT * FROM orders").await?;
    ensure(rows.rows() == 1, "there is one row")?;
    rows.must_be(0, "item", "tea")?;

    println!("\n  Running it again is safe:");
    let again = replace.replace("1000000000", "1000");
    Process::sql(&[again])?.succeed()?;
    let rows = show(
        &ctx,
        "SELECT count(*) AS rows, min(item) AS item FROM orders",
    )
    .await?;
    rows.must_be(0, "rows", 1000)?;
    rows.must_be(0, "item", "cake")
}
