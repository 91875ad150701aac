//! What a host added to its session goes on doing what it did, whether atio was registered before
//! or behind it.

#![cfg(test)]

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::Int64Array;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::{MemTable, Session, TableProvider, TableProviderFactory};
use datafusion::common::{GetExt, Statistics, exec_err};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::{FileFormat, FileFormatFactory};
use datafusion::datasource::physical_plan::{
    FileScanConfig, FileSinkConfig, FileSource, JsonSource,
};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::context::{FunctionFactory, RegisterFunction};
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{
    ColumnarValue, CreateExternalTable, CreateFunction, LogicalPlanBuilder, Volatility, create_udf,
    lit,
};
use datafusion::physical_expr::LexRequirement;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::TableFactor;
use object_store::{ObjectMeta, ObjectStore};

use crate::query::{failure, row, rows};

/// One that knows AS OF.
const DIALECT: &str = "SET datafusion.sql_parser.dialect = 'databricks'";

/// The host's table of versions, which it alone knows how to read.
#[derive(Debug)]
struct Tides;

impl RelationPlanner for Tides {
    fn plan_relation(
        &self,
        relation: TableFactor,
        _: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        match &relation {
            TableFactor::Table {
                name,
                version: Some(version),
                alias,
                ..
            } if name.to_string() == "tides" => {
                let rows = vec![vec![lit(version.to_string())]];
                let plan = LogicalPlanBuilder::values(rows)?.build()?;
                let planned = PlannedRelation::new(plan, alias.clone());
                Ok(RelationPlanning::Planned(Box::new(planned)))
            }
            _ => Ok(RelationPlanning::Original(Box::new(relation))),
        }
    }
}

/// Every function that is made gives seven.
#[derive(Debug)]
struct Sevens;

#[async_trait]
impl FunctionFactory for Sevens {
    async fn create(
        &self,
        _: &SessionState,
        statement: CreateFunction,
    ) -> Result<RegisterFunction> {
        let seven = |_: &[ColumnarValue]| {
            Ok(ColumnarValue::from(datafusion::scalar::ScalarValue::from(
                7_i64,
            )))
        };
        let function = create_udf(
            &statement.name,
            vec![],
            DataType::Int64,
            Volatility::Immutable,
            Arc::new(seven),
        );
        Ok(RegisterFunction::Scalar(Arc::new(function)))
    }
}

/// A table of one row, whatever the statement says; called as one of atio's databases.
#[derive(Debug)]
struct OneRow;

#[async_trait]
impl TableProviderFactory for OneRow {
    async fn create(
        &self,
        _: &dyn Session,
        _: &CreateExternalTable,
    ) -> Result<Arc<dyn TableProvider>> {
        let schema = Arc::new(Schema::new(vec![Field::new("one", DataType::Int64, false)]));
        let row = RecordBatch::try_new(
            Arc::clone(&schema),
            vec![Arc::new(Int64Array::from(vec![1]))],
        )?;
        Ok(Arc::new(MemTable::try_new(schema, vec![vec![row]])?))
    }
}

