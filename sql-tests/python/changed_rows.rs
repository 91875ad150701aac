//! Random DELETE, UPDATE and MERGE, compared with DuckDB: after every statement its count and all
//! rows of the table.
//!
//! `ATIO_SEED=n` runs one sequence of statements again.

use serde_json::json;

use super::interpreter::Python;
use super::random_changes::{CREATE, Statement, statements};
use crate::long_form::long;
use crate::query::{rows, texts};
use crate::random::Random;
use crate::session::{Place, run};

/// How many statements follow each other.
const STEPS: usize = 40;
/// What DuckDB would do, and atio refuses.
const TWICE: &str = "several rows of the source match one row";

fn seeds() -> Vec<u64> {
    match std::env::var("ATIO_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=if long() { 20 } else { 3 }).collect(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_delete_update_and_merge_change_the_rows_that_duckdb_changes() {
    let Some(python) = Python::find() else { return };
    let mut differing = Vec::new();
    for seed in seeds() {
        differing.extend(compare(python, seed).await.err());
    }
    let all = differing.len();
    assert!(
        all == 0,
        "{all} sequences differ:\n{}",
        differing.join("\n\n")
    );
}

/// Runs one sequence on both sides, up to where they differ.
async fn compare(python: &Python, seed: u64) -> Result<(), String> {
    let mut random = Random::new(seed);
    let statements = statements(&mut random, STEPS);
    let created = CREATE.map(|(name, columns)| Statement {
        sql: format!("CREATE TABLE {name} ({columns})"),
        most: None,
    });
    let all = created.iter().chain(&statements);
    let lines = all.map(|Statement { sql, most }| {
        let line = json!({"sql": sql, "most": most});
        format!("{line}\n")
    });
    let expected = CREATE.len() + statements.len();
    let answers = python.script(
        "duckdb_rows.py",
        &["t"],
        &lines.collect::<String>(),
        expected,
    );

    let place = Place::memory();
    let ctx = place.session();
    for (name, columns) in CREATE {
        let location = format!("{}/{name}", place.root());
        let create = format!(
            "CREATE EXTERNAL TABLE {name} ({columns}) STORED AS ATIO LOCATION '{location}'"
        );
        rows(&ctx, &create).await;
    }
    let small = "SET datafusion.execution.parquet.max_row_group_size = 4";
    rows(&ctx, small).await;
    let mode = ["rewrite", "mark", "auto"][seed as usize % 3];
    rows(&ctx, &format!("SET atio.delete_mode = '{mode}'")).await;
    if seed.is_multiple_of(2) {
        // As in a limited memory.
        rows(&ctx, "SET datafusion.optimizer.prefer_hash_join = false").await;
    }
    let answers = &answers[CREATE.len()..];
    for (step, (statement, answer)) in statements.iter().zip(answers).enumerate() {
        let sql = &statement.sql;
        let what = |says: String| format!("seed {seed}, step {step}: {sql}\n{says}");
        match (run(&ctx, sql).await, answer["twice"] == true) {
            (Ok(count), false) => {
                let (count, expected) = (texts(&count), &answer["count"]);
                if count != [expected.to_string()] {
                    return Err(what(format!(
                        "it changed {count:?} rows, DuckDB {expected}"
                    )));
                }
            }
            (Ok(_), true) => return Err(what("it changed a row twice".to_owned())),
            (Err(error), true) if error.to_string().contains(TWICE) => {}
            (Err(error), _) => return Err(what(error.strip_backtrace())),
        }
        let found = json!(rows(&ctx, "SELECT * FROM t").await);
        if found != answer["rows"] {
            let expected = &answer["rows"];
            return Err(what(format!("it left {found}\nDuckDB {expected}")));
        }
    }
    Ok(())
}
