//! Compactions of files whose rows are marked as deleted.

use std::collections::BTreeSet;
use std::sync::Arc;

use atio::CommitOptions;
use atio_core::format::{Manifest, Reads};
use atio_core::log::{OpenOptions, RowChange, Table, Transaction};
use datafusion::object_store::memory::InMemory;

use super::with_t;
use crate::query::{row, rows};
use crate::session::Place;

/// Marks the first so many rows of each file of the table `t` as deleted.
async fn mark(store: &Arc<InMemory>, rows: u64) {
    let options = OpenOptions::default();
    let location = "memory://test/base/t".to_owned();
    let table = Table::new(
        Arc::clone(store) as _,
        "base/t".into(),
        location,
        None,
        options,
    );
    let table = Arc::new(table);
    let txn = Transaction::begin(&table);
    let base = table.newest().await.unwrap();
    let manifests = table.manifests(&base).await.unwrap();
    let files = manifests.iter().flat_map(|manifest| &manifest.files);
    let marks = files.map(|file| (file.path.clone(), (0..rows).collect()));
    let none = Manifest::new(base.schema.id, Vec::new(), Vec::new());
    let change = RowChange::delete(BTreeSet::new(), none, Reads::default());
    let change = change.marking(marks.collect());
    let committed = table.commit(txn, base, change, Vec::new(), CommitOptions::default());
    committed.await.unwrap();
}

#[tokio::test]
async fn rows_that_are_marked_as_deleted_are_left_out() {
    let place = Place::memory();
    let Place::Memory(store) = &place else {
        panic!()
    };
    let ctx = with_t(&place).await;
    rows(
        &ctx,
        "INSERT INTO t SELECT value FROM generate_series(1, 1000)",
    )
    .await;
    let compact = "SELECT files_before, files_after, rows, deleted_rows, version, outcome \
                   FROM atio_compact('t', dry_run => false)";
    mark(store, 100).await;
    // A tenth is little.
    assert_eq!(rows(&ctx, compact).await, [""; 0]);
    rows(&ctx, "SELECT * FROM atio_rollback('t', version => 1)").await;
    mark(store, 101).await;
    let sums = "SELECT count(*), sum(a), min(a) FROM t";
    let before = row(&ctx, sums).await;
    assert_eq!(row(&ctx, compact).await, "1|1|899|101|5|compacted");
    assert_eq!(row(&ctx, sums).await, before);
    assert!(
        before.starts_with("899|") && before.ends_with("|102"),
        "{before}"
    );
    assert_eq!(
        rows(&ctx, "SELECT rows FROM atio_files('t')").await,
        ["899"]
    );
    let counts = "SELECT (SELECT count(*) FROM atio_table('t', version => 1)) AS old, (SELECT count(*) FROM atio_table('t', version => 4)) AS new";
    assert_eq!(row(&ctx, counts).await, "1000|899");
    // Its vector goes with the old file.
    let left = "SELECT count(*) FROM expire_snapshots('t', keep_for => INTERVAL '0 days', dry_run => false) WHERE path LIKE '%.dv'";
    assert_eq!(row(&ctx, left).await, "2");
    assert_eq!(row(&with_t(&place).await, sums).await, before);
}
