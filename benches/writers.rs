//! What several processes pay that commit to one table at once.
//!
//! Four processes append a row fifty times each (`INSERT INTO t VALUES (..)`) to one table on the
//! local disk. Beside it the same two hundred appends by one process, which nobody disturbs: with
//! four writers a commit that loses a race goes on from the version that won. Once with commits that
//! wait for the disk, and once without (`atio.durability`). Rounds take turns.
//!
//! `ATIO_BENCH_ROUNDS` sets how many rounds there are (5). Without `--bench` (as in
//! `cargo test --benches`) the numbers are small, to see that the benchmark works.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod report;

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::prelude::SessionContext;
use tokio::runtime::Runtime;

use report::{median, milliseconds, print_table, ratio};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const WRITERS: usize = 4;
/// What a child process is told: the location, how often it appends, and whether commits wait for
/// the disk.
const LOCATION: &str = "ATIO_BENCH_WRITER_LOCATION";
const COMMITS: &str = "ATIO_BENCH_WRITER_COMMITS";
/// Each session says it for itself.
const DURABILITY: &str = "ATIO_BENCH_WRITER_DURABILITY";

fn main() -> Result<()> {
    if let Ok(location) = env::var(LOCATION) {
        return write(
            &location,
            env::var(COMMITS)?.parse()?,
            &env::var(DURABILITY)?,
        );
    }
    let measured = env::args().any(|argument| argument == "--bench");
    let rounds = match env::var("ATIO_BENCH_ROUNDS") {
        Ok(text) => text.parse()?,
        Err(_) if measured => 5,
        Err(_) => 1,
    };
    let commits = if measured { 50 } else { 2 };

    let mut rows = Vec::new();
    for durability in ["full", "none"] {
        let (mut several, mut alone) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            several.push(round(durability, WRITERS, commits)?);
            alone.push(round(durability, 1, WRITERS * commits)?);
        }
        let (several, alone) = (median(&several), median(&alone));
        rows.push(vec![
            durability.to_owned(),
            format!("{:.2} s", several.as_secs_f64()),
            milliseconds(several / commits_of(commits)),
            milliseconds(alone / commits_of(commits)),
            format!("{:.2}", ratio(several, alone)),
        ]);
    }
    print_table(
        &format!("{WRITERS} processes with {commits} commits each, and one with all of them"),
        &[
            "durability",
            "several, all",
            "several, a commit",
            "one, a commit",
            "several / one",
        ],
        &rows,
    );
    Ok(())
}

/// How many commits a round makes.
fn commits_of(each: usize) -> u32 {
    u32::try_from(WRITERS * each).unwrap_or(u32::MAX)
}

/// How long so many processes take to append so often each.
fn round(durability: &str, writers: usize, commits: usize) -> Result<Duration> {
    let directory = tempfile::tempdir()?;
    let location = directory.path().join("t");
    let location = location.to_str().ok_or("the path is no text")?;
    let ctx = session()?;
    let create = format!(
        "CREATE EXTERNAL TABLE t (writer BIGINT, n BIGINT) STORED AS ATIO LOCATION '{location}' \
         OPTIONS ('atio.durability' '{durability}')"
    );
    let runtime = Runtime::new()?;
    runtime.block_on(async { ctx.sql(&create).await?.collect().await })?;
    let mut children = Vec::new();
    for _ in 0..writers {
        children.push(begin(location, commits, durability)?);
    }
    let start = Instant::now();
    for (_, go) in &mut children {
        go.write_all(b"\n")?;
    }
    for (mut child, _) in children {
        if !child.wait()?.success() {
            return Err("a writer failed".into());
        }
    }
    let took = start.elapsed();
    let count = "SELECT count(*) FROM t";
    let counted = runtime.block_on(async { ctx.sql(count).await?.collect().await })?;
    let counted = counted[0].column(0).as_primitive::<Int64Type>().value(0);
    let all = i64::try_from(writers * commits)?;
    match counted == all {
        true => Ok(took),
        false => Err(format!("{all} rows were written, and there are {counted}").into()),
    }
}

/// A process that has opened the table, and begins with the next line that it is given.
fn begin(location: &str, commits: usize, durability: &str) -> Result<(Child, ChildStdin)> {
    let mut child = Command::new(env::current_exe()?)
        .env(LOCATION, location)
        .env(COMMITS, commits.to_string())
        .env(DURABILITY, durability)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let go = child.stdin.take().ok_or("the writer has no input")?;
    let said = child.stdout.take().ok_or("the writer has no output")?;
    BufReader::new(said).read_line(&mut String::new())?;
    Ok((child, go))
}

fn session() -> Result<SessionContext> {
    let ctx = SessionContext::new();
    atio::register(&ctx)?;
    Ok(ctx)
}

/// What a child process does.
fn write(location: &str, commits: usize, durability: &str) -> Result<()> {
    let ctx = session()?;
    let runtime = Runtime::new()?;
    let run = |sql: &str| runtime.block_on(async { ctx.sql(sql).await?.collect().await });
    run(&format!(
        "CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{location}' \
         OPTIONS ('atio.durability' '{durability}')"
    ))?;
    run("SELECT count(*) FROM t")?;
    println!("ready");
    if std::io::stdin().read_line(&mut String::new())? == 0 {
        return Err("whoever counts has ended".into());
    }
    for n in 0..commits {
        run(&format!(
            "INSERT INTO t VALUES ({}, {n})",
            std::process::id()
        ))?;
    }
    Ok(())
}
