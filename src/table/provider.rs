//! The provider: what DataFusion asks of a table that a session has registered.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchemaRef, SchemaExt};
use datafusion::error::Result;
use datafusion::logical_expr::dml::{InsertOp, MergeIntoClause};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use tracing::Instrument;

use super::handle::{At, AtioTable, lock};
use crate::engine_settings::check_parquet_reader;
use crate::error::Error;
use crate::estimate::expected_rows;
use crate::scan::{self, is_row_id, with_row_ids};
use crate::write::{Change, Planned, TableOptions, Verb, WriteTarget, plan_change, plan_insert};

#[async_trait]
impl TableProvider for AtioTable {
    fn schema(&self) -> SchemaRef {
        if let Some(lookup) = &self.lookup {
            lookup.asked_for_schema();
        }
        let schema = match &self.at {
            At::Newest(known) => lock(known),
            At::Pinned { planned, .. } => Arc::clone(planned),
            At::Version(snapshot) => Arc::clone(&snapshot.arrow),
        };
        match &self.row_ids {
            Some(_) => with_row_ids(&schema),
            None => schema,
        }
    }

    fn table_type(&self) -> TableType {
        if let Some(lookup) = &self.lookup {
            lookup.asked_for_type();
        }
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        check_parquet_reader(&state.config_options().execution.parquet)?;
        let snapshot = self.snapshot().await?;
        if let At::Pinned { pin, .. } = &self.at {
            pin.read();
        }
        let request = scan::Request {
            projection,
            filters,
            limit,
            above: self.above,
            row_ids: self.row_ids.as_ref(),
            reads: self.read_set(),
        };
        let span = tracing::info_span!("plan", table = self.table.name());
        scan::plan(state, &self.table, &self.store_url, &snapshot, request)
            .instrument(span)
            .await
    }

    /// Every filter prunes files and row groups; rows are still filtered above the scan.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let asks_where = |filter: &&Expr| {
            let columns = filter.column_refs();
            columns.into_iter().any(|column| is_row_id(&column.name))
        };
        let answers = filters.iter().map(|filter| match asks_where(filter) {
            true => TableProviderFilterPushDown::Unsupported,
            false => TableProviderFilterPushDown::Inexact,
        });
        Ok(answers.collect())
    }

    async fn insert_into(
        &self,
        session: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        op: InsertOp,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.check_writable()?;
        if op == InsertOp::Replace {
            return Err(Error::unsupported(format!(
                "REPLACE INTO is not supported for atio tables such as '{}': use MERGE INTO, which updates and inserts",
                self.table.name()
            ))
            .into());
        }
        let mut base = self.snapshot().await?;
        if let Some(columns) = &self.columns {
            base = Arc::new(base.with_columns(columns)?);
        }
        base.arrow
            .logically_equivalent_names_and_types(&input.schema())?;
        let options = TableOptions::of_table(&base.state.options)?;
        let overwrite = op == InsertOp::Overwrite;
        let target = WriteTarget {
            table: Arc::clone(&self.table),
            base,
            overwrite,
            options,
            rows: expected_rows(input.as_ref()),
            // Its scans are planned before it is.
            reads_itself: matches!(&self.at, At::Pinned { pin, .. } if pin.is_read()),
            reads: self.read_set().cloned(),
            planned: self.planned(session),
        };
        plan_insert(target, input)
    }

    async fn delete_from(&self, _: &dyn Session, _: Vec<Expr>) -> Result<Arc<dyn ExecutionPlan>> {
        Err(self.not_registered("DELETE").into())
    }

    async fn update(
        &self,
        _: &dyn Session,
        _: Vec<(String, Expr)>,
        _: Vec<Expr>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(self.not_registered("UPDATE").into())
    }

    async fn truncate(&self, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        self.check_writable()?;
        let change = Change {
            verb: Verb::Truncate,
            whole: Vec::new(),
            store_url: self.store_url.clone(),
            spills: false,
            columns: 0,
            keys: Vec::new(),
            unique: Vec::new(),
            merged: None,
        };
        let nothing = EmptyExec::new(with_row_ids(&Schema::empty()));
        self.plan_change(session, change, Arc::new(nothing)).await
    }

    async fn merge_into(
        &self,
        _: &dyn Session,
        _: Arc<dyn ExecutionPlan>,
        _: DFSchemaRef,
        _: Expr,
        _: Vec<MergeIntoClause>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(self.not_registered("MERGE").into())
    }
}

impl AtioTable {
    /// Plans a statement that changes rows, as those of `input` say.
    pub(crate) async fn plan_change(
        &self,
        session: &dyn Session,
        change: Change,
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let base = self.snapshot().await?;
        let options = TableOptions::of_table(&base.state.options)?;
        let target = WriteTarget {
            table: Arc::clone(&self.table),
            base,
            overwrite: false,
            options,
            rows: expected_rows(input.as_ref()),
            reads_itself: true,
            reads: self.read_set().cloned(),
            planned: self.planned(session),
        };
        plan_change(target, change, input)
    }

    /// What its statement is planned with, where its commit needs that.
    fn planned(&self, session: &dyn Session) -> Option<Planned> {
        let statement = match &self.at {
            At::Pinned { pin, .. } => pin.statement(),
            At::Newest(_) | At::Version(_) => None,
        };
        Planned::of(session, &self.store_url, statement)
    }

    /// The engine's own hooks lose parts of these statements.
    fn not_registered(&self, statement: &str) -> Error {
        Error::unsupported(format!(
            "{statement} of '{}' needs atio in the session: call atio::register(&ctx) first",
            self.table.name()
        ))
    }
}
