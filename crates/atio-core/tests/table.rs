//! Tables without a query engine: their data files hold a byte, which nobody reads.

#![cfg(test)]

mod busy;
mod cache_limit;
mod commits;
mod fault_store;
mod faults;
mod footers;
#[cfg(all(unix, feature = "failpoints"))]
mod found;
mod given_up;
mod golden;
mod health;
#[cfg(all(unix, feature = "failpoints"))]
mod kills;
mod long_history;
#[cfg(all(target_os = "linux", feature = "failpoints"))]
mod power_failures;
mod repairs;
mod row_changes;
mod servers;
mod two_phase;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use atio_core::ErrorKind;
use atio_core::format::{Checksum, FileEntry, Manifest, Reads, Record};
use atio_core::log::{
    CommitOptions, Committed, Expiry, NewTable, OpenOptions, RowChange, Snapshot, Table,
    Transaction,
};
use atio_core::storage::Durability;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};

/// A handle on the table in `directory`, whose commits wait for no disk.
fn on_disk(directory: &Path) -> Arc<Table> {
    with_durability(directory, Durability::None)
}

/// The same, whose commits do.
#[cfg(all(unix, feature = "failpoints"))]
fn durable(directory: &Path) -> Arc<Table> {
    with_durability(directory, Durability::Full)
}

fn with_durability(directory: &Path, durability: Durability) -> Arc<Table> {
    let options = OpenOptions {
        durability,
        ..OpenOptions::default()
    };
    let root = object_store::path::Path::from_absolute_path(directory).unwrap();
    let store = Arc::new(LocalFileSystem::new());
    let location = directory.display().to_string();
    let local = Some(directory.to_owned());
    Arc::new(Table::new(store, root, location, local, options))
}

/// A handle on the table `t` of a store.
fn on_store(store: &Arc<InMemory>) -> Arc<Table> {
    handle(Arc::clone(store) as _)
}

fn handle(store: Arc<dyn ObjectStore>) -> Arc<Table> {
    let location = "memory://bucket/t".to_owned();
    let options = OpenOptions::default();
    Arc::new(Table::new(store, "t".into(), location, None, options))
}

/// Expires all but the newest version, and what nobody names.
fn everything() -> Expiry {
    Expiry {
        keep_for_us: 0,
        retain_last: 1,
        orphan_age_us: 0,
        dry_run: false,
        now_us: i64::MAX,
    }
}

/// Makes a table of one column.
async fn create(table: &Table) {
    let column = Field::new("a", DataType::Int64, true);
    let new = NewTable {
        schema: Arc::new(Schema::new(vec![column])),
        options: Default::default(),
        commit: CommitOptions::default(),
    };
    table.create(&new).await.unwrap();
}

/// A data file of one row, as its manifest says.
async fn file(txn: &Transaction) -> atio_core::Result<FileEntry> {
    let path = txn.data_file().await?;
    let written = txn.store().put(&path.as_str().into(), "1".into()).await;
    written.map_err(|error| {
        atio_core::Error::new(ErrorKind::Storage, "cannot write a data file").with_source(error)
    })?;
    Ok(FileEntry {
        path,
        format: "parquet".to_owned(),
        size: Some(1),
        rows: Some(1),
        checksum: Some(Checksum::of(b"1")),
        stats: Vec::new(),
        dv: None,
        column_bytes: Vec::new(),
    })
}

/// The same of so many rows.
async fn file_of_rows(txn: &Transaction, rows: u64) -> atio_core::Result<FileEntry> {
    Ok(FileEntry {
        rows: Some(rows),
        ..file(txn).await?
    })
}

/// Adds a file of so many rows.
async fn append_rows(table: &Arc<Table>, rows: u64) -> atio_core::Result<Committed> {
    let (base, txn) = (table.newest().await?, Transaction::begin(table));
    let files = vec![file_of_rows(&txn, rows).await?];
    let change = RowChange::append(base.schema.id, Vec::new(), files);
    let options = CommitOptions::default();
    table.commit(txn, base, change, Vec::new(), options).await
}

