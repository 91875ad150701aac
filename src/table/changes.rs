//! What changed between two versions of a table: a provider that reads the files that came or went.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use atio_core::log::ChangesAfter;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::TableReference;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use tracing::Instrument;

use super::handle::{At, AtioTable};
use super::pin::Pin;
use super::version_ref::VersionRef;
use crate::engine_settings::check_parquet_reader;
use crate::error::{Error, Result as AtioResult};
use crate::scan::{Above, CHANGE_COLUMNS, ChangesRequest, plan_changes, with_change_columns};

/// Which changes [`AtioTable::changes`] gives, and how.
///
/// ```
/// use atio::ChangesOptions;
///
/// let of_three_versions = ChangesOptions {
///     from: Some(4.into()),
///     to: 7.into(),
///     ..ChangesOptions::default()
/// };
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangesOptions {
    /// The version with which the way begins: what it changed itself is not in the changes. A time
    /// ([`VersionRef::AsOf`]) stands for the version that was the newest then, or for none if there
    /// was no table. By default all that the table has had since it was created came on the way.
    pub from: Option<VersionRef>,
    /// The version with which it ends: what it changed is in the changes. By default the newest, or the
    /// version that the table was held to by [`at`](AtioTable::at).
    pub to: VersionRef,
    /// Columns that tell the rows of one version apart: a row that went and one that came with the same
    /// values in them are the two sides of an update. NULL is a value here. By default there are none,
    /// and all changes are deletes and inserts.
    pub key: Vec<String>,
    /// Gives the difference of both versions, as if `to` were the one above `from`. By default a row
    /// that came and went on the way is in the changes twice.
    pub net: bool,
}

impl AtioTable {
    /// The rows that came and went on the way from one version to another.
    ///
    /// Behind the columns of the table, which are those of the version `to`, each row has
    ///
    /// * `_change`: `insert` or `delete`; with a [key](ChangesOptions::key) an update is a row
    ///   `update_before` and a row `update_after`;
    /// * `_version`: the version that changed it, or `to` for the
    ///   [difference](ChangesOptions::net) of both;
    /// * `_committed_at`: when that was committed.
    ///
    /// Within a version, rows that went and rows that came which are equal in all columns cancel out,
    /// one for one: nothing happened to them but that a file was written anew. The rows have no order.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sales = directory.path().join("sales");
    /// # let location = sales.to_str().unwrap_or_default();
    /// use atio::{AtioTable, ChangesOptions, CommitOptions, CreateOptions};
    /// use datafusion::prelude::{col, lit};
    ///
    /// # let ctx = SessionContext::new();
    /// # atio::register(&ctx)?;
    /// # let rows = ctx.sql("SELECT 'tea' AS item, 2.5 AS price").await?;
    /// # let table = AtioTable::create(&ctx, location, rows.schema().as_arrow(), CreateOptions::default()).await?;
    /// table.append(rows.clone(), CommitOptions::default()).await?;
    /// table.append(rows, CommitOptions::default()).await?;
    ///
    /// let options = ChangesOptions { from: Some(1.into()), ..ChangesOptions::default() };
    /// let changes = table.changes(&ctx, options).await?;
    /// let inserted = changes.filter(col("_change").eq(lit("insert")))?;
    /// assert_eq!(inserted.count().await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`VersionNotFound`](crate::ErrorKind::VersionNotFound) or
    /// [`VersionExpired`](crate::ErrorKind::VersionExpired) if `to` cannot be read;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the table has a column that is called as one
    /// of those above, or not those of the key. When the rows are asked for,
    /// [`VersionExpired`](crate::ErrorKind::VersionExpired) if a version on the way has expired,
    /// [`VersionNotFound`](crate::ErrorKind::VersionNotFound) if there is no version `from`, and
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if `from` is above `to`, if rows have columns
    /// that `to` does not have (the error names the version that replaced them), or if several rows of
    /// one version have the same key.
    pub async fn changes(
        &self,
        ctx: &SessionContext,
        options: ChangesOptions,
    ) -> AtioResult<DataFrame> {
        let held = self.fixed().map(|snapshot| snapshot.version);
        let name = format!("changes({}, {held:?}, {options:?})", self.location());
        let provider = self.changes_table(options).await?;
        // DataFusion takes two scans of one name for the same.
        let name = TableReference::bare(name);
        let source = provider_as_source(Arc::new(provider));
        let plan = LogicalPlanBuilder::scan(name, source, None)
            .and_then(|scan| scan.alias("changes"))
            .and_then(LogicalPlanBuilder::build);
        let plan = plan.map_err(|error| {
            let what = format!("cannot read the changes of '{}'", self.table().name());
            crate::error::from_datafusion(&what, error)
        })?;
        Ok(DataFrame::new(ctx.state(), plan))
    }

