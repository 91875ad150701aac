//! Compaction: the same rows in fewer files, or in others that are better to read.

use std::sync::Arc;

use atio_core::log::CommitOptions;
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, SortExpr};
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::prelude::SessionContext;

use super::handle::AtioTable;
use super::version_ref::VersionRef;
use crate::error::{self, Error, Result};
use crate::settings::CommitSettings;
use crate::write::{CompactOutcome, CompactedGroup, Compaction};

/// What [`AtioTable::compact`] compacts, and how.
///
/// ```
/// use datafusion::prelude::col;
///
/// let options = atio::CompactOptions {
///     order_by: vec![col("day").sort(true, false)],
///     dry_run: false,
///     ..Default::default()
/// };
/// assert_eq!(options.target_file_size, None);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CompactOptions {
    /// About so many bytes a file is to have; by default as the table's options say.
    pub target_file_size: Option<u64>,
    /// Only files that may hold rows for which this condition is true, by their statistics. Such files
    /// are compacted as wholes: rows of them that do not meet it stay, too. By default all files.
    pub filter: Option<Expr>,
    /// Sorts the rows: then all of these files are written anew, whatever their sizes, and each new
    /// one has a range of its own. By default rows stay in the order of the files.
    pub order_by: Vec<SortExpr>,
    /// Tells what would be done, and writes nothing. True by default, as in SQL.
    pub dry_run: bool,
    /// What each version carries: a message and properties.
    pub commit: CommitOptions,
}

impl Default for CompactOptions {
    fn default() -> Self {
        Self {
            target_file_size: None,
            filter: None,
            order_by: Vec::new(),
            dry_run: true,
            commit: CommitOptions::default(),
        }
    }
}

/// What a compaction found and did.
///
/// ```
/// let compacted = atio::Compacted::default();
/// assert!(compacted.groups.is_empty());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// One for each group of files, in the order in which they were committed; behind them those that
    /// gave way.
    pub groups: Vec<CompactedGroup>,
}

impl Compacted {
    /// How many files of the table were replaced, or would be in a dry run.
    ///
    /// ```
    /// assert_eq!(atio::Compacted::default().files_before(), 0);
    /// ```
    pub fn files_before(&self) -> u64 {
        self.done().map(|group| group.files_before).sum()
    }

    /// How many files took their place; in a dry run an estimate.
    ///
    /// ```
    /// assert_eq!(atio::Compacted::default().files_after(), 0);
    /// ```
    pub fn files_after(&self) -> u64 {
        self.done().filter_map(|group| group.files_after).sum()
    }

    /// How many groups gave way to another statement.
    ///
    /// ```
    /// assert_eq!(atio::Compacted::default().gave_way(), 0);
    /// ```
    pub fn gave_way(&self) -> u64 {
        (self.groups.len() - self.done().count()) as u64
    }

    fn done(&self) -> impl Iterator<Item = &CompactedGroup> {
        let groups = self.groups.iter();
        groups.filter(|group| !matches!(group.outcome, CompactOutcome::GaveWay(_)))
    }
}

impl AtioTable {
    /// Writes the rows of files that are too small, too large, or have many rows that are marked as
    /// deleted, into files of about the size that is wanted. The rows of the table stay the same.
    ///
    /// Files are compacted in groups, and each group is committed as a version of its own, as soon as
    /// it is written. If the call is cut off, what is committed stays, and the next one does the rest.
    /// Other statements go on meanwhile: a group whose files one of them changes gives way to it, and
    /// appends concern nobody. Files of such groups are chosen anew, up to three times in all, before
    /// they are left to the next call. The old files stay for the older versions, until they
    /// [expire](Self::expire).
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sales = directory.path().join("sales");
    /// # let location = sales.to_str().unwrap_or_default();
    /// use atio::{AtioTable, CommitOptions, CompactOptions, CreateOptions, VersionRef};
    ///
    /// # let ctx = SessionContext::new();
    /// # let rows = ctx.sql("SELECT 1 AS id").await?;
    /// # let table = AtioTable::create(&ctx, location, rows.schema().as_arrow(), CreateOptions::default()).await?;
    /// for _ in 0..3 {
    ///     table.append(rows.clone(), CommitOptions::default()).await?;
    /// }
    /// let found = table.compact(&ctx, CompactOptions::default()).await?;
    /// assert_eq!((found.files_before(), found.files_after()), (3, 1));
    ///
    /// let options = CompactOptions { dry_run: false, ..CompactOptions::default() };
    /// let compacted = table.compact(&ctx, options).await?;
    /// assert_eq!(compacted.groups[0].version.map(|version| version.get()), Some(4));
    /// assert_eq!(table.files(VersionRef::Newest).await?.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if a size is 0, if the condition or the order
    /// cannot be used, or if the options of the commit ask for more than a message and properties;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if a newer release made the table so that this one
    /// must not write to it; [`Damaged`](crate::ErrorKind::Damaged) if a file does not have the rows that
    /// it should have; otherwise as [`append`](Self::append). A conflict with another statement
    /// is none: it shows in the [outcome](CompactedGroup::outcome) of the group. Groups that were
    /// committed before an error stay.
    pub async fn compact(
        &self,
        ctx: &SessionContext,
        options: CompactOptions,
    ) -> Result<Compacted> {
        let newest = self.find(&VersionRef::Newest).await?;
        let compaction = self.compaction(&ctx.state(), &newest.arrow, &options)?;
        let commit = (!options.dry_run).then_some(options.commit);
        self.compact_as_planned(&compaction, commit, &ctx.task_ctx())
            .await
    }

