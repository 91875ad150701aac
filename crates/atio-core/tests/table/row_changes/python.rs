//! Changes of rows of a table that Python wrote, which the first of them takes over.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use atio_core::ErrorKind;
use atio_core::format::Version;
use atio_core::log::{CommitOptions, RefUpdate, Table};
use bytes::Bytes;
use object_store::ObjectStoreExt;
use parquet::arrow::ArrowWriter;

use super::{
    Open, Place, Statement, TRUNCATE, append, compact, delete, merge, on_both, record, update,
    values,
};

/// A data file of Python's with a row in each of these columns.
fn data(columns: &[(&str, i64)]) -> Bytes {
    let columns = columns.iter().map(|(name, value)| {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![*value]));
        (*name, column)
    });
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes.into()
}

fn path(value: i64) -> String {
    format!("data/00000000-0000-4000-8000-{value:012}.parquet")
}

impl Place {
    /// A table whose version 1 Python wrote, with the rows 1, 2 and 3; the file of the last lacks a
    /// column, so that it is in a manifest of its own.
    pub(super) async fn of_python(&self, name: &str) -> Open {
        let open = self.place(name);
        let table = open();
        let put = async |name: &str, bytes: Bytes| {
            let key = table.data_key(name).unwrap();
            table.store().put(&key, bytes.into()).await.unwrap();
        };
        for value in [1, 2, 3] {
            let columns = [("a", value), ("b", 0)];
            let columns = if value == 3 {
                &columns[..1]
            } else {
                &columns[..]
            };
            put(&path(value), data(columns)).await;
        }
        let (manifest, snapshot) = (
            "metadata/manifest-00000000-0000-4000-8000-000000000000.json",
            "metadata/snapshot-1795333041123-00000000-0000-4000-8000-000000000000.json",
        );
        let files =
            [1, 2, 3].map(|value| format!(r#"{{"path":"{}","format":"parquet"}}"#, path(value)));
        let files = format!(r#"{{"files":[{}]}}"#, files.join(","));
        put(manifest, files.into()).await;
        let state = format!(
            r#"{{"snapshot_id":1795333041123,"timestamp":1795333041.123,"manifests":["{manifest}"]}}"#
        );
        put(snapshot, state.into()).await;
        let record = format!(
            r#"{{"version_id":1,"snapshot_id":1795333041123,"snapshot_filename":"{snapshot}"}}"#
        );
        put("metadata/v1.metadata.json", record.into()).await;
        put("_current_version.json", r#"{"version_id":1}"#.into()).await;
        open
    }
}

async fn values_now(table: &Table) -> Vec<i64> {
    values(table, &table.newest().await.unwrap()).await
}

async fn check_taken_over(place: Place) {
    for (number, (statement, expected, listed)) in [
        // Of the two manifests one is left, or both are, the first with one file less.
        (delete(&[3]), vec![1, 2], 1),
        (delete(&[1]), vec![2, 3], 2),
        (update(&[1], &[11]), vec![2, 3, 11], 3),
        (merge(&[], &[4]), vec![1, 2, 3, 4], 3),
        (TRUNCATE, vec![], 0),
        (compact(&[1, 3]), vec![1, 2, 3], 2),
    ]
    .into_iter()
    .enumerate()
    {
        let open = place.of_python(&format!("python-{number}")).await;
        let table = open();
        assert_eq!(values_now(&table).await, [1, 2, 3]);
        statement.run_now(&table).await.unwrap();
        let other = open();
        let newest = other.newest().await.unwrap();
        assert_eq!(values(&other, &newest).await, expected, "{statement:?}");
        assert_eq!(newest.state.manifests.len(), listed, "{statement:?}");
        assert_eq!(newest.totals().files, expected.len() as u64);
        assert_eq!(newest.totals().rows, expected.len() as u64);
        let record = record(&newest);
        assert!(record.changes.manifests_dropped.is_empty());
        assert_eq!(record.added.rows, statement.adds.len() as u64);
        let gone = 3 + statement.adds.len() - expected.len();
        assert_eq!(record.removed.rows, gone as u64, "{statement:?}");
        assert_eq!(record.changes.removed.is_some(), gone > 0);
        // Python's version is as it was, and the table goes on.
        let first = other.version(Version::new(1).unwrap()).await.unwrap();
        assert_eq!(values(&other, &first).await, [1, 2, 3]);
        append(&[19]).run_now(&other).await.unwrap();
        let mut expected = expected;
        expected.push(19);
        assert_eq!(values_now(&open()).await, expected);
    }
}

#[tokio::test]
async fn change_of_rows_takes_over_a_table_of_python() {
    on_both(check_taken_over).await;
}

/// Whoever takes the table over first, the others go on with its files, which are the same.
async fn check_races(place: Place) {
    let run = async |name: &str, theirs: Option<Statement>, mine: Statement| {
        let open = place.of_python(name).await;
        let (ours, other) = (open(), open());
        let base = ours.newest().await.unwrap();
        match theirs {
            Some(theirs) => drop(theirs.run_now(&other).await.unwrap()),
            None => {
                let tag = RefUpdate::Tag {
                    name: "x".to_owned(),
                    version: None,
                    message: None,
                    replace: false,
                };
                let options = CommitOptions::default();
                other.update_refs(tag, options).await.unwrap();
            }
        }
        let ended = mine.run(&ours, &base, CommitOptions::default()).await;
        ended.map_err(|error| error.kind())?;
        Ok(values_now(&open()).await)
    };
    assert_eq!(run("tag", None, delete(&[1])).await, Ok(vec![2, 3]));
    let theirs = |statement| Some(statement);
    let found = run("append", theirs(append(&[4])), update(&[1], &[11])).await;
    assert_eq!(found, Ok(vec![2, 3, 4, 11]));
    let found = run("delete", theirs(delete(&[2])), delete(&[1])).await;
    assert_eq!(found, Ok(vec![3]));
    let found = run("compact", theirs(delete(&[2])), compact(&[1, 3])).await;
    assert_eq!(found, Ok(vec![1, 3]));
    let found = run("same", theirs(delete(&[1])), delete(&[1])).await;
    assert_eq!(found, Err(ErrorKind::Conflict));
}

#[tokio::test]
async fn changes_of_rows_beside_each_other_take_over_a_table_of_python_once() {
    on_both(check_races).await;
}