/// Marks the first row that is left of the last file that has several left, as deleted.
async fn mark(table: &Arc<Table>) -> atio_core::Result<Committed> {
    let base = table.newest().await?;
    let manifests = table.manifests(&base).await?;
    let listed = manifests.iter().flat_map(|manifest| &manifest.files);
    let mut several = listed.filter(|file| file.live_rows().unwrap() > 1);
    let file = several.next_back().expect("a file of several rows");
    let vectors = table.vectors(&base, &[file]).await?;
    let marked = vectors[0].clone().unwrap_or_default();
    let row = (0..).find(|row| !marked.contains(*row)).unwrap();
    let rows = BTreeMap::from([(file.path.clone(), [row].into_iter().collect())]);
    let txn = Transaction::begin(table);
    let adds = Manifest::new(base.schema.id, Vec::new(), Vec::new());
    let change = RowChange::delete(BTreeSet::new(), adds, Reads::default()).marking(rows);
    let options = CommitOptions::default();
    table.commit(txn, base, change, Vec::new(), options).await
}

/// The files of a version and which rows are left of each, as its deletion vectors tell. All that it
/// counts is true.
async fn rows_left(
    table: &Table,
    snapshot: &Snapshot,
) -> atio_core::Result<BTreeMap<String, Vec<u64>>> {
    let manifests = table.manifests(snapshot).await?;
    let files: Vec<_> = manifests.iter().flat_map(|found| &found.files).collect();
    let vectors = table.vectors(snapshot, &files).await?;
    let mut left = BTreeMap::new();
    for (file, vector) in files.iter().zip(vectors) {
        let vector = vector.unwrap_or_default();
        let rows = 0..file.stored_rows().unwrap();
        let rows: Vec<_> = rows.filter(|row| !vector.contains(*row)).collect();
        assert_eq!(
            rows.len() as u64,
            file.live_rows().unwrap(),
            "{}",
            file.path
        );
        assert!(!rows.is_empty(), "{} has no row left", file.path);
        assert!(
            left.insert(file.path.clone(), rows).is_none(),
            "listed twice"
        );
    }
    let count: usize = left.values().map(Vec::len).sum();
    let totals = snapshot.totals();
    assert_eq!(
        (totals.files, totals.rows),
        (left.len() as u64, count as u64)
    );
    let Record::Live(record) = &snapshot.record.record else {
        return Ok(left);
    };
    let marked = files.iter().any(|file| file.dv.is_some());
    assert_eq!(snapshot.state.has_vectors(), marked);
    assert_eq!(record.features.has_vectors(), marked);
    assert_eq!(record.snapshot_filename.is_none(), marked);
    Ok(left)
}

/// Adds a file of one row, as a statement that begins now does.
async fn append(table: &Arc<Table>) -> atio_core::Result<Committed> {
    let base = table.newest().await?;
    append_on(table, base, CommitOptions::default()).await
}

/// The same with two files, which one manifest lists.
async fn append_two(table: &Arc<Table>) -> atio_core::Result<Committed> {
    let base = table.newest().await?;
    let txn = Transaction::begin(table);
    let files = vec![file(&txn).await?, file(&txn).await?];
    let change = RowChange::append(base.schema.id, Vec::new(), files);
    let options = CommitOptions::default();
    table.commit(txn, base, change, Vec::new(), options).await
}

async fn append_on(
    table: &Arc<Table>,
    base: Arc<Snapshot>,
    options: CommitOptions,
) -> atio_core::Result<Committed> {
    let txn = Transaction::begin(table);
    let merges = table.prepare_merges(&txn, &base).await?;
    let change = RowChange::append(base.schema.id, Vec::new(), vec![file(&txn).await?]);
    table.commit(txn, base, change, merges, options).await
}

/// Removes the last file that the newest version lists, and adds so many, of one row each.
async fn rewrite(
    table: &Arc<Table>,
    change: fn(BTreeSet<String>, Manifest, Reads) -> RowChange,
    adds: usize,
) -> atio_core::Result<Committed> {
    let base = table.newest().await?;
    let manifests = table.manifests(&base).await?;
    let listed = manifests.iter().flat_map(|manifest| &manifest.files);
    let last = listed.last().map(|file| file.path.clone());
    let removes: BTreeSet<_> = last.into_iter().collect();
    let txn = Transaction::begin(table);
    let merges = table.prepare_merges(&txn, &base).await?;
    let mut files = Vec::new();
    for _ in 0..adds {
        files.push(file(&txn).await?);
    }
    let adds = Manifest::new(base.schema.id, Vec::new(), files);
    let change = change(removes, adds, Reads::default());
    table
        .commit(txn, base, change, merges, CommitOptions::default())
        .await
}
