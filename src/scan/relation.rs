//! Rows of a version as a table of a query: all of them, or those of some files alone.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use atio_core::format::Manifest;
use atio_core::log::{Snapshot, Table};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;

use super::dynamic::Above;
use super::parquet_exec::parquet_exec;
use super::plan::plan;
use super::version_scan::{Request, VersionScan};

/// Rows of a version that need not be committed.
#[derive(Debug)]
pub(crate) struct Relation {
    table: Arc<Table>,
    store_url: ObjectStoreUrl,
    snapshot: Arc<Snapshot>,
    /// The files; those that the version lists where it is None.
    files: Option<Chosen>,
}

/// Files of a version, or files with its columns.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    pub(crate) manifests: Vec<Arc<Manifest>>,
    /// By path, of each row of a file whether it counts; all do where it is not here. Those that the
    /// manifest marks as deleted do not.
    pub(crate) rows: HashMap<String, BooleanBuffer>,
}

impl Chosen {
    /// All rows of the files of `manifest` that it does not mark as deleted.
    pub(crate) fn of(manifest: Manifest) -> Self {
        Self {
            manifests: vec![Arc::new(manifest)],
            rows: HashMap::new(),
        }
    }
}

impl Relation {
    pub(crate) fn new(
        table: &Arc<Table>,
        store_url: &ObjectStoreUrl,
        snapshot: &Arc<Snapshot>,
        files: Option<Chosen>,
    ) -> Self {
        Self {
            table: Arc::clone(table),
            store_url: store_url.clone(),
            snapshot: Arc::clone(snapshot),
            files,
        }
    }

    async fn scan_chosen(
        &self,
        chosen: &Chosen,
        state: &dyn Session,
        mut request: Request<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !chosen.rows.is_empty() {
            // How many rows a file has does not say how many of them count.
            request.limit = None;
        }
        let projected = match request.projection {
            Some(projection) => Arc::new(self.snapshot.arrow.project(projection)?),
            None => Arc::clone(&self.snapshot.arrow),
        };
        let (table, snapshot) = (&self.table, &self.snapshot);
        let manifests = &chosen.manifests;
        let url = &self.store_url;
        let scan = VersionScan::new(state, table, url, snapshot, manifests, request);
        let mut scan = scan.await?;
        if scan.files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(projected)));
        }
        let rows = chosen.rows.iter();
        let rows = rows.map(|(path, some)| Ok((table.data_key(path)?, some.clone())));
        let mut rows = rows.collect::<Result<HashMap<_, _>>>()?;
        for file in &mut scan.files {
            file.wanted = rows.remove(file.key());
        }
        parquet_exec(state.config(), state.runtime_env(), scan)
    }
}

#[async_trait]
impl TableProvider for Relation {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.snapshot.arrow)
    }

    fn table_type(&self) -> TableType {
        TableType::View
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
            row_ids: None,
            reads: None,
        };
        match &self.files {
            Some(chosen) => self.scan_chosen(chosen, state, request).await,
            None => plan(state, &self.table, &self.store_url, &self.snapshot, request).await,
        }
    }

    /// As those of a table, filters prune and are asked again above.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}
