//! TPC-H over atio tables and over DataFusion's own Parquet files of the same rows.
//!
//! The two sides take turns in one process, and answer alike. `ATIO_BENCH_SF` sets the scale factor (1
//! by default), `ATIO_BENCH_RUNS` how often each query runs on either side (5 by default). The data stays
//! under `target/tmp/` for the next run. Without `--bench` the scale factor is 0.01 and each query runs
//! once.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

#[path = "../sql-tests/tpch/data.rs"]
mod data;
mod report;
mod sides;

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;
use tokio::runtime::Runtime;

use report::print_table;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    Runtime::new()?.block_on(measure())
}

async fn measure() -> Result<()> {
    let measured = env::args().any(|argument| argument == "--bench");
    let scale_factor = number("ATIO_BENCH_SF", if measured { 1.0 } else { 0.01 })?;
    let runs = number("ATIO_BENCH_RUNS", if measured { 5.0 } else { 1.0 })? as usize;
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tpch-sf{scale_factor}"));
    fs::create_dir_all(&root)?;
    let (atio, listing) = (SessionContext::new(), SessionContext::new());
    atio::register(&atio)?;
    data::open(&atio, &listing, &root, scale_factor).await?;

    let mut rows = Vec::new();
    let mut totals = [Duration::ZERO; 2];
    for (query, sql) in (1..).zip(data::QUERIES) {
        // The first run of each side warms it up, and shows that both answer alike.
        let answers = [&atio, &listing].map(|ctx| data::run(ctx, sql));
        let [ours, plain] = futures::future::join_all(answers)
            .await
            .try_into()
            .map_err(|_| "two sides")?;
        let (ours, plain) = (
            pretty_format_batches(&ours?)?,
            pretty_format_batches(&plain?)?,
        );
        if ours.to_string() != plain.to_string() {
            return Err(format!("Q{query}: atio says\n{ours}\nplain Parquet says\n{plain}").into());
        }
        let medians = sides::take_turns([&atio, &listing], sql, runs).await?;
        totals = [0, 1].map(|side| totals[side] + medians[side]);
        rows.push(sides::row(&format!("Q{query}"), medians));
    }
    rows.push(sides::row("all", totals));
    print_table(
        &format!("TPC-H at scale factor {scale_factor}, the same rows ({runs} runs, medians)"),
        &["query", "atio", "plain Parquet", "atio / plain"],
        &rows,
    );
    Ok(())
}

fn number(variable: &str, default: f64) -> Result<f64> {
    match env::var(variable) {
        Ok(text) => Ok(text.parse()?),
        Err(_) => Ok(default),
    }
}
