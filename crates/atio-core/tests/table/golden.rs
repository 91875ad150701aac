//! A table with rows that are marked as deleted, as the release that introduced them wrote it: its
//! directory is added once, and never made again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use atio_core::format::stats::{Bound, ColumnStats, Value as Stat};
use atio_core::format::{Checksum, DeletionVector, FileEntry, Manifest, Reads, Record, Version};
use atio_core::log::{
    CommitOptions, Expiry, NewTable, RefUpdate, RollbackTarget, RowChange, Table, Transaction,
};
use bytes::Bytes;
use object_store::ObjectStoreExt;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use serde_json::Value;

use super::{everything, on_disk};

/// Of the repository.
fn golden() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join("sql-tests/golden/format-1-marks")
}

/// A data file with these ids.
async fn file(table: &Table, txn: &Transaction, ids: &[i64]) -> FileEntry {
    let base = table.newest().await.unwrap();
    let schema = base.schema.to_arrow_with_ids().unwrap();
    let texts = ids.iter().map(|id| format!("row {id}"));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids.to_vec())),
        Arc::new(StringArray::from_iter_values(texts)),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, None).unwrap();
    writer.write(&batch).unwrap();
    let bytes = writer.into_inner().unwrap();
    let path = txn.data_file().await.unwrap();
    let (size, checksum) = (bytes.len() as u64, Checksum::of(&bytes));
    let store = txn.store();
    store
        .put(&path.as_str().into(), bytes.into())
        .await
        .unwrap();
    let bound = |id: Option<&i64>| {
        Some(Bound {
            value: Stat::Int((*id?).into()),
            cut: false,
        })
    };
    let of_ids = ColumnStats {
        nulls: Some(0),
        min: bound(ids.iter().min()),
        max: bound(ids.iter().max()),
        nan: false,
    };
    FileEntry {
        path,
        format: "parquet".to_owned(),
        size: Some(size),
        rows: Some(ids.len() as u64),
        checksum: Some(checksum),
        stats: vec![of_ids, ColumnStats::default()],
        dv: None,
        column_bytes: Vec::new(),
    }
}

fn manifest(files: Vec<FileEntry>) -> Manifest {
    Manifest::new(1, vec![1, 2], files)
}

/// The ids of a data file, those that are marked too.
async fn stored(table: &Table, path: &str) -> Vec<i64> {
    let key = table.data_key(path).unwrap();
    let bytes: Bytes = table
        .store()
        .get(&key)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let batches = ParquetRecordBatchReader::try_new(bytes, 1024).unwrap();
    let ids = batches.flat_map(|batch| {
        let batch = batch.unwrap();
        let ids = batch.column(0).as_primitive::<Int64Type>();
        ids.values().to_vec()
    });
    ids.collect()
}

/// The ids of a version by the paths of their files.
async fn ids(table: &Table, version: Version) -> atio_core::Result<BTreeMap<String, Vec<i64>>> {
    let snapshot = table.version(version).await?;
    let left = super::rows_left(table, &snapshot).await?;
    let mut found = BTreeMap::new();
    for (path, rows) in left {
        let stored = stored(table, &path).await;
        let ids = rows
            .iter()
            .map(|row| stored[usize::try_from(*row).unwrap()]);
        found.insert(path, ids.collect());
    }
    Ok(found)
}

async fn all_ids(table: &Table, version: Version) -> atio_core::Result<Vec<i64>> {
    let mut ids: Vec<_> = ids(table, version).await?.into_values().flatten().collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Marks these ids as deleted, and adds others.
async fn mark(table: &Arc<Table>, deleted: &[i64], adds: &[i64]) {
    let base = table.newest().await.unwrap();
    let mut marks = BTreeMap::new();
    for path in ids(table, base.version).await.unwrap().into_keys() {
        let stored = stored(table, &path).await;
        let rows = (0..).zip(&stored).filter(|(_, id)| deleted.contains(id));
        let rows: DeletionVector = rows.map(|(row, _)| row).collect();
        marks.insert(path, rows);
    }
    let txn = Transaction::begin(table);
    let change = match adds {
        [] => RowChange::delete(BTreeSet::new(), manifest(Vec::new()), Reads::default()),
        adds => {
            let files = vec![file(table, &txn, adds).await];
            RowChange::update(BTreeSet::new(), manifest(files), Reads::default())
        }
    };
    let options = CommitOptions::default();
    let committed = table.commit(txn, base, change.marking(marks), Vec::new(), options);
    committed.await.unwrap();
}

async fn append(table: &Arc<Table>, files: &[&[i64]]) {
    let (base, txn) = (table.newest().await.unwrap(), Transaction::begin(table));
    let mut adds = Vec::new();
    for ids in files {
        adds.push(file(table, &txn, ids).await);
    }
    let change = RowChange::append(1, vec![1, 2], adds);
    let options = CommitOptions::default();
    let committed = table.commit(txn, base, change, Vec::new(), options).await;
    committed.unwrap();
}

fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

/// Makes the table: marks of several statements in one file and in several, a file that loses its last
/// row, a tag, a rollback over marks, and an expiry.
async fn write(directory: &Path) {
    let table = on_disk(directory);
    let columns = [("id", DataType::Int64), ("s", DataType::Utf8)];
    let columns = columns.map(|(name, data_type)| Field::new(name, data_type, true));
    let new = NewTable {
        schema: Arc::new(Schema::new(columns.to_vec())),
        options: Default::default(),
        commit: CommitOptions::default(),
    };
    table.create(&new).await.unwrap();
    let first: Vec<_> = (1..=10).collect();
    append(&table, &[&first, &[11, 12, 13, 14]]).await;
    append(&table, &[&[15, 16]]).await;
    mark(&table, &[2, 5], &[]).await;
    mark(&table, &[6, 7, 8, 11], &[106]).await;
    let options = CommitOptions::default;
    let tag = RefUpdate::Tag {
        name: "best".to_owned(),
        version: None,
        message: None,
        replace: false,
    };
    table.update_refs(tag, options()).await.unwrap();
    mark(&table, &[12, 15, 16], &[]).await;
    let back = RefUpdate::Rollback {
        to: RollbackTarget::Version(version(3)),
    };
    table.update_refs(back, options()).await.unwrap();
    mark(&table, &[1, 13], &[101]).await;
    let expiry = Expiry {
        retain_last: 2,
        ..everything()
    };
    table.expire(&expiry, None).await.unwrap();
    append(&table, &[&[17]]).await;
}

/// What each version is, and which ids it has.
async fn told(table: &Table) -> String {
    let newest = table.newest().await.unwrap().version;
    let mut told = String::new();
    for version in Version::ZERO.through(newest) {
        let said = match table.version(version).await {
            Ok(snapshot) => {
                let Record::Live(record) = &snapshot.record.record else {
                    panic!("{version}")
                };
                let counts = [
                    record.added.rows,
                    record.removed.rows,
                    snapshot.totals().rows,
                ];
                let ids = all_ids(table, version).await.unwrap();
                let features = &record.features;
                let operation = record.operation.word();
                format!(
                    "{operation} {counts:?} {:?} {:?}: {ids:?}",
                    features.read, features.write
                )
            }
            Err(error) => format!("{:?}", error.kind()),
        };
        told.push_str(&format!("v{version} {said}\n"));
    }
    told
}

fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let name = path.strip_prefix(directory).unwrap().display().to_string();
                    found.insert(name, fs::read(path).unwrap());
                }
            }
        }
    }
    found.retain(|name, _| !name.starts_with("_atio_tmp/"));
    found
}

