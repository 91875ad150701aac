//! The place of a table that cannot be opened.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::error::{Error, ErrorKind};
use crate::table::{AtioTable, Lookup};

/// Stands for a table of a catalog whose metadata cannot be read.
///
/// It has no columns, so that listing all tables and their columns works; whoever reads or
/// writes it is told what is wrong.
#[derive(Debug)]
pub(super) struct DamagedTable {
    kind: ErrorKind,
    message: String,
    table: AtioTable,
    lookup: Arc<Lookup>,
}

impl DamagedTable {
    pub(super) fn new(error: &Error, table: AtioTable, lookup: Arc<Lookup>) -> Self {
        Self {
            kind: error.kind(),
            message: error.to_string(),
            table,
            lookup,
        }
    }

    /// The table itself: versions that are intact can be read by number.
    pub(super) fn table(&self) -> &AtioTable {
        &self.table
    }

    pub(super) fn downcast(provider: &dyn TableProvider) -> Option<&Self> {
        (provider as &dyn Any).downcast_ref()
    }

    /// What is wrong with it.
    pub(super) fn error(&self) -> Error {
        Error::new(self.kind, self.message.clone())
    }
}

#[async_trait]
impl TableProvider for DamagedTable {
    fn schema(&self) -> SchemaRef {
        self.lookup.asked_for_schema();
        Arc::new(Schema::empty())
    }

    fn table_type(&self) -> TableType {
        self.lookup.asked_for_type();
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(self.error().into())
    }

    async fn insert_into(
        &self,
        _: &dyn Session,
        _: Arc<dyn ExecutionPlan>,
        _: InsertOp,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(self.error().into())
    }
}
