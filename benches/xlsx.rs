//! What a sheet of 100,000 rows and eight columns costs, against Python's libraries.
//!
//! `COPY .. STORED AS XLSX` of a table in memory takes turns with Python's openpyxl and XlsxWriter,
//! each in both of its modes; all write the same values to the same directory, and Python's clock
//! starts when its rows are there. `ATIO_BENCH_PYTHON` names the interpreter that has both
//! libraries; without it only our own time is measured. Without `--bench` (as in
//! `cargo test --benches`) there are 100 rows and one turn, to see that the benchmark works.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod report;

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use datafusion::prelude::SessionContext;

use report::{median, milliseconds, print_table, ratio};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const OURS: &str = "COPY .. STORED AS XLSX";

#[tokio::main]
async fn main() -> Result<()> {
    let measured = env::args().any(|argument| argument == "--bench");
    let (rows, turns) = if measured { (100_000, 5) } else { (100, 1) };
    let directory = tempfile::tempdir()?;
    let ctx = SessionContext::new();
    atio::register(&ctx)?;
    make_rows(&ctx, rows).await?;

    let mut samples: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    for _ in 0..turns {
        let ours = write(&ctx, directory.path()).await?;
        samples.entry(OURS.to_owned()).or_default().push(ours);
        for (name, theirs) in python(rows, directory.path())? {
            samples.entry(name).or_default().push(theirs);
        }
    }

    let base = median(&samples[OURS]);
    let mut medians: Vec<_> = samples
        .iter()
        .map(|(name, all)| (median(all), name))
        .collect();
    medians.sort_unstable();
    let table: Vec<_> = medians
        .into_iter()
        .map(|(time, name)| {
            vec![
                name.clone(),
                milliseconds(time),
                format!("{:.2}", ratio(time, base)),
            ]
        })
        .collect();
    print_table(
        &format!("Writing {rows} rows of 8 columns as XLSX, medians of {turns}"),
        &["", "time", "ratio"],
        &table,
    );
    if env::var_os("ATIO_BENCH_PYTHON").is_none() {
        println!("\nATIO_BENCH_PYTHON names no interpreter: Python's libraries were not measured");
    }
    Ok(())
}

/// The rows of `xlsx/write.py`, as a table in memory.
async fn make_rows(ctx: &SessionContext, rows: usize) -> Result<()> {
    let sql = format!(
        "CREATE TABLE rows AS SELECT value AS id, concat('customer ', value % 1000) AS name, \
         CAST(value * 37 % 100000 / 100.0 AS DECIMAL(9, 2)) AS price, value / 7.0 AS quantity, \
         CAST(DATE '2024-01-01' + CAST(concat(value % 365, ' days') AS INTERVAL) AS DATE) AS day, \
         to_timestamp(1704067200 + value) AS at, value % 3 = 0 AS paid, \
         concat('row number ', value, ' of the benchmark, with a few words') AS note \
         FROM range({rows})"
    );
    ctx.sql(&sql).await?.collect().await?;
    Ok(())
}

async fn write(ctx: &SessionContext, directory: &Path) -> Result<Duration> {
    let target = directory.join("atio.xlsx");
    let sql = format!("COPY rows TO '{}' STORED AS XLSX", target.display());
    let start = Instant::now();
    ctx.sql(&sql).await?.collect().await?;
    Ok(start.elapsed())
}

/// What Python's libraries take, if there is a Python.
fn python(rows: usize, directory: &Path) -> Result<Vec<(String, Duration)>> {
    let Some(program) = env::var_os("ATIO_BENCH_PYTHON") else {
        return Ok(Vec::new());
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/xlsx/write.py");
    let output = Command::new(program)
        .arg(script)
        .arg(rows.to_string())
        .arg(directory)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let seconds: BTreeMap<String, f64> = serde_json::from_slice(&output.stdout)?;
    let times = seconds.into_iter();
    Ok(times
        .map(|(name, seconds)| (name, Duration::from_secs_f64(seconds)))
        .collect())
}