fn copy(files: &BTreeMap<String, Vec<u8>>, to: &Path) {
    for (name, bytes) in files {
        let to = to.join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
}

#[tokio::test]
async fn table_with_marks_is_read_as_it_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("t");
    copy(&files(&golden().join("table")), &at);
    let before = files(&at);
    assert!(before.len() > 20, "{}", before.len());
    let expected = fs::read_to_string(golden().join("told.txt")).unwrap();
    assert_eq!(told(&on_disk(&at)).await, expected);
    assert_eq!(files(&at), before, "reading changes nothing");

    // It goes on: more rows are marked, and what nobody needs goes.
    let table = on_disk(&at);
    let newest = table.newest().await.unwrap().version;
    let mut left = all_ids(&table, newest).await.unwrap();
    mark(&table, &[3, 17], &[]).await;
    table.expire(&everything(), None).await.unwrap();
    left.retain(|id| *id != 3 && *id != 17);
    let table = on_disk(&at);
    let newest = table.newest().await.unwrap().version;
    assert_eq!(all_ids(&table, newest).await.unwrap(), left);
    assert_eq!(all_ids(&table, version(4)).await.unwrap().len(), 11);
}

/// By kind of object, its members and their types.
fn shapes(files: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, BTreeSet<String>> {
    fn collect(value: &Value, path: &str, members: &mut BTreeSet<String>) {
        let word = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(items) => {
                let path = format!("{path}[]");
                items.iter().for_each(|item| collect(item, &path, members));
                "array"
            }
            Value::Object(found) => {
                for (key, member) in found {
                    collect(member, &format!("{path}.{key}"), members);
                }
                "object"
            }
        };
        members.insert(format!("{path} {word}"));
    }
    let mut shapes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, bytes) in files {
        if name.starts_with("data/") {
            let kind = name.rsplit('.').next().unwrap();
            shapes.entry(kind.to_owned()).or_default();
            continue;
        }
        let value: Value = serde_json::from_slice(bytes).unwrap();
        let kind = match value.get("operation") {
            Some(operation) => format!("{operation} {}", value.get("tombstone").is_some()),
            None => name.split('-').next().unwrap().to_owned(),
        };
        collect(&value, "", shapes.entry(kind).or_default());
    }
    shapes
}

#[tokio::test]
async fn objects_with_marks_have_the_members_and_types_of_those_of_the_first_release_with_them() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("t");
    write(&at).await;
    let (fresh, old) = (shapes(&files(&at)), shapes(&files(&golden().join("table"))));
    assert_eq!(fresh, old);
    let vectors = ["dv", "parquet"].map(|kind| old.contains_key(kind));
    assert_eq!(vectors, [true; 2]);
    let member = ".files[].dv.offset number";
    assert!(old["metadata/manifest"].contains(member));
    assert!(old["metadata/removed"].contains(member));
    assert!(old["metadata/snapshot"].contains(".manifest_info[].marked number"));
}

/// With `ATIO_MAKE_GOLDEN_MARKS=1` it is made in its place; one that is there is never touched.
#[tokio::test]
async fn golden_marks_are_made_in_a_new_place_only() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("t");
    write(&at).await;
    let (written, said) = (files(&at), told(&on_disk(&at)).await);
    if std::env::var_os("ATIO_MAKE_GOLDEN_MARKS").is_some() {
        let to = golden();
        assert!(!to.exists(), "golden files are never regenerated");
        copy(&written, &to.join("table"));
        fs::write(to.join("told.txt"), &said).unwrap();
    }
    assert_eq!(said, fs::read_to_string(golden().join("told.txt")).unwrap());
}
