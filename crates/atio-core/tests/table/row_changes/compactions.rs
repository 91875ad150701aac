//! Compactions: the same rows in other files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use atio_core::ErrorKind;
use atio_core::format::{DeletionVector, FileEntry, Manifest, Reads};
use atio_core::log::{CommitOptions, Committed, Expiry, RowChange, Snapshot, Table, Transaction};

use super::super::{everything, file};
use super::{
    Place, append, compact, create, delete, newest_rows, objects, on_both, record, update,
};

/// A file of so many rows, as its manifest says.
async fn file_of_rows(txn: &Transaction, rows: u64) -> FileEntry {
    FileEntry {
        rows: Some(rows),
        ..file(txn).await.unwrap()
    }
}

/// A table of one file with ten rows, and one with five.
async fn table_of_rows(place: &Place, name: &str) -> Arc<Table> {
    let table = place.place(name)();
    create(&table).await;
    let (base, txn) = (table.newest().await.unwrap(), Transaction::begin(&table));
    let files = vec![file_of_rows(&txn, 10).await, file_of_rows(&txn, 5).await];
    let change = RowChange::append(base.schema.id, Vec::new(), files);
    let options = CommitOptions::default();
    let committed = table.commit(txn, base, change, Vec::new(), options).await;
    committed.unwrap();
    table
}

/// The files of a version, by their rows that are in them.
async fn files(table: &Table, of: &Snapshot) -> BTreeMap<u64, FileEntry> {
    let manifests = table.manifests(of).await.unwrap();
    let files = manifests.iter().flat_map(|manifest| manifest.files.clone());
    files.map(|file| (file.rows.unwrap(), file)).collect()
}

/// Commits `change` of the file that has so many rows, planned on `base`.
async fn change(
    table: &Arc<Table>,
    base: &Arc<Snapshot>,
    change: impl FnOnce(String, u32, Vec<FileEntry>) -> RowChange,
    (of, into): (u64, u64),
) -> atio_core::Result<Committed> {
    let txn = Transaction::begin(table);
    let path = files(table, base).await[&of].path.clone();
    let added = match into {
        0 => Vec::new(),
        rows => vec![file_of_rows(&txn, rows).await],
    };
    let change = change(path, base.schema.id, added);
    let (base, options) = (Arc::clone(base), CommitOptions::default());
    table.commit(txn, base, change, Vec::new(), options).await
}

/// Writes the rows of the file that has so many into another one, as so many.
async fn compact_into(
    table: &Arc<Table>,
    base: &Arc<Snapshot>,
    rows: (u64, u64),
) -> atio_core::Result<Committed> {
    let compact = |path, schema, adds| {
        let adds = Manifest::new(schema, Vec::new(), adds);
        RowChange::compact(BTreeSet::from([path]), adds)
    };
    change(table, base, compact, rows).await
}

/// Marks a row of the file that has so many.
async fn mark(
    table: &Arc<Table>,
    base: &Arc<Snapshot>,
    row: u64,
    of: u64,
) -> atio_core::Result<Committed> {
    let mark = |path, schema, adds| {
        let rows: DeletionVector = [row].into_iter().collect();
        let adds = Manifest::new(schema, Vec::new(), adds);
        let delete = RowChange::delete(BTreeSet::new(), adds, Reads::default());
        delete.marking(BTreeMap::from([(path, rows)]))
    };
    change(table, base, mark, (of, 0)).await
}

fn kind(ended: atio_core::Result<Committed>) -> Option<ErrorKind> {
    ended.err().map(|error| error.kind())
}

async fn check_marks(place: Place) {
    let conflict = Some(ErrorKind::Conflict);
    // A row goes while its file is compacted: the compaction gives way, and the row stays away.
    let table = table_of_rows(&place, "marked").await;
    let base = table.newest().await.unwrap();
    mark(&table, &base, 3, 10).await.unwrap();
    let (before, newest) = (objects(&table, "data").await, table.newest().await.unwrap());
    assert_eq!(kind(compact_into(&table, &base, (10, 10)).await), conflict);
    assert_eq!(objects(&table, "data").await, before);
    assert_eq!(newest.totals().rows, 14);
    // One of another file does not matter.
    compact_into(&table, &base, (5, 5)).await.unwrap();
    // Planned on what is there, it leaves the marked row out.
    let newest = table.newest().await.unwrap();
    compact_into(&table, &newest, (10, 9)).await.unwrap();
    let newest = table.newest().await.unwrap();
    assert_eq!(newest.totals().rows, 14);
    let record = record(&newest);
    assert_eq!((record.operation.word(), record.added.rows), ("compact", 9));
    assert_eq!((record.removed.rows, record.removed.files), (9, 1));
    let files = files(&table, &newest).await;
    assert!(files.values().all(|file| file.dv.is_none()));

    // The file is compacted first: the row lies elsewhere then.
    let table = table_of_rows(&place, "moved").await;
    let base = table.newest().await.unwrap();
    compact_into(&table, &base, (10, 10)).await.unwrap();
    assert_eq!(kind(mark(&table, &base, 3, 10).await), conflict);
    mark(&table, &base, 3, 5).await.unwrap();
    assert_eq!(table.newest().await.unwrap().totals().rows, 14);
}

#[tokio::test]
async fn row_that_is_marked_while_its_file_is_compacted_stays_deleted() {
    on_both(check_marks).await;
}

async fn check_rows(place: Place) {
    let table = table_of_rows(&place, "rows").await;
    let base = table.newest().await.unwrap();
    let before = objects(&table, "").await;
    for into in [9, 11, 0] {
        let error = compact_into(&table, &base, (10, into)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        assert_eq!(
            error.message(),
            format!("10 rows were to be written anew and {into} were: nothing was committed")
        );
        assert_eq!(objects(&table, "").await, before);
    }
    assert_eq!(table.newest().await.unwrap().version, base.version);
}

#[tokio::test]
async fn compaction_that_would_lose_or_add_rows_is_not_committed() {
    on_both(check_rows).await;
}

/// Versions of the same rows are one among those that are to stay.
async fn check_expiry(place: Place) {
    let open = place.table("kept").await;
    let table = open();
    // Above the versions 1 and 2, which append: 3 to 6.
    for statement in [
        update(&[1], &[11]),
        compact(&[2, 3]),
        compact(&[4, 11]),
        delete(&[3]),
    ] {
        statement.run_now(&table).await.unwrap();
    }
    compact(&[2, 4]).run_now(&table).await.unwrap();
    for (retain_last, first) in [(5, 0), (4, 1), (3, 2), (2, 5), (1, 7)] {
        let expiry = Expiry {
            retain_last,
            ..everything()
        };
        open().expire(&expiry, None).await.unwrap();
        let history = open().history().await.unwrap();
        let readable = history.iter().find(|entry| entry.readable).unwrap();
        assert_eq!(readable.version.get(), first, "{retain_last}");
    }
    assert_eq!(newest_rows(&open()).await, [2, 4, 11]);
    // Of each row the newest file is left.
    assert_eq!(objects(&table, "data").await.len(), 3);
    append(&[7]).run_now(&open()).await.unwrap();
    assert_eq!(newest_rows(&open()).await, [2, 4, 7, 11]);
}

#[tokio::test]
async fn expiry_keeps_one_version_of_the_same_rows_and_frees_the_files_of_the_others() {
    on_both(check_expiry).await;
}
