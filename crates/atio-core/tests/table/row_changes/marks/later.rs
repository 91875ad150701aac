//! What comes after marks: older versions, rollbacks and expiry.

use std::collections::BTreeSet;
use std::sync::Arc;

use atio_core::ErrorKind;
use atio_core::format::record::Features;
use atio_core::log::{CommitOptions, Expiry, RefUpdate, Table, Transaction};
use object_store::ObjectStoreExt;

use super::super::super::everything;
use super::super::{Place, TRUNCATE, append, delete, objects, on_both, overwrite, record};
use super::{A, B, C, OfFile, entries, go_back, left, left_now, mark, of, version};

const ALL_B: OfFile = (B, &[0, 1]);
const ALL_C: OfFile = (C, &[0, 1, 2]);

/// The rows of every version from 1 on, after each of the statements of [`changed`].
const VERSIONS: [&[OfFile]; 6] = [
    &[(A, &[0, 1, 2, 3]), ALL_B],
    &[(A, &[0, 1, 2, 3]), ALL_B, ALL_C],
    &[(A, &[1, 2, 3]), ALL_B, ALL_C],
    &[(A, &[1, 3]), ALL_B, (C, &[0, 2]), (9, &[0])],
    &[(A, &[1, 3]), (C, &[0, 2]), (9, &[0])],
    &[(A, &[3]), (C, &[0, 2]), (9, &[0])],
];

async fn changed(table: &Arc<Table>) {
    for marks in [
        mark(&[(A, &[0])]),
        mark(&[(A, &[2]), (C, &[1])]).adding(&[9]),
        mark(&[(B, &[0, 1])]),
        mark(&[(A, &[1])]),
    ] {
        marks.run_now(table).await.unwrap();
    }
}

/// The deletion vectors that are there.
async fn vectors(table: &Table) -> BTreeSet<String> {
    let mut found = objects(table, "data").await;
    found.retain(|name| name.ends_with(".dv"));
    found
}

/// Those that these versions name.
async fn named(table: &Table, versions: impl IntoIterator<Item = u64>) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for number in versions {
        let snapshot = table.version(version(number)).await.unwrap();
        let files = entries(table, &snapshot).await.unwrap().into_values();
        let paths = files.filter_map(|file| file.dv).map(|vector| vector.path);
        named.extend(paths.map(|path| table.data_key(&path).unwrap().to_string()));
    }
    named
}

async fn features(table: &Table) -> Features {
    let newest = table.newest().await.unwrap();
    record(&newest).features.clone()
}

fn of_names(read: &[&str], write: &[&str]) -> Features {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Features {
        read: names(read),
        write: names(write),
    }
}

async fn check_versions(table: &Table, versions: impl IntoIterator<Item = usize>) {
    for number in versions {
        let snapshot = table.version(version(number as u64)).await.unwrap();
        let expected = of(VERSIONS[number - 1]);
        assert_eq!(left(table, &snapshot).await, expected, "{number}");
    }
}

async fn check_expiry(place: Place) {
    let open = place.of_files("expiry").await;
    let table = open();
    changed(&table).await;
    check_versions(&open(), 1..=6).await;
    assert_eq!(vectors(&table).await.len(), 3);
    assert_eq!(vectors(&table).await, named(&table, 1..=6).await);

    // A dry run says what goes.
    let kept = Expiry {
        retain_last: 3,
        ..everything()
    };
    let dry = Expiry {
        dry_run: true,
        ..kept
    };
    let rows = open().expire(&dry, None).await.unwrap();
    let rows: Vec<_> = rows
        .iter()
        .filter(|row| row.kind == "deletion vector")
        .collect();
    let [row] = rows.as_slice() else {
        panic!("{rows:?}");
    };
    assert_eq!(row.reason, "last needed by version 3, which has expired");
    assert_eq!(row.bytes, Some(30));
    let gone = table.data_key(&row.path).unwrap().to_string();

    // The data file stays for the later versions, its first vector goes.
    open().expire(&kept, None).await.unwrap();
    check_versions(&open(), 4..=6).await;
    let left_over = vectors(&table).await;
    assert!(!left_over.contains(&gone));
    assert_eq!(left_over, named(&open(), 4..=6).await);
    assert_eq!(features(&open()).await, of_names(&["dv"], &["dv"]));
    let error = open().version(version(3)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::VersionExpired);

    // Then all but the newest, which still has some.
    open().expire(&everything(), None).await.unwrap();
    check_versions(&open(), [6]).await;
    assert_eq!(vectors(&table).await, named(&open(), [6]).await);
    // C's are where they were first, beside some of A that nobody needs any more.
    assert_eq!(vectors(&table).await.len(), 2);
    assert_eq!(features(&open()).await, of_names(&["dv"], &["dv"]));
}

