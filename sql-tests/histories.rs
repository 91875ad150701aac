//! Random histories of a table, compared with a table in memory that does everything the slow way:
//! after every statement the rows of the newest version, those of an older one, and what changed
//! between two of them. In the end nothing of it may be damaged.
//!
//! `ATIO_SEED=n` runs one history again.

#![cfg(test)]

mod changes;
mod in_step;
mod naive;
mod statements;

use crate::long_form::long;
use crate::query::{failure, row, rows};
use crate::random::Random;
use crate::session::{Place, on_every_place};
use naive::{Naive, Row};
use statements::random;

/// How many statements a history has.
const STEPS: usize = 60;

fn seeds() -> Vec<u64> {
    match std::env::var("ATIO_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=if long() { 25 } else { 2 }).collect(),
    }
}

on_every_place!(every_version_of_a_random_history_has_the_rows_of_a_table_in_memory);

async fn every_version_of_a_random_history_has_the_rows_of_a_table_in_memory(place: Place) {
    for seed in seeds() {
        run(&place, seed).await;
    }
}

async fn run(place: &Place, seed: u64) {
    println!("seed {seed}");
    let mut random_numbers = Random::new(seed);
    let name = format!("t{seed}");
    let location = format!("{}/{name}", place.root());
    let create = format!(
        "CREATE EXTERNAL TABLE {name} (id INT, x INT, s VARCHAR) STORED AS ATIO LOCATION '{location}'"
    );
    let sessions = [place.session(), place.session()];
    for ctx in &sessions {
        rows(ctx, &create).await;
        rows(
            ctx,
            "SET datafusion.execution.parquet.max_row_group_size = 4",
        )
        .await;
    }
    let mut naive = Naive::new();
    for step in 0..STEPS {
        let statement = random(&mut random_numbers, &naive);
        let sql = statement.to_sql(&name);
        let ctx = random_numbers.pick(&sessions);
        let mode = random_numbers.pick(&["mark", "auto", "rewrite"]);
        rows(ctx, &format!("SET atio.delete_mode = '{mode}'")).await;
        let what = format!("seed {seed}, step {step}, {mode}: {sql}");
        match naive.run(&statement) {
            Ok(count) => {
                let found = rows(ctx, &sql).await;
                if let Some(count) = count {
                    assert_eq!(found, [count.to_string()], "{what}");
                }
            }
            Err(says) => {
                let error = failure(ctx, &sql).await;
                assert!(error.contains(says), "{what}: {error}");
            }
        }
        let newest = format!("SELECT id, x, s FROM {name}");
        assert_eq!(rows(ctx, &newest).await, shown(naive.newest()), "{what}");
        let version = format!("SELECT max(version) FROM atio_history('{name}')");
        let version: usize = row(ctx, &version).await.parse().unwrap();
        naive.note(&statement, version);
        let expired = format!("SELECT version FROM atio_history('{name}') WHERE NOT readable");
        let expired = rows(ctx, &expired).await;
        naive.set_expired(
            expired
                .iter()
                .map(|version| version.parse().unwrap())
                .collect(),
        );
        let older = random_numbers.below(version + 1);
        compare(ctx, &name, &naive, older, &what).await;
        if step % 4 == 3 {
            changes::compare(ctx, &name, &naive, &mut random_numbers, &what).await;
        }
    }
    for _ in 0..STEPS / 2 {
        let what = format!("seed {seed}, at the end");
        changes::compare(&sessions[0], &name, &naive, &mut random_numbers, &what).await;
    }
    for version in 0..naive.versions() {
        compare(
            &sessions[0],
            &name,
            &naive,
            version,
            &format!("seed {seed}, at the end"),
        )
        .await;
    }
    let check = format!("SELECT * FROM atio_check('{name}', deep => true)");
    assert_eq!(rows(&sessions[0], &check).await, [""; 0], "seed {seed}");
}

/// Compares one version, if it should be readable.
async fn compare(
    ctx: &datafusion::prelude::SessionContext,
    name: &str,
    naive: &Naive,
    version: usize,
    what: &str,
) {
    let sql = format!("SELECT id, x, s FROM atio_table('{name}', version => {version})");
    match naive.version(version) {
        Some(expected) => assert_eq!(rows(ctx, &sql).await, shown(expected), "{what}: {sql}"),
        None => {
            let error = failure(ctx, &sql).await;
            assert!(error.contains("expired"), "{what}: {sql}: {error}");
        }
    }
}

fn shown(rows: &[Row]) -> Vec<String> {
    let cell = |cell: &Option<i64>| cell.map_or("NULL".to_owned(), |cell| cell.to_string());
    let mut shown: Vec<_> = rows
        .iter()
        .map(|row| {
            let s = row.s.clone().unwrap_or_else(|| "NULL".to_owned());
            format!("{}|{}|{s}", cell(&row.id), cell(&row.x))
        })
        .collect();
    shown.sort_unstable();
    shown
}
