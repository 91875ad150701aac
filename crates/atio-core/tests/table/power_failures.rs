//! Power failures of real file systems: what was not synced is gone, and nothing else.

use std::path::Path;

use atio_core::storage::Durability;

use super::durable;
use super::kills::{ANSWERED, Killed, check, check_next, copy, prepare};
use crate::shared::long_form::{long, sample};
use crate::shared::mount::{Mount, cannot, may_mount, power_off};

/// A file system of the kind, or None after it was said why there is none.
fn disk(kind: &str) -> Option<Mount> {
    if !may_mount() {
        return None;
    }
    let megabytes = if kind == "xfs" { 320 } else { 64 };
    Mount::image(kind, megabytes)
        .map_err(|why| cannot(&why))
        .ok()
}

/// Runs the statement on a copy of `prepared`, and takes the power away at `step`. True if it came
/// to its answer before.
fn run(
    disk: &mut Mount,
    prepared: &Path,
    (statement, step, durability): (&str, u64, Durability),
    journal_is_written: bool,
) -> bool {
    let at = disk.path().join("t");
    copy(prepared, &at);
    disk.sync();
    let killed = Killed {
        statement,
        directory: &at,
        step,
        durability,
        last: Some(&power_off(&disk.path(), journal_is_written)),
    };
    let answered = killed.run().is_some();
    disk.again();
    answered
}

async fn fail_at_steps(kind: &str, statement: &str) {
    let Some(mut disk) = disk(kind) else { return };
    let directory = tempfile::tempdir().unwrap();
    let prepared = directory.path().join("prepared");
    let after = prepare(&prepared, statement).await;
    // There: another file system may take other steps.
    let counted = disk.path().join("counted");
    copy(&prepared, &counted);
    let whole = Killed {
        statement,
        directory: &counted,
        step: ANSWERED - 1,
        durability: Durability::Full,
        last: None,
    };
    let steps = whole.run().unwrap();
    let most = if long() { usize::MAX } else { 6 };
    let chosen = sample(usize::try_from(steps).unwrap(), most);
    let steps = chosen.into_iter().map(|step| step as u64 + 1);
    for step in steps.chain([ANSWERED]) {
        for journal_is_written in [false, true] {
            let what = format!("{kind}: power fails at step {step} of {statement}");
            let how = (statement, step, Durability::Full);
            let answered = run(&mut disk, &prepared, how, journal_is_written);
            assert_eq!(answered, step == ANSWERED, "{what}");
            let at = disk.path().join("t");
            let rows = check(&at, &what).await;
            match answered {
                true => assert_eq!(rows, after, "{what}"),
                false => assert!(rows == 3 || rows == after, "{what}: {rows} rows"),
            }
            check_next(&at, rows, &what).await;
            std::fs::remove_dir_all(at).unwrap();
        }
    }
}

#[tokio::test]
async fn power_failure_of_ext4_at_any_step_of_an_append_leaves_the_old_version_or_the_new_one() {
    fail_at_steps("ext4", "append").await;
}

#[tokio::test]
async fn power_failure_of_ext4_at_any_step_of_an_expiry_loses_nothing() {
    fail_at_steps("ext4", "expire").await;
}

#[tokio::test]
async fn power_failure_of_xfs_at_any_step_of_an_append_leaves_the_old_version_or_the_new_one() {
    fail_at_steps("xfs", "append").await;
}

#[tokio::test]
async fn power_failure_of_xfs_at_any_step_of_an_expiry_loses_nothing() {
    fail_at_steps("xfs", "expire").await;
}

/// The other statements that make rows come or go, which sync no other things than an append.
async fn row_changes_fail_at_steps(kind: &str) {
    if !long() {
        println!("not run; set ATIO_LONG=1");
        return;
    }
    for statement in ["delete", "update", "mark"] {
        fail_at_steps(kind, statement).await;
    }
}

#[tokio::test]
async fn power_failure_of_ext4_at_any_step_of_a_delete_or_update_leaves_the_old_version_or_the_new()
{
    row_changes_fail_at_steps("ext4").await;
}

#[tokio::test]
async fn power_failure_of_xfs_at_any_step_of_a_delete_or_update_leaves_the_old_version_or_the_new()
{
    row_changes_fail_at_steps("xfs").await;
}

/// So the tests above can fail: unless the journal happens to be written just then.
async fn is_lost_unsynced(kind: &str, journal_is_written: bool) {
    let Some(mut disk) = disk(kind) else { return };
    let directory = tempfile::tempdir().unwrap();
    let prepared = directory.path().join("prepared");
    let after = prepare(&prepared, "append").await;
    let how = ("append", ANSWERED, Durability::None);
    for _ in 0..4 {
        assert!(run(&mut disk, &prepared, how, journal_is_written));
        let at = disk.path().join("t");
        let newest = durable(&at).newest().await;
        if newest.is_err() || newest.unwrap().totals().rows < after {
            return;
        }
        std::fs::remove_dir_all(at).unwrap();
    }
    panic!("{kind}: what was not synced is there, journal: {journal_is_written}");
}

#[tokio::test]
async fn append_that_waits_for_no_disk_is_lost_when_the_power_of_ext4_fails() {
    is_lost_unsynced("ext4", false).await;
    is_lost_unsynced("ext4", true).await;
}

#[tokio::test]
async fn append_that_waits_for_no_disk_is_lost_when_the_power_of_xfs_fails() {
    is_lost_unsynced("xfs", false).await;
    is_lost_unsynced("xfs", true).await;
}
