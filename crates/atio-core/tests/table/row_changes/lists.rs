//! What a change of rows lists, and what it says that it changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use atio_core::ErrorKind;
use atio_core::format::{Checksum, Manifest, ManifestRef, Reads, Totals, Version};
use atio_core::log::{Advance, CommitOptions, Committed, Position, RowChange, Table, Transaction};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;

use super::super::on_store;
use super::{
    Place, Statement, TRUNCATE, append, compact, create, delete, file_of, merge, newest_rows,
    objects, on_both, overwrite, record, rows, update, value,
};

fn totals(rows: u64) -> Totals {
    Totals {
        files: rows,
        rows,
        bytes: rows,
    }
}

/// The rows that the newest version says it removed.
async fn removed(table: &Table) -> Vec<String> {
    let newest = table.newest().await.unwrap();
    let Some(removed) = &record(&newest).changes.removed else {
        return Vec::new();
    };
    let key = table.data_key(&removed.path).unwrap();
    let found = table.store().get(&key).await.unwrap();
    let bytes = found.bytes().await.unwrap();
    removed.verify(&bytes).unwrap();
    let list = Manifest::parse(&removed.path, &bytes, false).unwrap();
    assert!(list.stats_ids.is_empty() && list.files.iter().all(|file| file.stats.is_empty()));
    list.files.into_iter().map(|file| file.path).collect()
}

/// Runs the statement; gives the manifests that were listed before and those that are after it.
async fn run(table: &Arc<Table>, statement: Statement) -> [Vec<ManifestRef>; 2] {
    let before = table.newest().await.unwrap();
    statement.run_now(table).await.unwrap();
    let after = table.newest().await.unwrap();
    let dropped: Vec<_> = (before.state.manifests.iter())
        .filter(|manifest| !after.state.manifests.contains(manifest))
        .map(|manifest| manifest.object.path.clone())
        .collect();
    let record = record(&after);
    assert_eq!(record.changes.manifests_dropped, dropped);
    let listed = |path: &String| {
        let manifests = after.state.manifests.iter();
        manifests
            .filter(|listed| listed.object.path == *path)
            .count()
    };
    for added in &record.changes.added {
        assert_eq!(listed(&added.path), 1);
    }
    assert_eq!(
        record.changes.added.len(),
        usize::from(!statement.adds.is_empty())
    );
    assert_eq!(record.added, totals(statement.adds.len() as u64));
    assert_eq!(removed(table).await.len() as u64, record.removed.files);
    [before, after].map(|snapshot| snapshot.state.manifests.clone())
}

async fn check_delete_among_several(place: Place) {
    let open = place.table("among").await;
    let table = open();
    let before = table.newest().await.unwrap();
    let listed = table.manifests(&before).await.unwrap();
    let second = listed[0].files[1].path.clone();
    assert_eq!(value(&listed[0], &listed[0].files[1]), 2);
    let [before, after] = run(&table, delete(&[2])).await;
    // Only the one that lists it is another, with the others as they were.
    assert_eq!(before[1], after[1]);
    assert_ne!(before[0].object.path, after[0].object.path);
    let other = open();
    let newest = other.newest().await.unwrap();
    let written = other.manifests(&newest).await.unwrap();
    assert_eq!(written.len(), 2);
    let mut expected = Manifest::clone(&listed[0]);
    expected.files.remove(1);
    assert_eq!(*written[0], expected);
    assert_eq!(removed(&other).await, [second]);
    assert_eq!(record(&newest).removed, totals(1));
    assert_eq!(record(&newest).operation.word(), "delete");
    assert_eq!(newest.totals(), totals(3));
    assert_eq!(newest_rows(&other).await, [1, 3, 4]);
}

#[tokio::test]
async fn delete_writes_the_manifest_of_its_file_anew_and_no_other() {
    on_both(check_delete_among_several).await;
}

async fn check_whole_manifests(place: Place) {
    let open = place.table("whole").await;
    let table = open();
    let [before, after] = run(&table, delete(&[1, 2, 3])).await;
    assert_eq!(after, before[1..]);
    let [_, after] = run(&table, delete(&[4])).await;
    assert!(after.is_empty());
    assert_eq!(newest_rows(&table).await, [0; 0]);
    // The table goes on.
    run(&table, append(&[5])).await;
    assert_eq!(newest_rows(&table).await, [5]);
}

