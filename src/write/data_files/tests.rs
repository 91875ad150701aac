//! How the rows of a stream are dealt to files.

use std::sync::Arc;

use atio_core::log::{NewTable, OpenOptions, Table, Transaction};
use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::config::TableParquetOptions;
use datafusion::execution::TaskContext;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

/// Files of a new table with the columns `k` and `v`.
async fn files(store: &Arc<InMemory>) -> DataFiles {
    let options = OpenOptions {
        single_writer: true,
        ..OpenOptions::default()
    };
    let location = "memory:///t".to_owned();
    let table = Table::new(Arc::clone(store) as _, "t".into(), location, None, options);
    let columns = vec![
        Field::new("k", DataType::Utf8, true),
        Field::new("v", DataType::Int64, false),
    ];
    let new = NewTable {
        schema: Arc::new(Schema::new(columns)),
        options: Default::default(),
        commit: Default::default(),
    };
    table.create(&new).await.unwrap();
    let base = table.newest().await.unwrap();
    let file_schema = base.schema.to_arrow_with_ids().unwrap();
    let (txn, context) = (Transaction::begin(&table), Arc::new(TaskContext::default()));
    let parquet = TableParquetOptions::default();
    DataFiles::new(txn, base, "t", file_schema, parquet, &context).unwrap()
}

fn batch(files: &DataFiles, rows: &[(Option<&str>, i64)]) -> RecordBatch {
    let (k, v): (Vec<_>, Vec<_>) = rows.iter().copied().unzip();
    let columns: [ArrayRef; 2] = [
        Arc::new(StringArray::from(k)),
        Arc::new(Int64Array::from(v)),
    ];
    RecordBatch::try_new(Arc::clone(files.schema()), columns.to_vec()).unwrap()
}

/// The rows of a file.
async fn read(store: &InMemory, file: &FileEntry) -> Vec<(Option<String>, i64)> {
    let path = format!("t/{}", file.path);
    let bytes = store
        .get(&path.into())
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
        .unwrap()
        .build()
        .unwrap();
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        let k = batch.column(0).as_string::<i32>();
        let v = batch.column(1).as_primitive::<Int64Type>();
        let k = k.iter().map(|k| k.map(str::to_owned));
        rows.extend(k.zip(v.values().iter().copied()));
    }
    rows
}

const UNLIMITED: Limits = Limits {
    file_size: u64::MAX,
    memory: None,
    row_group: None,
};

#[tokio::test]
async fn rows_of_a_key_go_to_one_file_in_their_order() {
    let store = Arc::new(InMemory::new());
    let files = files(&store).await;
    let mut open = OpenFiles::new(&files, files.schema(), &[0], UNLIMITED).unwrap();
    let first = [(Some("a"), 1), (Some("b"), 2), (None, 3), (Some("a"), 4)];
    assert_eq!(open.write(batch(&files, &first)).await.unwrap(), []);
    let second = [(Some("b"), 5), (None, 6)];
    assert_eq!(open.write(batch(&files, &second)).await.unwrap(), []);
    let mut found = Vec::new();
    for file in open.finish().await.unwrap() {
        found.push(read(&store, &file).await);
    }
    found.sort();
    let key = |k: Option<&str>| k.map(str::to_owned);
    let expected = [(None, 3, 6), (Some("a"), 1, 4), (Some("b"), 2, 5)];
    let expected = expected.map(|(k, first, second)| vec![(key(k), first), (key(k), second)]);
    assert_eq!(found, expected);
}

#[tokio::test]
async fn the_largest_file_ends_where_open_files_would_take_too_much_memory() {
    let store = Arc::new(InMemory::new());
    let files = files(&store).await;
    let limits = Limits {
        memory: Some(3000),
        ..UNLIMITED
    };
    let mut open = OpenFiles::new(&files, files.schema(), &[0], limits).unwrap();
    let many: Vec<_> = (0..100).map(|v| (Some("many"), v)).collect();
    let one_file = open.write(batch(&files, &many)).await.unwrap();
    assert_eq!(one_file, [], "one file goes on, whatever it takes");
    let ended = open
        .write(batch(&files, &[(Some("few"), 1)]))
        .await
        .unwrap();
    assert_eq!(
        ended.iter().map(|file| file.rows).collect::<Vec<_>>(),
        [Some(100)]
    );
    // The same key begins another file.
    assert_eq!(
        open.write(batch(&files, &[(Some("many"), 7)]))
            .await
            .unwrap(),
        []
    );
    let rest = open.finish().await.unwrap();
    assert_eq!(
        rest.iter().map(|file| file.rows).collect::<Vec<_>>(),
        [Some(1), Some(1)]
    );
}

#[tokio::test]
async fn no_more_files_are_open_than_the_limit() {
    let store = Arc::new(InMemory::new());
    let files = files(&store).await;
    let mut open = OpenFiles::new(&files, files.schema(), &[1], UNLIMITED).unwrap();
    let rows: Vec<_> = (0..MOST as i64 + 10).map(|v| (None, v)).collect();
    let ended = open.write(batch(&files, &rows)).await.unwrap();
    assert_eq!((ended.len(), open.open.len()), (10, MOST));
    assert_eq!(open.finish().await.unwrap().len(), MOST);
}

#[tokio::test]
async fn file_that_is_dropped_never_becomes_one() {
    let store = Arc::new(InMemory::new());
    let files = files(&store).await;
    let before = names(&store).await;
    let mut open = OpenFiles::new(&files, files.schema(), &[], UNLIMITED).unwrap();
    open.write(batch(&files, &[(None, 1)])).await.unwrap();
    drop(open);
    files.ended().await;
    assert_eq!(names(&store).await, before);
}

async fn names(store: &InMemory) -> Vec<String> {
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    let names = listed.into_iter().map(|meta| meta.location.to_string());
    names.collect()
}