#[tokio::test]
async fn expiry_keeps_the_vectors_of_versions_that_stay_and_deletes_the_others() {
    on_both(check_expiry).await;
}

/// Who may write is told as long as a version can be read that has vectors.
async fn check_features(place: Place) {
    for (number, without) in [overwrite(&[7]), TRUNCATE, delete(&[A])]
        .into_iter()
        .enumerate()
    {
        let open = place.of_files(&format!("features-{number}")).await;
        let table = open();
        mark(&[(A, &[0])]).run_now(&table).await.unwrap();
        let tag = RefUpdate::Tag {
            name: "x".to_owned(),
            version: None,
            message: None,
            replace: false,
        };
        let options = CommitOptions::default;
        table.update_refs(tag, options()).await.unwrap();
        assert_eq!(features(&open()).await, of_names(&["dv"], &["dv"]));
        without.run_now(&table).await.unwrap();
        assert_eq!(features(&open()).await, of_names(&[], &["dv"]));
        append(&[8]).run_now(&table).await.unwrap();
        assert_eq!(features(&open()).await, of_names(&[], &["dv"]));
        // The tag keeps a version that has some.
        table.expire(&everything(), None).await.unwrap();
        assert_eq!(features(&open()).await, of_names(&[], &["dv"]));
        assert_eq!(vectors(&table).await.len(), 1);
        let untag = RefUpdate::Untag {
            name: "x".to_owned(),
        };
        table.update_refs(untag, options()).await.unwrap();
        assert_eq!(features(&open()).await, of_names(&[], &["dv"]));
        table.expire(&everything(), None).await.unwrap();
        assert_eq!(features(&open()).await, Features::default());
        assert!(vectors(&table).await.is_empty());
        // And again.
        append(&[6]).run_now(&table).await.unwrap();
        assert_eq!(features(&open()).await, Features::default());
        super::add(&table, &[(A, 3)]).await.unwrap();
        mark(&[(A, &[2])]).run_now(&table).await.unwrap();
        assert_eq!(features(&open()).await, of_names(&["dv"], &["dv"]));
    }
}

#[tokio::test]
async fn writers_need_to_know_vectors_until_no_version_has_any() {
    on_both(check_features).await;
}

/// Orphans alone are revoked: no version expires, and none that can be read loses its feature.
async fn check_orphans(place: Place) {
    let open = place.of_files("orphans").await;
    let table = open();
    mark(&[(A, &[0])]).run_now(&table).await.unwrap();
    // A statement that died before its record: its vectors are staged under the name of its
    // transaction, as data files are.
    let txn = Transaction::begin(&table);
    let name = txn.data_file().await.unwrap().replace(".parquet", ".dv");
    let key = table.data_key(&name).unwrap();
    let store = txn.store();
    store.put(&name.as_str().into(), "x".into()).await.unwrap();
    std::mem::forget(txn);
    assert!(vectors(&table).await.contains(&key.to_string()));
    let young = Expiry {
        orphan_age_us: i64::MAX,
        ..everything()
    };
    let expiry = |age: i64| Expiry {
        keep_for_us: i64::MAX,
        orphan_age_us: age,
        ..young
    };
    open().expire(&expiry(i64::MAX), None).await.unwrap();
    assert_eq!(vectors(&table).await.len(), 2);
    let rows = open().expire(&expiry(0), None).await.unwrap();
    let swept = rows.iter().find(|row| row.path == name).unwrap();
    assert_eq!((swept.kind, swept.deleted), ("deletion vector", true));
    assert!(
        swept.reason.starts_with("no version names it"),
        "{}",
        swept.reason
    );
    assert_eq!(vectors(&table).await, named(&open(), [3]).await);
    assert_eq!(features(&open()).await, of_names(&["dv"], &["dv"]));
    assert_eq!(
        left_now(&open()).await,
        of(&[(A, &[1, 2, 3]), ALL_B, ALL_C])
    );
}