#[tokio::test]
async fn manifest_that_loses_all_files_is_not_listed() {
    on_both(check_whole_manifests).await;
}

async fn check_update(place: Place) {
    let open = place.table("update").await;
    let table = open();
    let [before, after] = run(&table, update(&[1, 4], &[11, 14])).await;
    assert_eq!((before.len(), after.len()), (2, 2));
    // What was rewritten, and what was added.
    assert_eq!((after[0].files, after[1].files), (2, 2));
    assert_eq!(newest_rows(&open()).await, [2, 3, 11, 14]);
    // A merge may remove nothing.
    let [before, after] = run(&table, merge(&[], &[5])).await;
    assert_eq!(after[..2], before);
    assert_eq!(newest_rows(&open()).await, [2, 3, 5, 11, 14]);
    run(&table, merge(&[2], &[12, 13])).await;
    let history = table.history().await.unwrap();
    let said: Vec<_> = history[3..]
        .iter()
        .map(|entry| {
            let of = |totals: Option<Totals>| totals.unwrap().rows;
            let counts = [entry.added, entry.removed, entry.totals].map(of);
            (entry.operation.as_str(), counts)
        })
        .collect();
    assert_eq!(
        said,
        [
            ("update", [2, 2, 4]),
            ("merge", [1, 0, 5]),
            ("merge", [2, 1, 6])
        ]
    );
}

#[tokio::test]
async fn update_and_merge_take_files_away_and_add_others() {
    on_both(check_update).await;
}

async fn check_truncate(place: Place) {
    let open = place.table("truncate").await;
    let table = open();
    let [_, after] = run(&table, TRUNCATE).await;
    assert!(after.is_empty());
    let newest = open().newest().await.unwrap();
    assert_eq!(newest.totals(), totals(0));
    assert_eq!(record(&newest).operation.word(), "truncate");
    assert_eq!(record(&newest).removed, totals(4));
    assert_eq!(removed(&table).await.len(), 4);
    // As an overwrite by nothing, that of an empty table is a version, too.
    run(&table, TRUNCATE).await;
    assert_eq!(removed(&table).await.len(), 0);
    run(&table, append(&[7])).await;
    assert_eq!(newest_rows(&open()).await, [7]);
}

#[tokio::test]
async fn truncate_removes_all_rows_and_the_table_goes_on() {
    on_both(check_truncate).await;
}

async fn check_unlisted(place: Place) {
    let open = place.table("unlisted").await;
    let table = open();
    let base = table.newest().await.unwrap();
    let path = table.manifests(&base).await.unwrap()[0].files[0]
        .path
        .clone();
    delete(&[1]).run_now(&table).await.unwrap();
    // It was there before, and is not in the base.
    let base = table.newest().await.unwrap();
    let txn = Transaction::begin(&table);
    let added = file_of(&txn, 9).await.unwrap();
    let staged = table.data_key(&added.path).unwrap();
    let adds = Manifest::new(base.schema.id, vec![1], vec![added]);
    let change = RowChange::update(BTreeSet::from([path.clone()]), adds, Reads::default());
    let options = CommitOptions::default();
    let error = table.commit(txn, Arc::clone(&base), change, Vec::new(), options);
    let error = error.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(
        error.message(),
        format!(
            "cannot remove {path} from '{}': version 3 does not list it; nothing was written",
            table.name()
        )
    );
    assert!(table.store().head(&staged).await.is_err());
    let newest = open().newest().await.unwrap();
    assert_eq!(newest.version, base.version);
    assert_eq!(rows(&table, &newest).await, [2, 3, 4]);
}

#[tokio::test]
async fn file_that_the_base_does_not_list_cannot_be_removed() {
    on_both(check_unlisted).await;
}

