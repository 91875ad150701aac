//! A table of a database, as DataFusion sees it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::sink::DataSinkExec;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::TryStreamExt;

use super::column::{Column, schema_of};
use super::defaults;
use super::registry::TableLocation;
use super::sink::DatabaseSink;
use super::write::IfExists;
use crate::error::Error;
use crate::estimate::expected_rows;

/// A table of a database, with the columns that it had when it was opened.
#[derive(Debug)]
pub(super) struct DatabaseTable {
    location: Arc<TableLocation>,
    columns: Vec<Column>,
    schema: SchemaRef,
    /// What stands for each column where an INSERT does not name it.
    unnamed: Vec<Expr>,
}

impl DatabaseTable {
    pub(super) fn new(location: TableLocation, columns: Vec<Column>) -> Result<Self> {
        let schema = schema_of(&columns);
        let unnamed = schema.fields().iter().map(|field| defaults::unnamed(field));
        Ok(Self {
            location: Arc::new(location),
            unnamed: unnamed.collect::<Result<_>>()?,
            schema,
            columns,
        })
    }

    /// DataFusion hands a condition over as filters and loses those with a subquery: obeying
    /// would delete every row.
    fn refused(&self, verb: &str) -> Error {
        Error::unsupported(format!(
            "cannot {verb} rows of table '{}' of {} from here; rows can be added, or all replaced",
            self.location.table, self.location.connection
        ))
    }
}

#[async_trait]
impl TableProvider for DatabaseTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn get_column_default(&self, column: &str) -> Option<&Expr> {
        self.unnamed.get(self.schema.index_of(column).ok()?)
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns: Vec<Column> = match projection {
            None => self.columns.clone(),
            Some(wanted) => {
                let wanted = wanted.iter().filter_map(|at| self.columns.get(*at));
                wanted.cloned().collect()
            }
        };
        Ok(Arc::new(DatabaseScan::new(
            Arc::clone(&self.location),
            columns,
            limit,
        )))
    }

    async fn insert_into(
        &self,
        _: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        op: InsertOp,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let if_exists = match op {
            InsertOp::Append => IfExists::Append,
            InsertOp::Overwrite => IfExists::Replace,
            InsertOp::Replace => return Err(self.refused("merge").into()),
        };
        let (input, schema) = defaults::named(input, &self.schema)?;
        let sink = DatabaseSink {
            location: Arc::clone(&self.location),
            schema,
            if_exists,
            create: false,
            rows: expected_rows(input.as_ref()),
            metrics: Default::default(),
        };
        Ok(Arc::new(DataSinkExec::new(input, Arc::new(sink), None)))
    }

    async fn delete_from(&self, _: &dyn Session, _: Vec<Expr>) -> Result<Arc<dyn ExecutionPlan>> {
        Err(self.refused("delete").into())
    }

    async fn update(
        &self,
        _: &dyn Session,
        _: Vec<(String, Expr)>,
        _: Vec<Expr>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(self.refused("update").into())
    }
}

/// Reads columns of a table of a database, in one partition.
#[derive(Debug)]
struct DatabaseScan {
    location: Arc<TableLocation>,
    columns: Vec<Column>,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
}

impl DatabaseScan {
    fn new(location: Arc<TableLocation>, columns: Vec<Column>, limit: Option<usize>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema_of(&columns)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            location,
            columns,
            limit,
            properties: Arc::new(properties),
        }
    }
}

impl ExecutionPlan for DatabaseScan {
    fn name(&self) -> &str {
        "DatabaseScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = schema_of(&self.columns);
        let (location, columns, limit) =
            (Arc::clone(&self.location), self.columns.clone(), self.limit);
        let rows = async move {
            location
                .connection
                .read(&location.table, columns, limit)
                .await
        };
        let rows = futures::stream::once(rows).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

impl DisplayAs for DatabaseScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let columns = super::compatibility::names(&self.columns);
        write!(
            f,
            "DatabaseScan(connection={}, table={}, columns=[{columns}]",
            self.location.name, self.location.table
        )?;
        if let Some(limit) = self.limit {
            write!(f, ", limit={limit}")?;
        }
        f.write_str(")")
    }
}
