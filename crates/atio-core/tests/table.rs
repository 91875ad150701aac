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
#[cfg(all(unix, feature = "failpoints"))]
mod kills;
mod long_history;
#[cfg(all(target_os = "linux", feature = "failpoints"))]
mod power_failures;
mod row_changes;
mod servers;
mod two_phase;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use atio_core::ErrorKind;
use atio_core::format::{Checksum, FileEntry, Manifest, Reads};
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
