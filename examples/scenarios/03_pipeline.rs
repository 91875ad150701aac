//! A step of a pipeline waits for the step before it, by the marker of a file or the version
//! of a table, and never sees half a result.

use std::fs;

use atio::Marker;
use datafusion::error::Result;

use crate::process::Process;
use crate::session::session;
use crate::story::{ask, ensure, show};

/// Rows of each result.
const ROWS: usize = 200_000;

pub(crate) async fn run() -> Result<()> {
    let ctx = session()?;
    ask(&ctx, "CREATE TABLE features (id BIGINT, x DOUBLE)").await?;
    let result = format!("SELECT value AS id, sqrt(value) AS x FROM generate_series(1, {ROWS})");
    let steps = [
        format!("COPY ({result}) TO 'features.csv' STORED AS CSV OPTIONS ('atio.marker' 'true')"),
        format!("INSERT INTO features {result}"),
    ];
    println!("\n  Another process, the step before:");
    for sql in &steps {
        println!("  {sql};");
    }
    let mut step_before = Process::sql(&steps)?;

    println!("\n  This step waits until .features.csv._SUCCESS is there.");
    let mut looks = 0;
    step_before.wait_until(|| {
        looks += 1;
        matches!(Marker::read("features.csv"), Ok(Some(_)))
    })?;
    let lines = fs::read_to_string("features.csv")?.lines().count();
    println!("  It was at look {looks}; the file has {} rows.", lines - 1);
    ensure(
        lines == ROWS + 1,
        "the file is complete once the marker is there",
    )?;

    println!("\n  Then it waits for version 1 of the table.");
    let mut empty = 0;
    loop {
        // Before the look: it may end between the two.
        let running = step_before.is_running()?;
        let count = "SELECT count(*) AS rows FROM features";
        let rows = ask(&ctx, count).await?.number(0, "rows")? as usize;
        ensure(rows == 0 || rows == ROWS, "the table has all rows or none")?;
        if rows == ROWS {
            break;
        }
        empty += 1;
        ensure(running, "the step before is still at it")?;
    }
    println!("  It looked {empty} times at a table without rows, and then at one with all.");
    step_before.succeed()?;
    let newest = "SELECT version, rows FROM atio_history('features') ORDER BY version DESC LIMIT 1";
    let newest = show(&ctx, newest).await?;
    newest.must_be(0, "version", 1)?;
    newest.must_be(0, "rows", ROWS)
}
