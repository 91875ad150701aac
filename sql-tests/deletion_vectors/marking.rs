//! Marks rows of a table as deleted, without a statement that chooses between that and other ways.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use atio_core::format::{DeletionVector, FileEntry, Manifest, Reads};
use atio_core::log::{CommitOptions, OpenOptions, RowChange, Table, Transaction};
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::object_store::local::LocalFileSystem;
use datafusion::object_store::path::Path;
use datafusion::object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::session::Place;

/// Marks, as one version, the rows of the table `name` whose first column, a BIGINT, is `gone`.
pub(super) async fn mark(place: &Place, name: &str, gone: impl Fn(i64) -> bool) {
    let table = table(place, name);
    let txn = Transaction::begin(&table);
    let base = table.newest().await.unwrap();
    let manifests = table.manifests(&base).await.unwrap();
    let files = manifests.iter().flat_map(|manifest| &manifest.files);
    let files: Vec<_> = files.collect();
    let before = table.vectors(&base, &files).await.unwrap();
    let mut marks = BTreeMap::new();
    for (file, before) in files.into_iter().zip(before) {
        let before = before.unwrap_or_default();
        let values = first_column(&table, file).await;
        let rows = values.into_iter().zip(0..);
        let rows = rows.filter(|(value, row)| gone(*value) && !before.contains(*row));
        let rows: DeletionVector = rows.map(|(_, row)| row).collect();
        marks.insert(file.path.clone(), rows);
    }
    let adds = Manifest::new(base.schema.id, Vec::new(), Vec::new());
    let change = RowChange::delete(BTreeSet::new(), adds, Reads::default()).marking(marks);
    let committed = table.commit(txn, base, change, Vec::new(), CommitOptions::default());
    committed.await.unwrap();
}

fn table(place: &Place, name: &str) -> Arc<Table> {
    let location = format!("{}/{name}", place.root());
    let (store, root, local): (Arc<dyn ObjectStore>, _, _) = match place {
        Place::Memory(store) => (Arc::clone(store) as _, format!("base/{name}").into(), None),
        Place::Disk(_) => {
            let root = Path::from_absolute_path(&location).unwrap();
            let local = Some(PathBuf::from(&location));
            (Arc::new(LocalFileSystem::new()), root, local)
        }
    };
    let options = OpenOptions::default();
    Arc::new(Table::new(store, root, location, local, options))
}

/// The values of all rows that are in `file`.
async fn first_column(table: &Table, file: &FileEntry) -> Vec<i64> {
    let key = table.data_key(&file.path).unwrap();
    let bytes = table.store().get(&key).await.unwrap();
    let bytes = bytes.bytes().await.unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let first = ProjectionMask::roots(reader.parquet_schema(), [0]);
    let batches = reader.with_projection(first).build().unwrap();
    let values = batches.map(|batch| {
        let column = batch.unwrap().columns()[0].clone();
        column.as_primitive::<Int64Type>().values().to_vec()
    });
    values.flatten().collect()
}
