//! A step that waits for what the step before makes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use atio::Marker;

use super::*;
use crate::files::{crc32c, marked, numbers};
use crate::processes::job::{Act, When};
use crate::query::{row, rows};
use crate::session::session_at;

/// Looks at a file as a step does that waits for its marker: the rows, if they are complete.
fn look(to: &str) -> Option<u64> {
    let before = Marker::read(to).unwrap()?;
    let text = std::fs::read_to_string(to).unwrap();
    // Who replaces the file takes the marker away first: what was read may be another's.
    let after = Marker::read(to).unwrap()?;
    if before != after {
        return None;
    }
    assert_eq!(text.lines().count() as u64, before.rows + 1);
    assert_eq!(text.len() as u64, before.size);
    Some(before.rows)
}

/// Tells when it is dropped, also by a test that fails, which would wait for its thread.
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn step_that_waits_for_the_marker_sees_whole_files_alone() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let to = text(at, "step.csv");
    let sizes: Vec<i64> = (1..=8).map(|round| 5000 + round * 1000).collect();
    let copies: Vec<_> = sizes
        .iter()
        .map(|n| marked(&numbers(*n), &to, "csv", ""))
        .collect();

    let over = Over(Arc::default());
    let waiting = tokio::task::spawn_blocking({
        let (over, to) = (Arc::clone(&over.0), to.clone());
        move || {
            let mut seen = std::collections::BTreeMap::<u64, usize>::new();
            let mut looks = 0;
            while !over.load(Ordering::Relaxed) {
                looks += 1;
                if let Some(rows) = look(&to) {
                    *seen.entry(rows).or_default() += 1;
                }
            }
            (looks, seen)
        }
    });
    succeed(at, &copies).await;
    // The last one is killed once its file is in place, and before it says so.
    let mut job = Job::new(at, vec![marked(&numbers(77), &to, "csv", "")]);
    job.act = Some((When::Named("copy-published".to_owned()), Act::Kill));
    assert!(job.run().await.killed);
    assert_eq!(Marker::read(&to).unwrap(), None);
    drop(over);
    let (looks, seen) = waiting.await.unwrap();
    println!("{looks} looks, {seen:?}");
    assert!(!seen.contains_key(&77), "nobody said that it is complete");
    assert!(seen.len() > 1);
    let sizes: Vec<_> = sizes.into_iter().map(|n| n as u64).collect();
    assert!(seen.keys().all(|rows| sizes.contains(rows)), "{seen:?}");

    // Done again, it is.
    succeed(at, &job.sql).await;
    let marker = Marker::read(&to).unwrap().unwrap();
    assert_eq!(marker.rows, 77);
    assert_eq!(marker.hash, crc32c(Path::new(&to)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn step_that_waits_for_a_version_sees_all_of_its_rows_or_none() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let load = |round: i64| {
        format!("INSERT OVERWRITE t SELECT {round}, value FROM generate_series(1, {round}000)")
    };
    succeed(at, &[table(at, "round BIGINT, a BIGINT")]).await;
    let ctx = session_at(at);
    rows(&ctx, &table(at, "")).await;
    let newest = "SELECT max(version) FROM atio_history('t')";
    let state = "SELECT count(*), count(DISTINCT round), max(round), max(a) FROM t";
    let complete = |round: i64| format!("{round}000|1|{round}|{round}000");
    for round in 1..=4_i64 {
        // One that is killed just before its commit makes no version.
        let mut job = Job::new(at, vec![table(at, ""), load(round)]);
        let record = format!("publish:v{round}.metadata.json");
        job.act = Some((When::Named(record), Act::Kill));
        assert!(job.run().await.killed);
        assert_eq!(row(&ctx, newest).await, (round - 1).to_string());

        job.act = None;
        let step = tokio::spawn(async move { job.run().await });
        let mut looks = 0;
        loop {
            // Before the look: it may end between the two.
            let ended = step.is_finished();
            if row(&ctx, newest).await == round.to_string() {
                break;
            }
            assert!(!ended, "it ended without a version");
            looks += 1;
            let found = row(&ctx, state).await;
            let old = match round {
                1 => "0|0|NULL|NULL".to_owned(),
                _ => complete(round - 1),
            };
            // The version may have come since.
            assert!(found == old || found == complete(round), "{found}");
        }
        assert_eq!(row(&ctx, state).await, complete(round));
        assert!(step.await.unwrap().done(1));
        println!("version {round} was there after {looks} looks");
    }
}
