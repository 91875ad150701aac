//! What a rewritten statement inserts into: it takes rows that say what changes.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::handle::AtioTable;
use super::merge_join::within_memory;
use super::merge_keys::with_source_keys;
use super::pin::Pin;
use crate::error::Error;
use crate::scan::{Above, RowIds};
use crate::write::{Change, Verb};

/// The table of a statement that changes rows.
#[derive(Debug, Clone)]
pub(crate) struct ChangeTarget {
    table: AtioTable,
    verb: Verb,
    row_ids: RowIds,
    columns: usize,
    keys: Vec<String>,
    unique: Vec<String>,
}

impl ChangeTarget {
    /// Rows have `columns` columns of the table; see [`Change`].
    pub(crate) fn new(
        table: &AtioTable,
        verb: Verb,
        row_ids: RowIds,
        columns: usize,
        keys: Vec<String>,
    ) -> Self {
        Self {
            table: table.clone(),
            verb,
            row_ids,
            columns,
            keys,
            unique: Vec::new(),
        }
    }

    /// The same; rows that take the place of none differ in these columns of the source.
    pub(crate) fn with_unique(self, unique: Vec<String>) -> Self {
        Self { unique, ..self }
    }

    pub(super) fn downcast(provider: &dyn TableProvider) -> Option<&Self> {
        (provider as &dyn Any).downcast_ref()
    }

    pub(super) fn table(&self) -> &AtioTable {
        &self.table
    }

    pub(super) fn row_ids(&self) -> &RowIds {
        &self.row_ids
    }

    /// The same in one statement: held to `pin`, and told by `row_ids` what the scan found.
    pub(super) fn in_statement(&self, pin: Pin, above: Above, row_ids: RowIds) -> Self {
        Self {
            table: self.table.in_statement(pin, above),
            row_ids,
            ..self.clone()
        }
    }
}

#[async_trait]
impl TableProvider for ChangeTarget {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(Error::unsupported("the target of a statement cannot be read").into())
    }

    async fn insert_into(
        &self,
        session: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        _: InsertOp,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (input, spills, merged) = match self.verb {
            Verb::Merge => {
                let (input, spills) = within_memory(session, input)?;
                let (input, merged) = with_source_keys(input)?;
                (input, spills, merged)
            }
            _ => (input, false, None),
        };
        let change = Change {
            verb: self.verb,
            // The scan is planned already, and the next plan has others.
            whole: self.row_ids.found().whole,
            store_url: self.table.store_url().clone(),
            spills,
            columns: self.columns,
            keys: self.keys.clone(),
            unique: self.unique.clone(),
            merged,
        };
        self.table.plan_change(session, change, input).await
    }
}
