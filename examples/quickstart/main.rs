//! A year of flights in a versioned table: load it day by day, look back, correct a day, clean up.
//!
//! Run it with `cargo run --example quickstart`, or `cargo run --example quickstart -- DIRECTORY`
//! to keep the table. Everything it prints is computed; it exits with 1 if a fact does not hold.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "talking to the terminal is what it does"
)]

mod directory;
mod load;
#[path = "../story/mod.rs"]
mod story;

use std::process::ExitCode;

use datafusion::error::Result;
use datafusion::prelude::SessionContext;

use directory::Directory;
use story::{ask, chapter, ensure, show, unexpected};

/// How many flights left New York City in 2013.
const ALL_FLIGHTS: u64 = 336_776;

/// The version that the last day of the year makes.
const WHOLE_YEAR: u64 = 365;

/// The day whose delays are corrected.
const WRONG_DAY: &str = "2013-07-04";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let directory = Directory::choose()?;
    let ctx = SessionContext::new();
    atio::register(&ctx)?; // from here on, everything is SQL

    create_table(&ctx, &directory).await?;
    load::load_the_year(&ctx).await?;
    ask_something(&ctx).await?;
    skip_files(&ctx, &directory).await?;
    look_back(&ctx).await?;
    correct_a_day(&ctx).await?;
    show_history(&ctx).await?;
    expire_old_versions(&ctx, &directory).await?;
    check_what_is_left(&ctx).await?;
    if let Some(path) = directory.kept() {
        println!("\n  The table is kept in '{}'.", path.display());
    }
    Ok(())
}

async fn create_table(ctx: &SessionContext, directory: &Directory) -> Result<()> {
    chapter("A directory becomes a table");
    let create = format!(
        "CREATE EXTERNAL TABLE flights (
      day DATE, sched_dep_time SMALLINT, carrier VARCHAR, flight SMALLINT, origin VARCHAR,
      dest VARCHAR, dep_delay SMALLINT, arr_delay SMALLINT, distance SMALLINT)
    STORED AS ATIO LOCATION '{}'",
        directory.location()
    );
    show(ctx, &create).await?;
    Ok(())
}

async fn ask_something(ctx: &SessionContext) -> Result<()> {
    chapter("It is a table like any other");
    let worst_days = "SELECT day, count(*) AS flights, count(*) - count(dep_delay) AS cancelled
    FROM flights GROUP BY day ORDER BY cancelled DESC LIMIT 3";
    let worst_days = show(ctx, worst_days).await?;
    worst_days.must_be(0, "day", "2013-02-08")?; // the blizzard that was named Nemo

    let punctual =
        "SELECT name AS airline, count(*) AS flights, round(avg(arr_delay), 1) AS minutes_late
    FROM flights JOIN airlines USING (carrier)
    GROUP BY name HAVING count(*) > 10000 ORDER BY minutes_late LIMIT 3";
    let punctual = show(ctx, punctual).await?;
    ensure(punctual.rows() == 3, "three airlines have so many flights")
}

async fn skip_files(ctx: &SessionContext, directory: &Directory) -> Result<()> {
    chapter("A query opens only the files that can match");
    let files = "SELECT count(*) AS files, sum(rows) AS rows, sum(bytes) AS bytes
    FROM atio_files('flights')";
    let files = show(ctx, files).await?;
    files.must_be(0, "rows", ALL_FLIGHTS)?;

    let explain =
        format!("EXPLAIN SELECT avg(dep_delay) FROM flights WHERE day = DATE '{WRONG_DAY}'");
    println!("\n  {explain};");
    let plan = ask(ctx, &explain).await?;
    let plan = plan.text(plan.rows().saturating_sub(1), "plan")?; // the last row is the physical plan
    let scan = plan.lines().find(|line| line.contains("DataSourceExec"));
    let scan = scan.ok_or_else(|| unexpected(format!("no scan in the plan:\n{plan}")))?;
    let opened = scan.matches(".parquet").count();
    println!("  {}", directory.shorten(scan.trim()));
    println!("  -- opens {opened} of {} files", files.text(0, "files")?);
    ensure(opened == 1, "one file holds that day")
}

