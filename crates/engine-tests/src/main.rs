//! DataFusion's own sqllogictest files, in a session that atio is registered in and in one without:
//! what passes without it passes with it. Those that write rows are run once more over tables of atio: what
//! passes over tables in memory passes there, too. `EXPLAIN` shows other plans, and is left out of that.
//!
//! The files come with the crate `datafusion-sqllogictest`. Some need data that does not, and fail on
//! both sides; they are read record by record, so that the others of such a file count. Each side is a
//! process of its own, because the files name paths relative to the directory of a process.
//! `exceptions.txt` and `exceptions-tables.txt` list the records that may differ, each with its reason.

mod exceptions;
mod features;
mod files;
mod libraries;
mod result;
mod serialized;
mod side;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use exceptions::{Exceptions, file_of};
use result::Result;
use side::{Outcome, Outcomes, Side};

/// Without atio 23,323 records of DataFusion 55.2 pass; many fewer were a run that shows nothing.
const LEAST: usize = 23_300;
/// How often at most a file is run again in which a record passes without atio alone. A few share a
/// directory with the other side or a tight memory with other threads, or ask for no order of their
/// rows, which lie in several files of a table, and differ from run to run.
const AGAIN: usize = 10;
/// What statements that write rows begin with.
const WRITES: [&str; 5] = ["insert", "delete", "update", "merge", "truncate"];

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref().map(Side::parse) {
        Some(Some(side)) => side::run(side, &arguments.collect::<Vec<_>>()),
        Some(None) => Err("usage: atio-engine-tests".into()),
        None => compare(),
    }
}

/// Runs both sides, and fails if a record passes without atio alone.
fn compare() -> Result<()> {
    let source = files::source()?;
    let (plain, atio) = std::thread::scope(|scope| {
        let plain = scope.spawn(|| run(Side::Plain, &source, &[]));
        let atio = run(Side::Atio, &source, &[]);
        (plain.join(), atio)
    });
    let plain = plain.map_err(|_| "the side without atio was not read")??;
    let mut atio = atio?;
    println!(
        "{} records; {} pass without atio, {} with it",
        plain.len(),
        passed(&plain),
        passed(&atio)
    );
    if passed(&plain) < LEAST {
        let few = format!("too few pass without atio: at least {LEAST} have to");
        return Err(few.into());
    }
    let mut exceptions = exceptions::read(&exceptions::BESIDE)?;
    let differing = settle(Side::Atio, &source, (&plain, &mut atio), &mut exceptions)?;
    tell(
        &differing,
        (&plain, &atio),
        (&exceptions, &exceptions::BESIDE),
    )?;
    compare_tables(&source, &plain)
}

/// Runs the files that write rows over tables of atio, and fails if a record passes over tables in
/// memory alone.
fn compare_tables(source: &Path, plain: &Outcomes) -> Result<()> {
    let writing = plain
        .iter()
        .filter(|(_, outcome)| begins(&outcome.sql, &WRITES));
    let files: BTreeSet<_> = writing
        .map(|(place, _)| file_of(place).to_owned())
        .collect();
    let mut plain = plain.clone();
    plain.retain(|place, outcome| {
        files.contains(file_of(place)) && !begins(&outcome.sql, &["explain"])
    });
    let mut tables = run(Side::Tables, source, &files.into_iter().collect::<Vec<_>>())?;
    tables.retain(|_, outcome| !begins(&outcome.sql, &["explain"]));
    println!(
        "{} records; {} pass over tables in memory, {} over tables of atio",
        plain.len(),
        passed(&plain),
        passed(&tables)
    );
    let mut exceptions = exceptions::read(&exceptions::TABLES)?;
    let differing = settle(Side::Tables, source, (&plain, &mut tables), &mut exceptions)?;
    tell(
        &differing,
        (&plain, &tables),
        (&exceptions, &exceptions::TABLES),
    )
}

/// Where a record passes without atio alone, and may not, however often it is run.
fn settle(
    side: Side,
    source: &Path,
    (plain, other): (&Outcomes, &mut Outcomes),
    exceptions: &mut Exceptions,
) -> Result<Vec<String>> {
    let mut differing = differences(plain, other, exceptions);
    for _ in 0..AGAIN {
        let files: BTreeSet<_> = differing.iter().map(|place| file_of(place)).collect();
        if files.is_empty() {
            break;
        }
        println!("again: {files:?}");
        let files: Vec<_> = files.into_iter().map(str::to_owned).collect();
        for (place, outcome) in run(side, source, &files)? {
            if outcome.failure.is_none() {
                other.insert(place, outcome);
            }
        }
        differing = differences(plain, other, exceptions);
    }
    Ok(differing)
}

/// True if one of `words` is the first of the statement.
fn begins(sql: &str, words: &[&str]) -> bool {
    let first = sql.split_whitespace().next().unwrap_or_default();
    words.iter().any(|word| first.eq_ignore_ascii_case(word))
}

/// Tells what differs; fails if there is anything, or if the list has what does not differ.
fn tell(
    differing: &[String],
    (plain, other): (&Outcomes, &Outcomes),
    (exceptions, list): (&Exceptions, &exceptions::List),
) -> Result<()> {
    for (place, reason) in exceptions.used() {
        println!("{place} differs, as it may: {reason}");
    }
    for place in differing {
        let failure = failure(other, place);
        let sql = &plain[place].sql;
        println!("\n{place} passes without atio alone:\n{sql}\n{failure}");
    }
    if let Some(unused) = exceptions.unused() {
        return Err(format!("{} lists what does not differ: {unused}", list.name).into());
    }
    match differing.len() {
        0 => Ok(()),
        differing => Err(format!("{differing} records pass without atio alone").into()),
    }
}

/// What becomes of the records of these files, or of all, in a process and a directory of its own.
fn run(side: Side, source: &Path, files: &[String]) -> Result<Outcomes> {
    let place = files::place(source)?;
    let output = Command::new(std::env::current_exe()?)
        .arg(side.name())
        .args(files)
        .current_dir(place.path())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("the side {} ended with {}", side.name(), output.status).into());
    }
    side::parse(&output.stdout)
}

fn passed(outcomes: &Outcomes) -> usize {
    outcomes
        .values()
        .filter(|outcome| outcome.failure.is_none())
        .count()
}

/// Where a record passes without atio alone, and may not.
fn differences(plain: &Outcomes, other: &Outcomes, exceptions: &mut Exceptions) -> Vec<String> {
    let passes = |outcome: &Outcome| outcome.failure.is_none();
    let differing = plain
        .iter()
        .filter(|(place, outcome)| passes(outcome) && !other.get(*place).is_some_and(passes))
        .filter(|(place, outcome)| !exceptions.allow(place, &outcome.sql, failure(other, place)));
    differing.map(|(place, _)| place.clone()).collect()
}

/// Why the record at `place` failed.
fn failure<'a>(outcomes: &'a Outcomes, place: &str) -> &'a str {
    // A file that cannot be run tells why in place of its records.
    let file = format!("{}:0", file_of(place));
    let outcome = outcomes.get(place).or_else(|| outcomes.get(&file));
    let failure = outcome.and_then(|outcome| outcome.failure.as_deref());
    failure.unwrap_or("it was not run")
}
