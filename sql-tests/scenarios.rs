//! Ten situations in which results get lost, torn or mixed up, each from beginning to end and
//! with processes of its own.
//!
//! `examples/scenarios` tells the same to people.

#![cfg(test)]

mod backup;
mod database_lost;
mod disk_full;
mod eight_writers;
mod killed_writer;
mod larger_than_memory;
mod many_experiments;
mod pipeline;
mod sensor;
mod which_data;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::processes::child::Child;
use crate::processes::ended::Ended;
use crate::processes::job::Job;

/// Waits until something has happened.
async fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !happened() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a child says until it ends.
async fn end(child: Child) -> Ended {
    tokio::task::spawn_blocking(|| child.end()).await.unwrap()
}

/// Runs statements in a process of their own, all of which must succeed.
async fn succeed(at: &Path, sql: &[String]) -> Ended {
    let ended = Job::new(at, sql.to_vec()).run().await;
    for (number, sql) in sql.iter().enumerate() {
        assert!(ended.done(number), "{sql}: {:?}", ended.said);
    }
    ended
}

/// A path below `at`, as the inside of a SQL string.
fn text(at: &Path, name: &str) -> String {
    at.join(name).to_str().unwrap().to_owned()
}

/// Creates the table `t` below `at`, or opens it.
fn table(at: &Path, columns: &str) -> String {
    let columns = match columns {
        "" => String::new(),
        columns => format!(" ({columns})"),
    };
    format!(
        "CREATE EXTERNAL TABLE t{columns} STORED AS ATIO LOCATION '{}'",
        text(at, "t")
    )
}
