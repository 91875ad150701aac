//! Rows that are marked as deleted, in what statements that write read: where rows lie, what is left of
//! files, and the relations of checks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use atio_core::format::schema::FIELD_ID;
use atio_core::format::{Checksum, FileEntry, Manifest, Reads};
use atio_core::log::{NewTable, OpenOptions, RowChange, Snapshot, Table, Transaction};
use datafusion::arrow::array::{AsArray, Int64Array, RecordBatch};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::dynamic::Above;
use super::plan::plan;
use super::relation::{Chosen, Relation};
use super::row_ids::{RowIds, with_row_ids};
use super::rows_left::{RowsLeft, rows_left};
use super::version_scan::Request;

/// So many rows has each file.
const OF: i64 = 1000;

/// A table on a store of its own: of a file of this number, the value of a row is `OF` times that, and
/// the number of the row.
struct Marked {
    table: Arc<Table>,
    store: Arc<InMemory>,
    store_url: ObjectStoreUrl,
}

impl Marked {
    /// Two files, of which rows are marked.
    async fn new() -> Self {
        let store = Arc::new(InMemory::new());
        let options = OpenOptions {
            single_writer: true,
            ..OpenOptions::default()
        };
        let location = "memory://sales/t".to_owned();
        let table = Table::new(Arc::clone(&store) as _, "t".into(), location, None, options);
        let new = NewTable {
            schema: Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)])),
            options: Default::default(),
            commit: Default::default(),
        };
        table.create(&new).await.unwrap();
        let this = Self {
            table: Arc::new(table),
            store,
            store_url: ObjectStoreUrl::parse("memory://sales").unwrap(),
        };
        this.append().await;
        this.mark().await;
        this
    }

    async fn append(&self) {
        let txn = Transaction::begin(&self.table);
        let base = self.table.newest().await.unwrap();
        let mut entries = Vec::new();
        for number in 0..2 {
            let path = txn.data_file().await.unwrap();
            let bytes = parquet(number * OF..(number + 1) * OF);
            entries.push(FileEntry {
                path: path.clone(),
                format: "parquet".to_owned(),
                size: Some(bytes.len() as u64),
                rows: Some(OF as u64),
                checksum: Some(Checksum::of(&bytes)),
                dv: None,
                stats: Vec::new(),
                column_bytes: Vec::new(),
            });
            let key = self.table.data_key(&path).unwrap();
            self.store.put(&key, bytes.into()).await.unwrap();
        }
        let change = RowChange::append(base.schema.id, Vec::new(), entries);
        self.commit(txn, base, change).await;
    }

    async fn mark(&self) {
        let txn = Transaction::begin(&self.table);
        let base = self.table.newest().await.unwrap();
        let manifests = self.table.manifests(&base).await.unwrap();
        let files = manifests.iter().flat_map(|manifest| &manifest.files);
        let marks = files.zip(0..).map(|(file, number)| {
            let rows = (0..OF).filter(|row| is_marked(number * OF + row));
            (file.path.clone(), rows.map(|row| row as u64).collect())
        });
        let marks = marks.collect::<BTreeMap<_, _>>();
        let none = Manifest::new(base.schema.id, Vec::new(), Vec::new());
        let change = RowChange::delete(BTreeSet::new(), none, Reads::default()).marking(marks);
        self.commit(txn, base, change).await;
    }

    async fn commit(&self, txn: Arc<Transaction>, base: Arc<Snapshot>, change: RowChange) {
        let options = Default::default();
        let committed = self
            .table
            .commit(txn, base, change, Vec::new(), options)
            .await;
        committed.unwrap();
    }

    async fn newest(&self) -> (Arc<Snapshot>, Vec<Arc<Manifest>>) {
        let newest = self.table.newest().await.unwrap();
        let manifests = self.table.manifests(&newest).await.unwrap();
        (newest, manifests)
    }

    /// Of each file, a bit for each row: whether its value is `chosen`.
    fn bits(manifests: &[Arc<Manifest>], chosen: fn(i64) -> bool) -> Vec<(String, BooleanBuffer)> {
        let files = manifests.iter().flat_map(|manifest| &manifest.files);
        let bits = files.zip(0..).map(|(file, number)| {
            let rows = (0..OF).map(|row| chosen(number * OF + row));
            (file.path.clone(), rows.collect())
        });
        bits.collect()
    }

    fn session(&self, partitions: usize, pushdown: bool) -> SessionContext {
        let mut config = SessionConfig::new().with_target_partitions(partitions);
        config.options_mut().optimizer.repartition_file_min_size = 0;
        config.options_mut().execution.parquet.pushdown_filters = pushdown;
        let ctx = SessionContext::new_with_config(config);
        ctx.register_object_store(self.store_url.as_ref(), Arc::clone(&self.store) as _);
        ctx
    }
}

/// In row groups and pages of which many are whole, and some have no rows left.
fn is_marked(value: i64) -> bool {
    value % 50 == 3 || (300..400).contains(&value) || (1560..1575).contains(&value)
}