/// Each statement adds a manifest and rewrites one that the next merge is due for.
#[tokio::test]
async fn updates_keep_the_list_of_manifests_as_short_as_appends_do() {
    static VALUES: [i64; 60] = {
        let mut values = [0; 60];
        let mut at = 0;
        while at < values.len() {
            values[at] = 1000 + at as i64;
            at += 1;
        }
        values
    };
    let store = Arc::new(InMemory::new());
    let table = on_store(&store);
    create(&table).await;
    append(&VALUES).run_now(&table).await.unwrap();
    let mut longest = 0;
    for number in 0..300 {
        let at = number * 7 % VALUES.len();
        let one = &VALUES[at..=at];
        update(one, one).run_now(&table).await.unwrap();
        let newest = table.newest().await.unwrap();
        longest = longest.max(newest.state.manifests.len());
    }
    assert_eq!(newest_rows(&table).await, VALUES);
    // 7 of each of two levels, and the newest.
    assert!(longest <= 15, "{longest}");
    // Merges that were made and then rewritten are not left behind.
    let mut named = BTreeSet::new();
    let newest = table.newest().await.unwrap();
    for version in Version::ZERO.through(newest.version) {
        let snapshot = table.version(version).await.unwrap();
        let listed = snapshot.state.manifests.iter();
        named.extend(listed.map(|manifest| manifest.object.path.clone()));
    }
    let mut found = objects(&table, "metadata").await;
    found.retain(|path| path.contains("/manifest-"));
    assert_eq!(found.len(), named.len());
}

async fn check_positions(place: Place) {
    let open = place.table("positions").await;
    let table = open();
    let load = Position::Rows {
        rows: 1,
        checksum: Checksum::of(b"rows"),
    };
    for advance in [
        Advance::load("k", None, Some(load)),
        Advance::stream("sensor".to_owned(), None, 7),
    ] {
        let (base, txn) = (table.newest().await.unwrap(), Transaction::begin(&table));
        let files = vec![file_of(&txn, 5).await.unwrap()];
        let change = RowChange::append(base.schema.id, vec![1], files).advancing(Some(advance));
        let options = CommitOptions::default();
        let committed = table.commit(txn, base, change, Vec::new(), options).await;
        committed.unwrap();
    }
    let positions = async || {
        let state = &table.newest().await.unwrap().state;
        let load = table
            .load_position(state, "k")
            .map_err(|error| error.kind());
        (load, table.stream_position(state, "sensor").unwrap())
    };
    for statement in [
        compact(&[2, 3]),
        delete(&[5]),
        update(&[1], &[6]),
        merge(&[], &[7]),
    ] {
        statement.run_now(&table).await.unwrap();
        assert_eq!(
            positions().await,
            (Ok(Some(load)), Some(7)),
            "{statement:?}"
        );
    }
    TRUNCATE.run_now(&table).await.unwrap();
    // Nothing of the load is there, so it begins again; the stream's rows come from elsewhere.
    assert_eq!(positions().await, (Ok(None), Some(7)));
    overwrite(&[8]).run_now(&table).await.unwrap();
    assert_eq!(positions().await, (Ok(None), Some(7)));
}

#[tokio::test]
async fn loads_go_on_after_changes_of_rows_and_begin_anew_after_a_truncate() {
    on_both(check_positions).await;
}

async fn check_keys(place: Place) {
    let open = place.table("keys").await;
    let keyed = || CommitOptions {
        idempotency_key: Some("nightly".to_owned()),
        ..CommitOptions::default()
    };
    let (one, two) = (open(), open());
    let base = one.newest().await.unwrap();
    let first = delete(&[1]).run(&one, &base, keyed()).await.unwrap();
    // Planned on the same version: that the file is gone is its own work.
    let again = delete(&[1]).run(&two, &base, keyed()).await.unwrap();
    let (Committed::As(made), Committed::Before(found)) = (first, again) else {
        panic!("{first:?} and {again:?}");
    };
    assert_eq!(made, found);
    assert_eq!(newest_rows(&two).await, [2, 3, 4]);
    let other = update(&[2], &[12]).run(&two, &base, keyed()).await;
    assert_eq!(
        other.unwrap_err().message(),
        format!(
            "idempotency key 'nightly' is that of version 3 (delete) of '{}', and this is an update: give it a key of its own",
            two.name()
        )
    );
    assert_eq!(newest_rows(&two).await, [2, 3, 4]);
}

#[tokio::test]
async fn delete_with_a_key_is_done_once() {
    on_both(check_keys).await;
}