    /// What `options` ask for, over these columns of the table.
    pub(crate) fn compaction(
        &self,
        session: &dyn Session,
        columns: &SchemaRef,
        options: &CompactOptions,
    ) -> Result<Compaction> {
        match options.dry_run {
            true => self.check_whole("compact")?,
            false => self.check_writable()?,
        }
        if options.target_file_size == Some(0) {
            return Err(Error::invalid(
                "a file cannot have 0 bytes: target_file_size must be 1 or more",
            ));
        }
        let filter = options.filter.as_ref();
        let filter = filter.map(|filter| self.condition(session, columns, filter));
        let order = options.order_by.iter();
        let order = order.map(|by| self.sort_expr(session, columns, by));
        let order = order.collect::<Result<Vec<_>>>()?;
        Ok(Compaction {
            table: Arc::clone(self.table()),
            store_url: self.store_url().clone(),
            columns: Arc::clone(columns),
            target_file_size: options.target_file_size,
            filter: filter.transpose()?,
            order: LexOrdering::new(order),
        })
    }

    /// Does it; without `commit` it only tells what would be done.
    pub(crate) async fn compact_as_planned(
        &self,
        compaction: &Compaction,
        commit: Option<CommitOptions>,
        context: &Arc<TaskContext>,
    ) -> Result<Compacted> {
        let groups = match commit {
            None => compaction.plan().await?,
            Some(commit) => {
                CommitSettings::check_may_write(context.session_config())?;
                compaction.run(commit, context).await?
            }
        };
        Ok(Compacted { groups })
    }

    fn condition(
        &self,
        session: &dyn Session,
        columns: &SchemaRef,
        filter: &Expr,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let what = "the condition of the compaction";
        let condition = self.physical(session, columns, filter, what)?;
        match condition.data_type(columns) {
            Ok(DataType::Boolean) => Ok(condition),
            Ok(other) => Err(Error::invalid(format!(
                "{what} must be true or false, and it is of the type {other}"
            ))),
            Err(error) => Err(error::of_datafusion_in(what, error)),
        }
    }

    fn sort_expr(
        &self,
        session: &dyn Session,
        columns: &SchemaRef,
        by: &SortExpr,
    ) -> Result<PhysicalSortExpr> {
        let what = "the order of the compaction";
        if by.expr.column_refs().is_empty() {
            return Err(Error::invalid(format!(
                "{what} is one of columns, by their names, and {} names none",
                by.expr
            )));
        }
        let expr = self.physical(session, columns, &by.expr, what)?;
        let options = SortOptions::new(!by.asc, by.nulls_first);
        Ok(PhysicalSortExpr::new(expr, options))
    }

    /// `expr` over these columns, which are all that it may use.
    fn physical(
        &self,
        session: &dyn Session,
        columns: &SchemaRef,
        expr: &Expr,
        what: &str,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let unusable = |error| {
            let what = format!("{what} cannot be used for '{}'", self.table().name());
            Error::invalid(what).with_source(error)
        };
        let schema = DFSchema::try_from(Arc::clone(columns)).map_err(unusable)?;
        if expr.is_volatile() {
            return Err(Error::invalid(format!(
                "{what} must give the same whenever it is asked for a row: it can have no function such as random()"
            )));
        }
        if !is_of_one_row(expr) {
            return Err(Error::invalid(format!(
                "{what} is one of single rows: it can have no aggregate, no window and no subquery"
            )));
        }
        let planned = session.create_physical_expr(expr.clone(), &schema);
        planned.map_err(unusable)
    }
}

/// True if `expr` has a value for each row, whatever the others are.
fn is_of_one_row(expr: &Expr) -> bool {
    let mut is_of_one_row = true;
    let looked = expr.apply(|expr| {
        is_of_one_row &= !matches!(
            expr,
            Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
                | Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
        );
        Ok(TreeNodeRecursion::Continue)
    });
    is_of_one_row && looked.is_ok()
}