fn parquet(values: std::ops::Range<i64>) -> Vec<u8> {
    let id = HashMap::from([(FIELD_ID.to_owned(), "1".to_owned())]);
    let field = Field::new("a", DataType::Int64, true).with_metadata(id);
    let schema = Arc::new(Schema::new(vec![field]));
    let column = Arc::new(Int64Array::from_iter_values(values));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(100))
        .set_data_page_row_count_limit(10)
        .set_write_batch_size(10)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// The values of the last column, in ascending order.
fn values(batches: &[RecordBatch]) -> Vec<i64> {
    let values = batches.iter().flat_map(|batch| {
        let column = batch.columns().last().unwrap().as_primitive::<Int64Type>();
        column.values().to_vec()
    });
    let mut values: Vec<_> = values.collect();
    values.sort_unstable();
    values
}

fn live(chosen: impl Fn(i64) -> bool) -> Vec<i64> {
    (0..2 * OF)
        .filter(|value| !is_marked(*value) && chosen(*value))
        .collect()
}

/// The table, and of each row where it lies.
#[derive(Debug)]
struct Located(Arc<Table>, ObjectStoreUrl, Arc<Snapshot>);

#[async_trait]
impl TableProvider for Located {
    fn schema(&self) -> SchemaRef {
        with_row_ids(&self.2.arrow)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let request = Request {
            projection,
            filters,
            limit,
            above: Above::UNKNOWN,
            row_ids: Some(&RowIds::default()),
            reads: None,
        };
        plan(state, &self.0, &self.1, &self.2, request).await
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

#[tokio::test]
async fn row_is_named_by_its_place_in_the_file_whichever_rows_before_it_are_marked() {
    let marked = Marked::new().await;
    let (newest, _) = marked.newest().await;
    for (partitions, pushdown) in [(1, false), (1, true), (4, false), (16, true)] {
        let ctx = marked.session(partitions, pushdown);
        let store_url = marked.store_url.clone();
        let located = Located(Arc::clone(&marked.table), store_url, Arc::clone(&newest));
        ctx.register_table("t", Arc::new(located)).unwrap();
        let columns = "CAST(__atio_file AS BIGINT), __atio_row, a";
        for (condition, expected) in [
            ("true", live(|_| true)),
            ("a > 290 AND a < 1565", live(|a| a > 290 && a < 1565)),
            ("a % 7 = 3", live(|a| a % 7 == 3)),
            ("a IN (3, 4, 1560, 1999)", live(|a| a == 4 || a == 1999)),
        ] {
            let sql = format!("SELECT {columns} FROM t WHERE {condition}");
            let found = ctx.sql(&sql).await.unwrap().collect().await.unwrap();
            assert_eq!(values(&found), expected, "{sql}");
            for batch in &found {
                let column = |at: usize| batch.column(at).as_primitive::<Int64Type>();
                let named = column(0).values().iter().zip(column(1).values());
                let named = named.map(|(file, row)| file * OF + row);
                assert!(named.eq(column(2).values().iter().copied()), "{sql}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_left_of_a_file_has_no_marked_row() {
    let marked = Marked::new().await;
    let (newest, manifests) = marked.newest().await;
    let left = |value: i64| value % 3 != 0 || (1000..1100).contains(&value);
    let files = Marked::bits(&manifests, left).into_iter();
    let files = files.map(|(path, rows)| RowsLeft { path, rows }).collect();
    let ctx = marked.session(4, false);
    let (table, url) = (&marked.table, &marked.store_url);
    let plan = rows_left(&ctx.task_ctx(), table, url, &newest, &manifests, files).await;
    let found = collect(plan.unwrap(), ctx.task_ctx()).await.unwrap();
    assert_eq!(values(&found), live(left));
}

#[tokio::test]
async fn relation_of_some_rows_has_no_marked_row() {
    let marked = Marked::new().await;
    let (newest, manifests) = marked.newest().await;
    let chosen = |value: i64| value % 10 < 4;
    for (some, expected) in [(true, live(chosen)), (false, live(|_| true))] {
        let rows = match some {
            true => Marked::bits(&manifests, chosen).into_iter().collect(),
            false => HashMap::new(),
        };
        let manifests = manifests.clone();
        let files = Some(Chosen { manifests, rows });
        let relation = Relation::new(&marked.table, &marked.store_url, &newest, files);
        let ctx = marked.session(2, true);
        ctx.register_table("r", Arc::new(relation)).unwrap();
        let read = async |sql: &str| {
            let read = ctx.sql(sql).await.unwrap().collect().await.unwrap();
            values(&read)
        };
        assert_eq!(read("SELECT a FROM r").await, expected);
        let count = expected.len() as i64;
        assert_eq!(read("SELECT count(*) FROM r").await, [count]);
        assert_eq!(
            read("SELECT count(*) FROM (SELECT * FROM r LIMIT 700)").await,
            [count.min(700)]
        );
        let few = expected.iter().filter(|a| **a > 1550).copied();
        assert_eq!(
            read("SELECT a FROM r WHERE a > 1550").await,
            few.collect::<Vec<_>>()
        );
    }
}
