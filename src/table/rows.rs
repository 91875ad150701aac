//! Reading and writing the rows of a table from Rust.

use std::sync::Arc;

use atio_core::format::Version;
use atio_core::log::CommitOptions;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::SessionContext;

use super::fitting::fitting;
use super::handle::AtioTable;
use super::pin_versions::PinVersions;
use crate::error::{self, Result as AtioResult};
use crate::settings::CommitSettings;
use crate::write::{Outcome, rows_written};

/// What a write came to.
///
/// ```
/// fn show(written: &atio::Written) -> String {
///     match written.version {
///         Some(version) => format!("{} rows in version {version}", written.rows),
///         None => "nothing to write".to_owned(),
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// The rows that were written this time.
    pub rows: u64,
    /// The version that has them, the last one of a load in chunks. None if none was made: there
    /// were no rows to append, or the work was done before under the same key.
    pub version: Option<Version>,
}

/// How [`AtioTable::overwrite`] writes.
///
/// ```
/// let options = atio::OverwriteOptions { replace_columns: true, ..Default::default() };
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OverwriteOptions {
    /// Gives the table the columns of the new rows, in place of its own: one version has both. Each
    /// may be NULL. Older versions keep theirs. False by default.
    pub replace_columns: bool,
    /// What the commit carries.
    pub commit: CommitOptions,
}

impl AtioTable {
    /// The rows of the table, to query them: those of the newest version when the query runs, or
    /// of the version that the table was held to by [`at`](Self::at).
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sales = directory.path().join("sales");
    /// # let location = sales.to_str().unwrap_or_default();
    /// use atio::{AtioTable, CommitOptions, CreateOptions};
    /// use datafusion::prelude::{col, lit};
    ///
    /// # let ctx = SessionContext::new();
    /// # atio::register(&ctx)?;
    /// # let rows = ctx.sql("SELECT 'tea' AS item, 2.5 AS price").await?;
    /// # let table = AtioTable::create(&ctx, location, rows.schema().as_arrow(), CreateOptions::default()).await?;
    /// # table.append(rows, CommitOptions::default()).await?;
    /// let cheap = table.read(&ctx)?.filter(col("price").lt(lit(3.0)))?;
    /// assert_eq!(cheap.count().await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if DataFusion cannot make a plan of it. Nothing is read before the query runs.
    pub fn read(&self, ctx: &SessionContext) -> Result<DataFrame> {
        let version = self.fixed().map(|snapshot| snapshot.version.to_string());
        let version = version.unwrap_or_else(|| "newest".to_owned());
        // DataFusion takes two scans of one name for the same.
        let scanned = format!("{} at {version}", self.location());
        let source = provider_as_source(Arc::new(self.clone()));
        let plan = LogicalPlanBuilder::scan(TableReference::bare(scanned), source, None)?
            .alias(TableReference::bare(self.table().name()))?
            .build()?;
        Ok(DataFrame::new(ctx.state(), plan))
    }

    /// Adds rows to the table, as one version, or as one for each chunk where the options ask for
    /// chunks. Appends of others at the same time all succeed. Rows in memory become a `DataFrame`
    /// by [`SessionContext::read_batches`].
    ///
    /// Columns are found by name, in any order. One that is left out is NULL. Types are those of
    /// the table; a whole number of another size fits, and fails where its value does not.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sales = directory.path().join("sales");
    /// # let location = sales.to_str().unwrap_or_default();
    /// use std::sync::Arc;
    ///
    /// use arrow::array::{Float64Array, RecordBatch, StringArray};
    /// use atio::{AtioTable, CommitOptions, CreateOptions};
    ///
    /// # let ctx = SessionContext::new();
    /// let batch = RecordBatch::try_from_iter([
    ///     ("item", Arc::new(StringArray::from(vec!["tea", "cake"])) as _),
    ///     ("price", Arc::new(Float64Array::from(vec![2.5, 3.75])) as _),
    /// ])?;
    /// let table = AtioTable::create(&ctx, location, &batch.schema(), CreateOptions::default()).await?;
    /// let commit = CommitOptions { idempotency_key: Some("2026-05".into()), ..CommitOptions::default() };
    ///
    /// let written = table.append(ctx.read_batch(batch.clone())?, commit.clone()).await?;
    /// assert_eq!((written.rows, written.version.map(|version| version.get())), (2, Some(1)));
    /// // The same work again is done already.
    /// let again = table.append(ctx.read_batch(batch)?, commit).await?;
    /// assert_eq!((again.rows, again.version), (0, None));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Whatever the query fails with, and then nothing is written;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the rows have other columns than the
    /// table, or an option cannot be used; [`NotAllowed`](crate::ErrorKind::NotAllowed) if the
    /// session's policy forbids it; [`CheckFailed`](crate::ErrorKind::CheckFailed) if a check of the
    /// options does not hold; [`SchemaChanged`](crate::ErrorKind::SchemaChanged) or
    /// [`Conflict`](crate::ErrorKind::Conflict) if the columns change meanwhile;
    /// [`TableNotFound`](crate::ErrorKind::TableNotFound) if the table was dropped;
    /// [`CommitUnknown`](crate::ErrorKind::CommitUnknown) if nobody can tell whether the version
    /// was made, and [`CommitNotDurable`](crate::ErrorKind::CommitNotDurable) if the disk cannot
    /// promise to keep it.
    pub async fn append(&self, rows: DataFrame, commit: CommitOptions) -> AtioResult<Written> {
        let columns = self.columns_to_write().await?;
        let rows = fitting(rows, &columns, self.location())?;
        self.clone().write(rows, InsertOp::Append, commit).await
    }