#[tokio::test]
async fn vectors_that_no_version_names_are_swept() {
    on_both(check_orphans).await;
}

async fn check_rollback(place: Place) {
    let open = place.of_files("back").await;
    let table = open();
    changed(&table).await;
    for (made, number) in [3, 6, 2, 4, 1, 5, 3].into_iter().enumerate() {
        let before = left_now(&table).await;
        let made = made as u64 + 7;
        assert_eq!(go_back(&table, number).await.unwrap(), version(made));
        let newest = open().newest().await.unwrap();
        let expected = of(VERSIONS[number as usize - 1]);
        assert_eq!(left(&open(), &newest).await, expected, "{number}");
        let read: &[&str] = if number > 2 { &["dv"] } else { &[] };
        assert_eq!(record(&newest).features, of_names(read, &["dv"]));
        // What the record counts is what the rows of both differ by, file by file.
        let record = record(&newest);
        let differ = |one: &std::collections::BTreeMap<_, Vec<u64>>, other: &_| {
            let differ = one.iter().filter(|(file, rows)| {
                let other: &std::collections::BTreeMap<i64, Vec<u64>> = other;
                other.get(file) != Some(rows)
            });
            differ.map(|(_, rows)| rows.len() as u64).sum::<u64>()
        };
        assert_eq!(record.added.rows, differ(&expected, &before), "{number}");
        assert_eq!(record.removed.rows, differ(&before, &expected), "{number}");
    }
    // Going back to what is there changes nothing.
    let to = atio_core::log::RollbackTarget::Version(version(3));
    let update = RefUpdate::Rollback { to };
    let again = table.update_refs(update, CommitOptions::default()).await;
    assert_eq!(again.unwrap().committed, None);
    // And on from there: the marks of others that came before are not there.
    mark(&[(A, &[1]), (C, &[1])]).run_now(&table).await.unwrap();
    assert_eq!(
        left_now(&open()).await,
        of(&[(A, &[2, 3]), ALL_B, (C, &[0, 2])])
    );
    // What it needs stays.
    open().expire(&everything(), None).await.unwrap();
    assert_eq!(
        left_now(&open()).await,
        of(&[(A, &[2, 3]), ALL_B, (C, &[0, 2])])
    );
    assert_eq!(vectors(&table).await, named(&open(), [14]).await);
}

#[tokio::test]
async fn rollback_takes_marks_away_and_brings_them_back() {
    on_both(check_rollback).await;
}

/// A rollback to a version whose vectors only it names keeps them alive.
async fn check_rollback_and_expiry(place: Place) {
    let open = place.of_files("back-and-expire").await;
    let table = open();
    mark(&[(A, &[0])]).run_now(&table).await.unwrap();
    mark(&[(A, &[1])]).run_now(&table).await.unwrap();
    go_back(&table, 3).await.unwrap();
    open().expire(&everything(), None).await.unwrap();
    assert_eq!(
        left_now(&open()).await,
        of(&[(A, &[1, 2, 3]), ALL_B, ALL_C])
    );
    assert_eq!(vectors(&table).await.len(), 1);
}

#[tokio::test]
async fn rollback_keeps_the_vectors_of_the_version_that_it_goes_back_to() {
    on_both(check_rollback_and_expiry).await;
}
