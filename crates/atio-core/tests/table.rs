//! Tables without a query engine: their data files are names alone, which nobody reads.

#![cfg(test)]

mod commits;
mod long_history;

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use atio_core::format::FileEntry;
use atio_core::log::{
    CommitOptions, Committed, NewTable, OpenOptions, RowChange, Snapshot, Table, Transaction,
};
use atio_core::storage::Durability;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;

/// A handle on the table in `directory`, whose commits wait for no disk.
fn on_disk(directory: &Path) -> Arc<Table> {
    let options = OpenOptions {
        durability: Durability::None,
        ..OpenOptions::default()
    };
    let root = object_store::path::Path::from_absolute_path(directory).unwrap();
    let store = Arc::new(LocalFileSystem::new());
    let location = directory.display().to_string();
    let local = Some(directory.to_owned());
    Arc::new(Table::new(store, root, location, local, options))
}

/// A handle of a new process on the table `t` of a store.
fn on_store(store: &Arc<InMemory>) -> Arc<Table> {
    let location = "memory://bucket/t".to_owned();
    let options = OpenOptions::default();
    let store = Arc::clone(store) as _;
    Arc::new(Table::new(store, "t".into(), location, None, options))
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

/// A data file of one row, which exists by its name alone.
async fn file(txn: &Transaction) -> FileEntry {
    FileEntry {
        path: txn.data_file().await.unwrap(),
        format: "parquet".to_owned(),
        size: Some(1),
        rows: Some(1),
        checksum: Some(atio_core::format::Checksum::of(b"1")),
        stats: Vec::new(),
        column_bytes: Vec::new(),
    }
}

/// Adds a file of one row, as a statement that begins now does.
async fn append(table: &Arc<Table>) -> atio_core::Result<Committed> {
    let base = table.newest().await?;
    append_on(table, base, CommitOptions::default()).await
}

async fn append_on(
    table: &Arc<Table>,
    base: Arc<Snapshot>,
    options: CommitOptions,
) -> atio_core::Result<Committed> {
    let txn = Transaction::begin(table);
    let merges = table.prepare_merges(&txn, &base).await?;
    let change = RowChange::append(base.schema.id, Vec::new(), vec![file(&txn).await]);
    table.commit(txn, base, change, merges, options).await
}