    /// The provider of the changes.
    pub(crate) async fn changes_table(&self, options: ChangesOptions) -> AtioResult<ChangesTable> {
        let after = match options.from {
            None => ChangesAfter::Nothing,
            Some(VersionRef::Version(version)) => ChangesAfter::Version(version),
            Some(VersionRef::AsOf(time)) => ChangesAfter::Time(time.timestamp_micros()),
            Some(from) => ChangesAfter::Version(self.find(&from).await?.version),
        };
        let table = match options.to {
            VersionRef::Newest => self.clone(),
            to => self.at(to).await?,
        };
        if let (ChangesAfter::Version(from), Some(to)) = (after, table.fixed()) {
            table.table().check_order(from, to)?;
        }
        let changes = ChangesTable {
            table,
            after,
            net: options.net,
            key: options.key.into(),
        };
        changes.check_columns()?;
        Ok(changes)
    }
}

/// What changed on the way to a version, as DataFusion reads it.
#[derive(Debug, Clone)]
pub(crate) struct ChangesTable {
    /// Held to the version at the end of the way, or to none.
    table: AtioTable,
    after: ChangesAfter,
    net: bool,
    key: Arc<[String]>,
}

impl ChangesTable {
    /// The changes behind a provider; None for all others.
    pub(crate) fn downcast(provider: &dyn TableProvider) -> Option<&Self> {
        (provider as &dyn Any).downcast_ref()
    }

    pub(super) fn table(&self) -> &AtioTable {
        &self.table
    }

    /// The same in one statement.
    pub(super) fn in_statement(&self, pin: Pin, above: Above) -> Self {
        Self {
            table: self.table.in_statement(pin, above),
            ..self.clone()
        }
    }

    /// Fails if the table has a column of the name of one of a change, or not those of the key.
    fn check_columns(&self) -> AtioResult<()> {
        let columns = TableProvider::schema(&self.table);
        let name = self.table.table().name();
        let taken = CHANGE_COLUMNS.iter().find(|column| {
            let mut fields = columns.fields().iter();
            fields.any(|field| field.name().eq_ignore_ascii_case(column))
        });
        if let Some(taken) = taken {
            return Err(Error::invalid(format!(
                "the changes of '{name}' cannot be shown: it has a column '{taken}', and so have they; \
                 read its versions with atio_table",
            )));
        }
        for (at, column) in self.key.iter().enumerate() {
            let Ok(field) = columns.field_with_name(column) else {
                let names = columns.fields().iter().map(|field| field.name().as_str());
                return Err(Error::invalid(format!(
                    "the key of changes of '{name}' has a column '{}', and the table has not; its columns are {}",
                    column.escape_debug(),
                    names.collect::<Vec<_>>().join(", ")
                )));
            };
            if field.data_type().is_nested() {
                return Err(Error::invalid(format!(
                    "column '{}' of '{name}' holds several values and cannot be a part of a key",
                    column.escape_debug()
                )));
            }
            if self.key[..at].contains(column) {
                return Err(Error::invalid(format!(
                    "the key of changes of '{name}' has column '{}' twice",
                    column.escape_debug()
                )));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl TableProvider for ChangesTable {
    fn schema(&self) -> SchemaRef {
        with_change_columns(&TableProvider::schema(&self.table))
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
        check_parquet_reader(&state.config_options().execution.parquet)?;
        self.check_columns()?;
        let table = &self.table;
        let to = table.snapshot().await?;
        if let At::Pinned { pin, .. } = &table.at {
            pin.read();
        }
        let request = ChangesRequest {
            after: self.after,
            net: self.net,
            key: &self.key,
            projection,
            filters,
            limit,
            above: table.above,
            reads: table.read_set(),
        };
        let span = tracing::info_span!("plan", table = table.table.name());
        plan_changes(state, &table.table, &table.store_url, &to, request)
            .instrument(span)
            .await
    }

    /// Every filter leaves out versions and files; rows are still filtered above the scan.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}
