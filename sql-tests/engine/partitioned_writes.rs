//! INSERTs whose rows come in several partitions: which files they make, and what hosts may do
//! with their plans.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr,
    PlanProperties, ReplaceChildrenOptions, collect,
};
use datafusion::prelude::SessionContext;

use crate::objects::objects;
use crate::query::{open, row, rows};
use crate::session::{Place, run};

async fn set(ctx: &SessionContext, name: &str, value: &str) {
    rows(ctx, &format!("SET datafusion.execution.{name} = {value}")).await;
}

async fn create(ctx: &SessionContext, place: &Place, columns: &str, options: &str) {
    let root = place.root();
    let sql = format!(
        "CREATE EXTERNAL TABLE t ({columns}) STORED AS ATIO LOCATION '{root}/t' OPTIONS ({options})"
    );
    rows(ctx, &sql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_with_many_rows_write_files_of_their_own_and_those_with_few_one_together() {
    let place = Place::memory();
    let ctx = place.session();
    create(
        &ctx,
        &place,
        "a VARCHAR",
        "'atio.compression' 'uncompressed'",
    )
    .await;
    set(&ctx, "target_partitions", "3").await;
    // Some 12 MB each, and a third of a megabyte.
    for (count, files) in [(36_000, "3"), (1_000, "4")] {
        let insert = format!(
            "INSERT INTO t SELECT repeat(CAST(value + 10000 AS VARCHAR), 200) FROM generate_series(1, {count})"
        );
        assert_eq!(row(&ctx, &insert).await, count.to_string());
        assert_eq!(
            row(&ctx, "SELECT count(*) FROM atio_files('t')").await,
            files
        );
    }
    let found = "SELECT count(*), count(DISTINCT a) FROM t";
    assert_eq!(row(&ctx, found).await, "37000|36000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_with_an_order_are_written_in_it_whatever_the_number_of_partitions() {
    let place = Place::memory();
    let ctx = place.session();
    let options = "'atio.target_file_size' '1000', 'atio.max_row_group_rows' '1000'";
    create(&ctx, &place, "a BIGINT", options).await;
    set(&ctx, "objectstore_writer_buffer_size", "1000").await;
    set(&ctx, "target_partitions", "4").await;
    let insert = "INSERT INTO t SELECT value * 7919 % 1000003 AS a FROM generate_series(1, 600000) ORDER BY a";
    rows(&ctx, insert).await;
    assert!(row(&ctx, "SELECT count(*) FROM atio_files('t')").await != "1");
    // As the files are listed.
    set(&ctx, "target_partitions", "1").await;
    let batches = run(&ctx, "SELECT a FROM t").await.unwrap();
    let read: Vec<i64> = batches
        .iter()
        .flat_map(|batch| {
            batch
                .column(0)
                .as_primitive::<Int64Type>()
                .values()
                .to_vec()
        })
        .collect();
    assert_eq!(read.len(), 600_000);
    assert!(read.is_sorted());
}

/// The plan of a statement that inserts 3 rows by several partitions.
async fn insert(ctx: &SessionContext) -> Arc<dyn ExecutionPlan> {
    let sql = "INSERT INTO t SELECT value FROM generate_series(1, 2) UNION ALL SELECT 3";
    ctx.sql(sql)
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap()
}

fn above_write(
    plan: &Arc<dyn ExecutionPlan>,
    put: impl FnOnce(Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan>,
) -> Arc<dyn ExecutionPlan> {
    let below = Arc::clone(plan.children()[0]);
    let recompute = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Arc::clone(plan)
        .replace_children(vec![put(below)], recompute)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn insert_of_which_a_part_is_not_run_commits_nothing() {
    let place = Place::memory();
    let ctx = place.session();
    open(&ctx, &place, "t").await;
    let before = objects(&place).await;
    let plan = above_write(&insert(&ctx).await, |write| {
        Arc::new(GlobalLimitExec::new(write, 0, Some(0)))
    });
    let error = collect(plan, ctx.task_ctx()).await.unwrap_err().to_string();
    assert!(error.contains("did not run to its end"), "{error}");
    assert_eq!(objects(&place).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plan_that_is_run_again_makes_a_version_again() {
    let place = Place::memory();
    let ctx = place.session();
    open(&ctx, &place, "t").await;
    let values = ctx.sql("INSERT INTO t VALUES (1), (2)").await.unwrap();
    let plan = values.create_physical_plan().await.unwrap();
    for _ in 0..2 {
        collect(Arc::clone(&plan), ctx.task_ctx()).await.unwrap();
    }
    let both =
        futures::future::try_join_all((0..2).map(|_| collect(Arc::clone(&plan), ctx.task_ctx())));
    both.await.unwrap();
    assert_eq!(row(&ctx, "SELECT count(*) FROM t").await, "8");
}

/// Runs what is below it in a context of its own, as hosts do that measure or distribute plans.
#[derive(Debug)]
struct InOtherContext(Arc<dyn ExecutionPlan>);

impl DisplayAs for InOtherContext {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InOtherContext")
    }
}

impl ExecutionPlan for InOtherContext {
    fn name(&self) -> &str {
        "InOtherContext"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.0]
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self(Arc::clone(&children[0]))))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self(Arc::clone(&children[0]))))
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let other = TaskContext::default()
            .with_session_config(context.session_config().clone())
            .with_runtime(context.runtime_env());
        self.0.execute(partition, Arc::new(other))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_of_a_host_that_changes_the_context_does_not_part_an_insert() {
    let place = Place::memory();
    let ctx = place.session();
    open(&ctx, &place, "t").await;
    let plan = insert(&ctx).await;
    let plan = above_write(&plan, |write| Arc::new(InOtherContext(write)));
    collect(plan, ctx.task_ctx()).await.unwrap();
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["1", "2", "3"]);
}
