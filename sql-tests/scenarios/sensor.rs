//! The process that writes a sensor's readings is killed and started again.

use super::*;
use crate::processes::job::{Act, When};
use crate::processes::killed_loads::Pushes;
use crate::processes::leftovers::leftovers;
use crate::processes::statements::EXPIRE;
use crate::query::row;
use crate::session::session_at;

/// What the sensor gives: a row for each position from 1.
const ALL: u64 = 500;
const KILLS: usize = 6;
/// More than a commit takes.
const STEPS: usize = 100;

/// How many readings are there: the first ones, each once.
async fn there(at: &Path) -> u64 {
    let sql = format!(
        "SELECT count(*), count(DISTINCT a), coalesce(max(a), 0), coalesce(min(a), 1) FROM (SELECT a + 0 AS a FROM atio_table('{}'))",
        text(at, "t")
    );
    let found = row(&session_at(at), &sql).await;
    let count = found.split('|').next().unwrap().to_owned();
    assert_eq!(found, format!("{count}|{count}|{count}|1"));
    count.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sensor_stream_that_is_killed_again_and_again_has_no_gap_and_no_duplicate() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    succeed(at, &[table(at, "a BIGINT")]).await;
    let mut job = Job::new(at, Vec::new());
    job.pushes = Some(Pushes {
        table: text(at, "t"),
        until: ALL,
    });
    let position = format!(
        "SELECT max(position) FROM atio_sources('{}')",
        text(at, "t")
    );
    let mut committed = Vec::new();
    for kill in 0..KILLS {
        let before = there(at).await;
        // Behind a commit and before the last one, each time within another one of its steps.
        job.act = Some((When::Step(STEPS + 7 * kill), Act::Kill));
        let ended = job.run().await;
        assert!(ended.killed && !ended.done(0), "{:?}", ended.said);
        let now = there(at).await;
        assert!(before < now && now < ALL);
        assert_eq!(row(&session_at(at), &position).await, now.to_string());
        // What the dead one left is nobody's, and the position outlives its version.
        row(&session_at(at), &EXPIRE.replace("{t}", &text(at, "t"))).await;
        assert_eq!(leftovers(&at.join("t")), [""; 0]);
        committed.push(now);
    }
    job.act = None;
    let ended = job.run().await;
    assert!(ended.done(0), "{:?}", ended.said);
    assert_eq!(there(at).await, ALL);
    assert_eq!(row(&session_at(at), &position).await, ALL.to_string());
    println!("killed with {committed:?} of {ALL} readings committed");

    // Started once more, it has nothing to add.
    assert!(job.run().await.done(0));
    assert_eq!(there(at).await, ALL);
}
