//! DataFusion's own sqllogictest files, in a session that atio is registered in and in one without:
//! what passes without it passes with it.
//!
//! The files come with the crate `datafusion-sqllogictest`. Some need data that does not, and fail on
//! both sides; they are read record by record, so that the others of such a file count. Each side is a
//! process of its own, because the files name paths relative to the directory of a process.
//! `exceptions.txt` lists the records that may differ, each with its reason.

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
/// How often a file is run again in which a record passes without atio alone. A few share a
/// directory with the other side or a tight memory with other threads, and differ from run to run.
const AGAIN: usize = 2;

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
    let mut exceptions = exceptions::read()?;
    let mut differing = differences(&plain, &atio, &mut exceptions);
    for _ in 0..AGAIN {
        let files: BTreeSet<_> = differing.iter().map(|place| file_of(place)).collect();
        if files.is_empty() {
            break;
        }
        println!("again: {files:?}");
        let files: Vec<_> = files.into_iter().map(str::to_owned).collect();
        for (place, outcome) in run(Side::Atio, &source, &files)? {
            if outcome.failure.is_none() {
                atio.insert(place, outcome);
            }
        }
        differing = differences(&plain, &atio, &mut exceptions);
    }
    for (place, reason) in exceptions.used() {
        println!("{place} differs, as it may: {reason}");
    }
    for place in &differing {
        let failure = atio.get(place).and_then(|outcome| outcome.failure.as_ref());
        let failure = failure.map_or("it was not run", String::as_str);
        let sql = &plain[place].sql;
        println!("\n{place} passes without atio alone:\n{sql}\n{failure}");
    }
    if let Some(unused) = exceptions.unused() {
        return Err(format!("exceptions.txt lists what does not differ: {unused}").into());
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
fn differences(plain: &Outcomes, atio: &Outcomes, exceptions: &mut Exceptions) -> Vec<String> {
    let passes = |outcome: &Outcome| outcome.failure.is_none();
    let differing = plain
        .iter()
        .filter(|(place, outcome)| passes(outcome) && !atio.get(*place).is_some_and(passes))
        .filter(|(place, outcome)| !exceptions.allow(place, &outcome.sql));
    differing.map(|(place, _)| place.clone()).collect()
}
