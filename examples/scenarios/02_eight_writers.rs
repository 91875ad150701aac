//! Eight processes write one file and one table at once: the file is always one of theirs, and
//! no version of the table is lost.

use std::fs;

use datafusion::error::Result;

use crate::process::Process;
use crate::session::session;
use crate::story::{ensure, show, unexpected};

const WRITERS: u64 = 8;

pub(crate) async fn run() -> Result<()> {
    let ctx = session()?;
    show(&ctx, "CREATE TABLE measured (writer BIGINT, n BIGINT)").await?;

    println!("\n  Each of {WRITERS} processes, here the second:");
    for sql in statements(2) {
        println!("  {sql};");
    }
    let mut writers = Vec::new();
    for writer in 1..=WRITERS {
        writers.push(Process::sql(&statements(writer))?);
    }

    let mut reads = 0;
    loop {
        let mut running = false;
        for writer in &mut writers {
            running |= writer.is_running()?;
        }
        if !running {
            break;
        }
        if let Ok(text) = fs::read_to_string("shared.csv") {
            check_whole(&text)?;
            reads += 1;
        }
    }
    for writer in writers {
        writer.succeed()?;
    }
    println!("\n  The file was read {reads} times meanwhile, and was always one writer's, whole.");
    ensure(reads > 0, "the file was read while it was written")?;
    check_whole(&fs::read_to_string("shared.csv")?)?;

    let rows =
        "SELECT count(*) AS rows, count(DISTINCT writer * 1000 + n) AS different FROM measured";
    let rows = show(&ctx, rows).await?;
    rows.must_be(0, "rows", WRITERS * 30)?;
    rows.must_be(0, "different", WRITERS * 30)?;
    let versions =
        "SELECT max(version) AS newest, sum(rows_added) AS rows FROM atio_history('measured')";
    let versions = show(&ctx, versions).await?;
    versions.must_be(0, "newest", WRITERS * 3)?;
    versions.must_be(0, "rows", WRITERS * 30)
}

fn statements(writer: u64) -> Vec<String> {
    let rows = 200 * writer;
    let copy = format!(
        "COPY (SELECT value AS line, {rows} AS lines FROM generate_series(1, {rows})) TO 'shared.csv' STORED AS CSV"
    );
    let insert = |from: u64| {
        let to = from + 9;
        format!("INSERT INTO measured SELECT {writer}, value FROM generate_series({from}, {to})")
    };
    vec![copy.clone(), insert(1), insert(11), insert(21), copy]
}

/// Fails unless the file has as many lines as each of them says, all of one writer.
fn check_whole(text: &str) -> Result<()> {
    let last = text.trim_end().rsplit('\n').next().unwrap_or_default();
    let (line, lines) = last
        .split_once(',')
        .ok_or_else(|| unexpected("a torn line"))?;
    ensure(
        line == lines && text.ends_with('\n'),
        "the last line is the last",
    )?;
    let of_one = text
        .lines()
        .skip(1)
        .all(|line| line.ends_with(&format!(",{lines}")));
    ensure(of_one, "all lines are of one writer")?;
    ensure(
        (text.lines().count() - 1).to_string() == lines,
        "no line is missing",
    )
}
