//! What comes after a change of rows: older versions, rollbacks and expiry.

use std::sync::Arc;

use atio_core::ErrorKind;
use atio_core::format::Version;
use atio_core::log::{CommitOptions, Expiry, RefUpdate, RollbackTarget, Table};

use super::super::everything;
use super::{Place, TRUNCATE, append, delete, merge, newest_rows, objects, on_both, rows, update};

fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

async fn rows_of(table: &Table, number: u64) -> Vec<i64> {
    let snapshot = table.version(version(number)).await.unwrap();
    rows(table, &snapshot).await
}

/// The rows of every version after each of these statements, from version 1.
const VERSIONS: [&[i64]; 7] = [
    &[1, 2, 3],
    &[1, 2, 3, 4],
    &[1, 3, 4],
    &[3, 4, 11],
    &[3, 4, 5, 6, 11],
    &[],
    &[7],
];

async fn changed(table: &Arc<Table>) {
    for statement in [
        delete(&[2]),
        update(&[1], &[11]),
        merge(&[], &[5, 6]),
        TRUNCATE,
        append(&[7]),
    ] {
        statement.run_now(table).await.unwrap();
    }
}

async fn check_older_versions(place: Place) {
    let open = place.table("older").await;
    changed(&open()).await;
    let table = open();
    for (rows, number) in VERSIONS.iter().zip(1..) {
        assert_eq!(rows_of(&table, number).await, *rows, "{number}");
    }
    // All but the last four expire.
    let kept = Expiry {
        retain_last: 4,
        ..everything()
    };
    table.expire(&kept, None).await.unwrap();
    let other = open();
    for (rows, number) in VERSIONS.iter().zip(1..) {
        match number {
            1..=3 => {
                let error = other.version(version(number)).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::VersionExpired);
            }
            _ => assert_eq!(rows_of(&other, number).await, *rows, "{number}"),
        }
    }
    // 1 and 2 were in no version since.
    assert_eq!(objects(&other, "data").await.len(), 6);
    // Then all but the newest.
    other.expire(&everything(), None).await.unwrap();
    assert_eq!(newest_rows(&open()).await, [7]);
    assert_eq!(objects(&other, "data").await.len(), 1);
    let metadata = objects(&other, "metadata").await;
    let manifests = metadata.iter().filter(|name| name.contains("/manifest-"));
    assert_eq!(manifests.count(), 1, "{metadata:?}");
    assert!(
        !metadata.iter().any(|name| name.contains("/removed-")),
        "{metadata:?}"
    );
}

#[tokio::test]
async fn older_versions_keep_their_rows_until_they_expire_and_then_their_files_go() {
    on_both(check_older_versions).await;
}

async fn check_rollback(place: Place) {
    let open = place.table("back").await;
    let table = open();
    changed(&table).await;
    for number in [4, 6, 2, 7, 1, 5] {
        let to = RollbackTarget::Version(version(number));
        let options = CommitOptions::default();
        table
            .update_refs(RefUpdate::Rollback { to }, options)
            .await
            .unwrap();
        let expected = VERSIONS[number as usize - 1];
        assert_eq!(newest_rows(&open()).await, expected, "{number}");
        // And on from there.
        let [first, ..] = expected else { continue };
        if *first == 3 {
            delete(&[3]).run_now(&table).await.unwrap();
            assert_eq!(newest_rows(&open()).await, expected[1..]);
        }
    }
    // What came back with a rollback stays.
    table.expire(&everything(), None).await.unwrap();
    assert_eq!(newest_rows(&open()).await, [4, 5, 6, 11]);
    assert_eq!(objects(&table, "data").await.len(), 4);
}

#[tokio::test]
async fn rollback_over_changes_of_rows_brings_back_what_was_there() {
    on_both(check_rollback).await;
}

/// What a lost attempt wrote for its base alone is removed once the next has succeeded.
async fn check_lost_attempts(place: Place) {
    let open = place.table("lost").await;
    let (ours, other) = (open(), open());
    let base = ours.newest().await.unwrap();
    for statement in [append(&[8]), delete(&[2]), append(&[9])] {
        statement.run_now(&other).await.unwrap();
    }
    let before = objects(&other, "metadata").await.len();
    let options = CommitOptions::default();
    update(&[1], &[11])
        .run(&ours, &base, options)
        .await
        .unwrap();
    // Its record, its snapshot, a rewritten and a new manifest, and the list of removed files.
    assert_eq!(objects(&other, "metadata").await.len(), before + 5);
    assert_eq!(newest_rows(&other).await, [3, 4, 8, 9, 11]);
}

#[tokio::test]
async fn attempts_that_were_lost_leave_nothing_behind() {
    on_both(check_lost_attempts).await;
}