    /// Puts rows in the place of those of the table, as one version: no rows at all, too. Rows are
    /// taken as by [`append`](Self::append), or with columns of their own, if
    /// [`replace_columns`](OverwriteOptions::replace_columns) is set.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sales = directory.path().join("sales");
    /// # let location = sales.to_str().unwrap_or_default();
    /// use atio::{AtioTable, CommitOptions, CreateOptions, OverwriteOptions};
    ///
    /// # let ctx = SessionContext::new();
    /// # atio::register(&ctx)?;
    /// # let rows = ctx.sql("SELECT 'tea' AS item, 2.5 AS price").await?;
    /// # let table = AtioTable::create(&ctx, location, rows.schema().as_arrow(), CreateOptions::default()).await?;
    /// # table.append(rows, CommitOptions::default()).await?;
    /// let doubled = table.read(&ctx)?.select_exprs(&["item", "price * 2 AS price"])?;
    /// table.overwrite(doubled, OverwriteOptions::default()).await?;
    ///
    /// let named = table.read(&ctx)?.select_exprs(&["item", "price", "'May' AS month"])?;
    /// let options = OverwriteOptions { replace_columns: true, ..OverwriteOptions::default() };
    /// table.overwrite(named, options).await?;
    /// assert_eq!(table.read(&ctx)?.schema().fields().len(), 3);
    /// assert_eq!(table.at(1).await?.read(&ctx)?.schema().fields().len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`append`](Self::append); [`Conflict`](crate::ErrorKind::Conflict) if anybody
    /// changes the rows meanwhile, for the new ones may depend on those that it read.
    pub async fn overwrite(
        &self,
        rows: DataFrame,
        options: OverwriteOptions,
    ) -> AtioResult<Written> {
        let columns = match options.replace_columns {
            true => Some(nullable(rows.schema().as_arrow())),
            false => None,
        };
        self.overwrite_with(rows, columns, options.commit).await
    }

    /// The same; `columns` are those that the table gets, where they are not its own.
    pub(crate) async fn overwrite_with(
        &self,
        rows: DataFrame,
        columns: Option<SchemaRef>,
        commit: CommitOptions,
    ) -> AtioResult<Written> {
        let own = self.columns_to_write().await?;
        let columns = columns.filter(|columns| columns.fields() != own.fields());
        let rows = match &columns {
            Some(columns) => fitting(rows, columns, self.location())?,
            None => fitting(rows, &own, self.location())?,
        };
        let replaces = columns.is_some();
        let table = self.clone().with_columns(columns);
        let written = table.write(rows, InsertOp::Overwrite, commit).await?;
        if replaces && let Ok(newest) = self.table().newest().await {
            self.has_now(&newest.arrow);
        }
        Ok(written)
    }

    /// Its columns; fails if nothing can be written to it.
    pub(crate) async fn columns_to_write(&self) -> AtioResult<SchemaRef> {
        self.check_writable()?;
        let columns = TableProvider::schema(self);
        if columns.fields().is_empty() {
            // Its newest version could not be read: this says why.
            self.current_version().await?;
        }
        Ok(columns)
    }

    async fn write(
        self,
        rows: DataFrame,
        operation: InsertOp,
        commit: CommitOptions,
    ) -> AtioResult<Written> {
        let (mut state, plan) = rows.into_parts();
        if commit.retries > 0 {
            PinVersions::add_to(&mut state);
        }
        let name = TableReference::bare(self.location());
        let target = provider_as_source(Arc::new(self.clone()));
        let plan = LogicalPlanBuilder::insert_into(plan, name, target, operation);
        let plan = plan.and_then(LogicalPlanBuilder::build);
        let (rows, outcome) = self.run(state, plan, commit).await?;
        Ok(Written {
            rows,
            version: outcome.version(),
        })
    }

    /// Runs a plan that writes to the table; gives how many rows it wrote, and what came of it.
    pub(crate) async fn run(
        &self,
        mut state: SessionState,
        plan: Result<LogicalPlan>,
        commit: CommitOptions,
    ) -> AtioResult<(u64, Arc<Outcome>)> {
        CommitSettings::new(commit)?.install(state.config_mut());
        let outcome = Arc::new(Outcome::default());
        state.config_mut().set_extension(Arc::clone(&outcome));
        let written = async { DataFrame::new(state, plan?).collect().await };
        let counts = written.await.map_err(|error| {
            let what = format!("cannot write to '{}'", self.table().name());
            error::from_datafusion(&what, error)
        })?;
        Ok((rows_written(&counts), outcome))
    }
}

/// The columns of rows, none of which promises anything of later ones.
pub(crate) fn nullable(columns: &Schema) -> SchemaRef {
    let fields = columns.fields().iter();
    let fields = fields.map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