async fn look_back(ctx: &SessionContext) -> Result<()> {
    chapter("Every version can still be queried");
    let beside = "SELECT 'version 181' AS asked, count(*) AS flights, max(day) AS last_day
    FROM atio_table('flights', version => 181)
    UNION ALL SELECT 'the newest', count(*), max(day) FROM flights ORDER BY flights";
    let beside = show(ctx, beside).await?;
    beside.must_be(0, "last_day", "2013-06-30")?;
    beside.must_be(1, "flights", ALL_FLIGHTS)?;

    let committed =
        "SELECT version, CAST(committed_at AS VARCHAR) AS committed_at, operation, rows_added
    FROM atio_history('flights') WHERE version = 31";
    let committed = show(ctx, committed).await?.text(0, "committed_at")?;
    let as_of = format!(
        "SELECT count(*) AS flights, max(day) AS last_day
    FROM atio_table('flights', as_of => TIMESTAMP '{committed}')"
    );
    show(ctx, &as_of)
        .await?
        .must_be(0, "last_day", "2013-01-31")
}

async fn correct_a_day(ctx: &SessionContext) -> Result<()> {
    chapter("A correction replaces the table in one step");
    println!("\n  -- suppose a clock at JFK was 10 minutes fast on {WRONG_DAY}");
    let overwrite = format!(
        "INSERT OVERWRITE flights
    SELECT day, sched_dep_time, carrier, flight, origin, dest,
      CASE WHEN day = DATE '{WRONG_DAY}' AND origin = 'JFK' THEN dep_delay - 10 ELSE dep_delay END,
      arr_delay, distance
    FROM flights"
    );
    let overwritten = show(ctx, &overwrite).await?;
    overwritten.must_be(0, "count", ALL_FLIGHTS)?;

    let compare = format!(
        "SELECT new.origin, avg(old.dep_delay) AS reported, avg(new.dep_delay) AS corrected
    FROM flights AS new JOIN atio_table('flights', version => {WHOLE_YEAR}) AS old
      USING (day, carrier, flight, origin)
    WHERE new.day = DATE '{WRONG_DAY}' GROUP BY new.origin ORDER BY new.origin"
    );
    let compared = show(ctx, &compare).await?;
    for (row, (origin, minutes)) in [("EWR", 0.0), ("JFK", 10.0), ("LGA", 0.0)]
        .iter()
        .enumerate()
    {
        compared.must_be(row, "origin", origin)?;
        let change = compared.number(row, "reported")? - compared.number(row, "corrected")?;
        ensure(
            (change - minutes).abs() < 1e-9,
            format!("{origin} changed by {minutes}"),
        )?;
    }
    Ok(())
}

async fn show_history(ctx: &SessionContext) -> Result<()> {
    chapter("The table remembers what happened");
    let history = "SELECT version, operation, rows_added, rows_removed, rows, files, bytes
    FROM atio_history('flights') ORDER BY version DESC LIMIT 4";
    let history = show(ctx, history).await?;
    history.must_be(0, "version", WHOLE_YEAR + 1)?;
    history.must_be(0, "operation", "overwrite")?;
    history.must_be(0, "rows_removed", ALL_FLIGHTS)?;
    history.must_be(0, "rows", ALL_FLIGHTS)
}

async fn expire_old_versions(ctx: &SessionContext, directory: &Directory) -> Result<()> {
    chapter("Expiry says what it would delete, and then deletes it");
    let planned = show(ctx, &expiry("true")).await?;
    let before = directory.bytes()?;
    let deleted = show(ctx, &expiry("false")).await?;
    let after = directory.bytes()?;
    println!("  -- bytes in the directory: {before} before, {after} after");

    ensure(
        deleted.rows() == planned.rows(),
        "both runs name the same kinds",
    )?;
    for row in 0..planned.rows() {
        deleted.must_be(row, "kind", planned.text(row, "kind")?)?;
        deleted.must_be(row, "files", planned.text(row, "files")?)?;
        deleted.must_be(row, "bytes", planned.text(row, "bytes")?)?;
    }
    ensure(after < before, "the directory shrank")
}

/// Returns the statement that drops all versions but the newest; only `dry_run => false` deletes.
fn expiry(dry_run: &str) -> String {
    format!(
        "SELECT kind, count(*) AS files, sum(bytes) AS bytes
    FROM expire_snapshots('flights', keep_for => INTERVAL '0 days', dry_run => {dry_run})
    GROUP BY kind ORDER BY kind"
    )
}

async fn check_what_is_left(ctx: &SessionContext) -> Result<()> {
    chapter("The newest version is untouched, the old ones say that they are gone");
    let left = "SELECT count(*) AS flights, max(day) AS last_day FROM flights";
    show(ctx, left).await?.must_be(0, "flights", ALL_FLIGHTS)?;

    let gone = "SELECT count(*) FROM atio_table('flights', version => 181)";
    println!("\n  {gone};");
    let Err(error) = ask(ctx, gone).await else {
        return Err(unexpected(
            "version 181 has expired, and yet it can be read",
        ));
    };
    println!("  {error}");
    ensure(
        error.to_string().contains("has expired"),
        "the error says why",
    )
}
