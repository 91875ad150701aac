//! The same queries to atio and to rows in memory: the answers must be the same.
//!
//! A seed decides the tables, how they are written, the settings, and the queries. The search
//! takes some seconds, a minute with `ATIO_LONG=1`, or `ATIO_SEARCH_SECONDS=n`. It begins at
//! the same seed each time, or at `ATIO_SEARCH_FROM=n`; `ATIO_SEED=n` runs one seed again.

#![cfg(test)]

mod answer;
mod column_types;
mod columns;
mod expected;
mod findings;
mod plain_parquet;
mod predicates;
mod settings;
mod shrink;
mod statements;
mod tables;
mod twin_tables;

use std::time::{Duration, Instant};

use crate::long_form::long;
use crate::random::Random;
use answer::Row;
use shrink::Case;
use statements::Statement;
use tables::Table;
use tokio::runtime::Runtime;
use twin_tables::{Spoil, World};

const SHORT: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(60);
/// How long a case that goes wrong is made smaller.
const SHRINKING: Duration = Duration::from_secs(60);
/// After so many the search ends.
const ENOUGH: usize = 5;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

#[derive(Debug, Default)]
struct Counts {
    tables: usize,
    queries: usize,
    rows: usize,
    /// Queries that the engine gets wrong by itself.
    of_the_engine: usize,
}

/// Something that went wrong.
struct Finding {
    case: Case,
    difference: String,
}

/// Runs the queries of one seed up to the first that goes wrong.
async fn play(
    seed: u64,
    spoil: Option<Spoil>,
    counts: &mut Counts,
) -> Result<Option<Finding>, String> {
    let mut random = Random::new(seed);
    let mut tables = vec![Table::any(&mut random, "t0")];
    if random.chance(600) {
        let other = match random.chance(600) {
            true => tables[0].twin(&mut random, "t1"),
            false => Table::any(&mut random, "t1"),
        };
        tables.push(other);
    }
    let mut world = World::build(&tables, spoil).await?;
    counts.tables += tables.len();
    let many = tables.iter().map(Table::all_rows).sum::<i64>() > 5_000;
    let rounds = if many { (1, 6) } else { (4, 10) };
    for _ in 0..rounds.0 {
        let mut reading = settings::reading(&mut random);
        // One row after the other takes too long for many.
        reading.retain(|(name, value)| !(many && name.ends_with("batch_size") && value.len() < 3));
        for _ in 0..rounds.1 {
            let statement = Statement::any(&mut random, &tables);
            counts.queries += 1;
            if let Some(difference) = world.check(&reading, &statement).await {
                let case = Case {
                    tables: tables.clone(),
                    reading,
                    statement,
                };
                return Ok(Some(Finding { case, difference }));
            }
        }
    }
    counts.rows += world.rows;
    counts.of_the_engine += world.of_the_engine.len();
    for wrong in &world.of_the_engine {
        println!("seed {seed}, of the engine: {wrong}");
    }
    Ok(None)
}

/// Tells a finding so that somebody can run it, and whether it is the engine's.
async fn told(seed: u64, finding: Finding, spoil: Option<Spoil>, time: Duration) -> String {
    let (case, difference) = finding.case.shrunk(finding.difference, spoil, time).await;
    let Ok(mut world) = World::build(&case.tables, spoil).await else {
        return format!("seed {seed}: {difference}");
    };
    let script = world.script(&case.reading, &case.statement);
    let witness =
        plain_parquet::difference(&mut world, &case.tables, &case.reading, &case.statement).await;
    let witness = match witness {
        Ok(None) => "right".to_owned(),
        Ok(Some(wrong)) => format!("wrong too: {wrong}"),
        Err(error) => format!("not known: {error}"),
    };
    format!("seed {seed}: {difference}\n{script}-- plain Parquet files: {witness}\n")
}

#[test]
fn every_query_gives_the_rows_that_it_gives_in_memory() {
    let runtime = runtime();
    let one = variable("ATIO_SEED");
    let first = one.or_else(|| variable("ATIO_SEARCH_FROM")).unwrap_or(0);
    let time = match variable("ATIO_SEARCH_SECONDS") {
        Some(seconds) => Duration::from_secs(seconds),
        None if long() => LONG,
        None => SHORT,
    };
    let begun = Instant::now();
    let mut counts = Counts::default();
    let mut wrong = Vec::new();
    let mut seed = first;
    loop {
        let told = runtime.block_on(async {
            match play(seed, None, &mut counts).await {
                Ok(None) => None,
                Ok(Some(finding)) => Some(told(seed, finding, None, SHRINKING).await),
                Err(error) => Some(format!("seed {seed}: a table cannot be written: {error}")),
            }
        });
        if let Some(told) = told {
            println!("{told}");
            wrong.push(seed);
        }
        if one.is_some() || wrong.len() >= ENOUGH || begun.elapsed() > time {
            break;
        }
        seed += 1;
    }
    println!("{counts:?}, seeds {first} to {seed}, wrong {wrong:?}");
    assert!(wrong.is_empty(), "run ATIO_SEED=n for n of {wrong:?}");
}

/// The search must find what it is there for.
fn is_found(spoil: Spoil) -> String {
    let runtime = runtime();
    let found = (0..50).find_map(|seed| {
        runtime.block_on(async {
            let mut counts = Counts::default();
            // What goes wrong by itself is for the search.
            let honest = play(seed, None, &mut counts).await;
            if !matches!(honest, Ok(None)) {
                return None;
            }
            let finding = play(seed, Some(spoil), &mut counts).await.unwrap()?;
            Some(told(seed, finding, Some(spoil), Duration::from_secs(1)).await)
        })
    });
    found.expect("nothing is found")
}

#[test]
fn row_that_is_dropped_is_found_out() {
    let found = is_found(|rows| {
        if rows.len() > 5 {
            rows.pop();
        }
    });
    assert!(found.contains("SELECT"), "{found}");
}

#[test]
fn null_that_becomes_a_value_is_found_out() {
    let found = is_found(|rows: &mut Vec<Row>| {
        let cell = rows.iter_mut().flatten().find(|cell| *cell == "NULL");
        if let Some(cell) = cell {
            *cell = "0".to_owned();
        }
    });
    assert!(found.contains("SELECT"), "{found}");
}

#[test]
fn rows_in_the_wrong_order_are_found_out() {
    let found = is_found(|rows| rows.reverse());
    assert!(found.contains("ORDER BY"), "{found}");
}
