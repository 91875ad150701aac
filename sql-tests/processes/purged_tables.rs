//! Purges that are killed.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::job::{Act, Job, When};
use super::leftovers::copy_all;
use super::statements::MANAGED;
use crate::query::{row, rows};
use crate::session::{run, session_at};

const PURGE: &str = "SELECT deleted FROM atio_purge('w.s.t', dry_run => false)";

fn names(schema: &Path) -> Vec<String> {
    let entries = fs::read_dir(schema).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purge_that_is_killed_at_any_step_leaves_a_table_that_comes_back_whole_or_none() {
    let directory = tempfile::tempdir().unwrap();
    let prepared = directory.path().join("prepared");
    fs::create_dir_all(&prepared).unwrap();
    let ctx = session_at(&prepared);
    for sql in ["CREATE SCHEMA w.s", MANAGED, "DROP TABLE w.s.t"] {
        rows(&ctx, sql).await;
    }
    let job = |at: &Path| Job::new(at, vec![PURGE.to_owned()]);
    let counted = directory.path().join("counted");
    copy_all(&prepared, &counted);
    let steps = job(&counted).steps().await;
    assert!(steps.len() >= 2, "{steps:?}");
    let (mut back, mut gone) = (0, 0);
    for number in 1..=steps.len() {
        let at = directory.path().join(number.to_string());
        copy_all(&prepared, &at);
        let mut job = job(&at);
        job.act = Some((When::Step(number), Act::Kill));
        let ended = job.run().await;
        assert!(ended.killed && !ended.done(0), "{:?}", ended.said);
        let what = format!("killed at step {number} ({})", steps[number - 1]);
        let ctx = session_at(&at);
        match run(&ctx, "SELECT * FROM atio_undrop('w.s.t')").await {
            Ok(_) => {
                back += 1;
                let state = "SELECT count(*), sum(a) FROM w.s.t";
                assert_eq!(row(&ctx, state).await, "10|55", "{what}");
            }
            Err(error) => {
                gone += 1;
                let said = error.strip_backtrace();
                assert!(said.contains("no dropped table 't'"), "{what}: {said}");
                assert_eq!(rows(&ctx, "SELECT id FROM atio_dropped()").await, [""; 0]);
            }
        }
        // What stayed goes a day later.
        let schema = at.join("warehouse/s");
        for name in names(&schema) {
            let old = SystemTime::now() - Duration::from_secs(48 * 60 * 60);
            let folder = fs::File::open(schema.join(name)).unwrap();
            folder.set_modified(old).unwrap();
        }
        rows(&ctx, "CREATE TABLE w.s.another AS SELECT 1 AS a").await;
        for name in names(&schema) {
            assert!(name == "t" || name == "another", "{what}: left {name:?}");
        }
    }
    println!("{steps:?}: {back} came back, {gone} were gone");
    assert!(back > 0 && gone > 0);
}