/// A format that writes to a place of its own, by a plan that is no sink of the engine.
#[derive(Debug)]
struct Nowhere(&'static str);

impl GetExt for Nowhere {
    fn get_ext(&self) -> String {
        self.0.to_owned()
    }
}

impl FileFormatFactory for Nowhere {
    fn create(&self, _: &dyn Session, _: &HashMap<String, String>) -> Result<Arc<dyn FileFormat>> {
        Ok(self.default())
    }

    fn default(&self) -> Arc<dyn FileFormat> {
        Arc::new(Nowhere(self.0))
    }
}

#[async_trait]
impl FileFormat for Nowhere {
    fn get_ext(&self) -> String {
        self.0.to_owned()
    }

    fn get_ext_with_compression(&self, _: &FileCompressionType) -> Result<String> {
        Ok(self.0.to_owned())
    }

    fn compression_type(&self) -> Option<FileCompressionType> {
        None
    }

    async fn infer_schema(
        &self,
        _: &dyn Session,
        _: &Arc<dyn ObjectStore>,
        _: &[ObjectMeta],
    ) -> Result<SchemaRef> {
        exec_err!("it is not read")
    }

    async fn infer_stats(
        &self,
        _: &dyn Session,
        _: &Arc<dyn ObjectStore>,
        _: SchemaRef,
        _: &ObjectMeta,
    ) -> Result<Statistics> {
        exec_err!("it is not read")
    }

    async fn create_physical_plan(
        &self,
        _: &dyn Session,
        _: FileScanConfig,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        exec_err!("it is not read")
    }

    async fn create_writer_physical_plan(
        &self,
        _: Arc<dyn ExecutionPlan>,
        _: &dyn Session,
        config: FileSinkConfig,
        _: Option<LexRequirement>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let field = Field::new(config.original_url, DataType::Null, true);
        Ok(Arc::new(PlaceholderRowExec::new(Arc::new(Schema::new(
            vec![field],
        )))))
    }

    fn file_source(&self, schema: TableSchema) -> Arc<dyn FileSource> {
        Arc::new(JsonSource::new(schema))
    }
}

fn add(ctx: SessionContext) -> SessionContext {
    let ctx = ctx.with_function_factory(Arc::new(Sevens));
    ctx.register_relation_planner(Arc::new(Tides)).unwrap();
    let state = ctx.state_ref();
    let mut state = state.write();
    for name in ["SQLITE", "POSTGRES"] {
        let factory: Arc<dyn TableProviderFactory> = Arc::new(OneRow);
        state.table_factories_mut().insert(name.to_owned(), factory);
    }
    for format in ["sqlite", "tide"] {
        state
            .register_file_format(Arc::new(Nowhere(format)), true)
            .unwrap();
    }
    drop(state);
    ctx
}

#[tokio::test]
async fn planners_factories_and_formats_of_the_host_keep_working() {
    let before = add(SessionContext::new());
    atio::register(&before).unwrap();
    let behind = SessionContext::new();
    atio::register(&behind).unwrap();
    let behind = add(behind);
    for (ctx, what) in [
        (add(SessionContext::new()), "alone"),
        (before, "before"),
        (behind, "behind"),
    ] {
        for sql in [
            "CREATE FUNCTION f() RETURNS BIGINT RETURN 1",
            DIALECT,
            "CREATE EXTERNAL TABLE s STORED AS SQLITE LOCATION 'x'",
            "CREATE EXTERNAL TABLE p STORED AS POSTGRES LOCATION 'x'",
        ] {
            rows(&ctx, sql).await;
        }
        for (sql, said) in [
            ("SELECT f()", "7"),
            ("SELECT one FROM s JOIN p USING (one)", "1"),
            (
                "SELECT * FROM tides TIMESTAMP AS OF 'noon'",
                "TIMESTAMP AS OF 'noon'",
            ),
        ] {
            assert_eq!(row(&ctx, sql).await, said, "{what}: {sql}");
        }
        for format in ["tide", "sqlite"] {
            let copy = format!("COPY (SELECT 1 AS a) TO 'there/x.{format}'");
            let written = ctx
                .sql(&copy)
                .await
                .unwrap()
                .create_physical_plan()
                .await
                .unwrap();
            assert_eq!(written.name(), "PlaceholderRowExec", "{what}: {copy}");
            assert_eq!(
                written.schema().field(0).name(),
                &format!("there/x.{format}")
            );
        }
    }
}

#[tokio::test]
async fn options_of_atio_for_a_format_that_cannot_take_them_are_refused() {
    let ctx = add(SessionContext::new());
    atio::register(&ctx).unwrap();
    let copy = "COPY (SELECT 1 AS a) TO 'x.tide' OPTIONS ('atio.marker' 'true')";
    let failed = failure(&ctx, copy).await;
    assert!(
        failed.contains("TIDE is written in a way of its own"),
        "{failed}"
    );
    rows(&ctx, DIALECT).await;
    let as_of = failure(&ctx, "SELECT * FROM nothing TIMESTAMP AS OF 'noon'").await;
    assert!(as_of.contains("is not a table of this session"), "{as_of}");
}
