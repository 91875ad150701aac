//! Power failures of real file systems: what was not synced is gone.

use std::path::Path;

use futures::StreamExt;

use super::mount::{Mount, cannot, may_mount, power_off};
use crate::long_form::{long, sample};
use crate::processes::ended::Ended;
use crate::processes::job::{Act, Job, When};
use crate::processes::statements::{Case, EXPIRY, INSERT, OTHERS};

/// Statements at a time, each on a disk of its own: they mostly wait.
pub(super) const PARALLEL: usize = 3;

/// A file system of the kind, or None after it was said why there is none.
pub(super) fn disk(kind: &str) -> Option<Mount> {
    if !may_mount() {
        return None;
    }
    let size = |kind: &str| if kind == "xfs" { 320 } else { 64 };
    match Mount::image(kind, size(kind)) {
        Ok(mount) => Some(mount),
        Err(why) => {
            // One of the two kinds must do.
            let other = if kind == "xfs" { "ext4" } else { "xfs" };
            match Mount::image(other, size(other)) {
                Ok(_) => eprintln!("skipped: {why}"),
                Err(also) => cannot(&format!("{why}; {also}")),
            }
            None
        }
    }
}

/// Makes a table and inserts (1), (2) and (3); then the power fails.
async fn make_and_fail(disk: &mut Mount, name: &str, durability: &str, flush: bool) -> Ended {
    let at = disk.path().join(name);
    std::fs::create_dir_all(at.join("warehouse")).unwrap();
    disk.sync();
    let make = format!(
        "CREATE EXTERNAL TABLE t (a BIGINT) STORED AS ATIO LOCATION '{}/t' \
         OPTIONS ('atio.durability' '{durability}')",
        at.display()
    );
    let inserts = (1..=3).map(|a| format!("INSERT INTO t VALUES ({a})"));
    let mut job = Job::new(&at, [make].into_iter().chain(inserts).collect());
    let off = Act::PowerOff(power_off(&disk.path(), flush));
    job.act = Some((When::AtTheEnd, off));
    let ended = job.run().await;
    assert!((0..4).all(|number| ended.done(number)), "{:?}", ended.said);
    disk.again();
    ended
}

/// Commit records below `table` that have no bytes. What no record names may have none.
fn empty_records(table: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(table.join("metadata")) else {
        return 0;
    };
    let entries = entries.map(|entry| entry.unwrap());
    let records = entries.filter(|entry| {
        let name = entry.file_name().into_string().unwrap();
        name.starts_with('v') && name.ends_with(".metadata.json")
    });
    let lengths = records.map(|record| record.metadata().unwrap().len());
    lengths.filter(|length| *length == 0).count()
}

async fn check_acknowledged(kind: &str) {
    let Some(mut disk) = disk(kind) else { return };
    for flush in [false, true] {
        let name = format!("full-{flush}");
        make_and_fail(&mut disk, &name, "full", flush).await;
        let at = disk.path().join(name);
        let state = INSERT.state(&at).await;
        assert_eq!(state, Ok(Some("3|6".to_owned())), "{kind}, flush: {flush}");
        INSERT.check_history(&at, kind).await;

        // Without it the same loses what was acknowledged: so this test can fail.
        let name = format!("none-{flush}");
        make_and_fail(&mut disk, &name, "none", flush).await;
        let at = disk.path().join(name);
        let state = INSERT.state(&at).await;
        assert_ne!(state, Ok(Some("3|6".to_owned())), "{kind}, flush: {flush}");
        let empty = empty_records(&at.join("t"));
        println!("{kind}, nothing synced, flush {flush}: {empty} records are empty; {state:?}");
        assert!(!flush || empty > 0, "{kind}: no record is empty");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_commits_survive_a_power_failure_of_ext4() {
    check_acknowledged("ext4").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_commits_survive_a_power_failure_of_xfs() {
    check_acknowledged("xfs").await;
}

/// Lets the power fail at `most` steps of the statement; gives how many it tried.
async fn fail_at_each_step(disk: &mut Mount, case: &Case, most: usize) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let prepared = directory.path().join("prepared");
    case.prepare(&prepared).await;
    let counted = directory.path().join("counted");
    case.copy(&prepared, &counted);
    let steps = case.job(&counted).steps().await;
    let chosen = sample(steps.len(), most);
    for number in chosen.iter().copied() {
        let at = disk.path().join(case.name).join(number.to_string());
        case.copy(&prepared, &at);
        disk.sync();
        let flush = number % 2 == 1;
        let off = Act::PowerOff(power_off(&disk.path(), flush));
        let mut job = case.job(&at);
        job.act = Some((When::Step(number + 1), off));
        let ended = job.run().await;
        disk.again();
        let what = format!(
            "power failed at step {} ({}), journal flushed: {flush}",
            number + 1,
            steps[number]
        );
        assert_eq!(empty_records(&case.table(&at)), 0, "{} {what}", case.name);
        case.check(&at, ended.done(case.number()), &what).await;
        std::fs::remove_dir_all(&at).unwrap();
    }
    chosen.len()
}

async fn check_steps(kind: &str) {
    if disk(kind).is_none() {
        return;
    }
    let (insert, other) = if long() { (usize::MAX, 24) } else { (8, 2) };
    let others = OTHERS.iter().chain([&EXPIRY]).map(|case| (case, other));
    let cases = [(&INSERT, insert)].into_iter().chain(others);
    let failures = futures::stream::iter(cases).map(async |(case, most)| {
        let mut disk = disk(kind).unwrap();
        fail_at_each_step(&mut disk, case, most).await
    });
    let failures: Vec<_> = failures.buffer_unordered(PARALLEL).collect().await;
    let failures: usize = failures.into_iter().sum();
    println!("{kind}: {failures} power failures");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_failure_of_ext4_at_any_step_leaves_the_old_version_or_the_new_one() {
    check_steps("ext4").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_failure_of_xfs_at_any_step_leaves_the_old_version_or_the_new_one() {
    check_steps("xfs").await;
}
