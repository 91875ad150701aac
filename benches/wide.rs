//! A scan of 2,000 columns over 40 small files, atio to DataFusion's `ListingTable` over the very same
//! files.
//!
//! The two sides take turns in one process. `ATIO_BENCH_RUNS` says how often (9 by default). Without
//! `--bench` there are 20 columns and 4 files, and each side runs once.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod report;
mod sides;

use std::env;
use std::error::Error;

use datafusion::prelude::SessionContext;
use tokio::runtime::Runtime;

use report::print_table;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    Runtime::new()?.block_on(measure())
}

async fn measure() -> Result<()> {
    let measured = env::args().any(|argument| argument == "--bench");
    let (columns, files, runs) = if measured { (2000, 40, 9) } else { (20, 4, 1) };
    let runs = match env::var("ATIO_BENCH_RUNS") {
        Ok(text) => text.parse()?,
        Err(_) => runs,
    };
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let table = directory.path().join("wide");
    let atio = SessionContext::new();
    atio::register(&atio)?;
    let list = |item: &dyn Fn(usize) -> String| -> String {
        (0..columns).map(item).collect::<Vec<_>>().join(", ")
    };
    let create = format!(
        "CREATE EXTERNAL TABLE wide ({}) STORED AS ATIO LOCATION '{}'",
        list(&|n| format!("c{n} BIGINT")),
        table.display()
    );
    run(&atio, &create).await?;
    let insert = format!(
        "INSERT INTO wide SELECT {} FROM generate_series(1, 10)",
        list(&|n| format!("value + {n} AS c{n}"))
    );
    for _ in 0..files {
        run(&atio, &insert).await?;
    }
    let listing = SessionContext::new();
    // Each transaction has a directory.
    let set = "SET datafusion.execution.listing_table_ignore_subdirectory = false";
    run(&listing, set).await?;
    let create = format!(
        "CREATE EXTERNAL TABLE wide STORED AS PARQUET LOCATION '{}/data/'",
        table.display()
    );
    run(&listing, &create).await?;

    let mut rows = Vec::new();
    for (name, sql) in [
        ("all columns", "SELECT * FROM wide"),
        ("all columns, a filter", "SELECT * FROM wide WHERE c7 > 3"),
        ("one column", "SELECT sum(c9) FROM wide"),
    ] {
        // The first run of each side warms it up.
        sides::take_turns([&atio, &listing], sql, 1).await?;
        let medians = sides::take_turns([&atio, &listing], sql, runs).await?;
        rows.push(sides::row(name, medians));
    }
    print_table(
        &format!("{columns} columns, {files} files ({runs} runs, medians)"),
        &["query", "atio", "ListingTable", "atio / ListingTable"],
        &rows,
    );
    Ok(())
}

async fn run(ctx: &SessionContext, sql: &str) -> Result<()> {
    ctx.sql(sql).await?.collect().await?;
    Ok(())
}
