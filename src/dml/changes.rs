//! Changing the rows of a table from Rust: what DELETE, UPDATE and TRUNCATE do.

use std::sync::Arc;

use atio_core::format::Version;
use atio_core::log::CommitOptions;
use datafusion::arrow::datatypes::Schema;
use datafusion::common::{DFSchema, Result, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr_rewriter::normalize_col_with_schemas_and_ambiguity_check;
use datafusion::logical_expr::{
    DmlStatement, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, WriteOp,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::prelude::SessionContext;

use super::rule::{RowChanges, without_version};
use crate::error::{Error, Result as AtioResult};
use crate::table::{AtioTable, PinVersions, no_column};

/// What a change of rows came to.
///
/// ```
/// fn show(changed: &atio::RowsChanged) -> String {
///     match changed.version {
///         Some(version) => format!("{} updated, {} inserted in version {version}", changed.updated, changed.inserted),
///         None => "nothing to change".to_owned(),
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RowsChanged {
    /// The rows that were added.
    pub inserted: u64,
    /// The rows that were written anew, be their values other ones or not.
    pub updated: u64,
    /// The rows that are gone.
    pub deleted: u64,
    /// The version without and with them. None if none was made: no row was to be changed, or the
    /// work was done before under the same key.
    pub version: Option<Version>,
}

impl AtioTable {
    /// Removes the rows for which `condition` is true, as one version: `lit(true)` for all. What
    /// `DELETE` is in SQL; by statistics it passes over files as that does.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let stock = directory.path().join("stock");
    /// # let location = stock.to_str().unwrap_or_default();
    /// use atio::{AtioTable, CommitOptions, CreateOptions};
    /// use datafusion::prelude::{col, lit};
    ///
    /// # let ctx = SessionContext::new();
    /// # let rows = ctx.sql("SELECT * FROM (VALUES ('tea', 10), ('milk', 0)) AS v(item, pieces)").await?;
    /// # let table = AtioTable::create(&ctx, location, rows.schema().as_arrow(), CreateOptions::default()).await?;
    /// # table.append(rows, CommitOptions::default()).await?;
    /// let changed = table.delete(&ctx, col("pieces").eq(lit(0)), CommitOptions::default()).await?;
    /// assert_eq!((changed.deleted, changed.version.map(|version| version.get())), (1, Some(2)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the condition or an option cannot be
    /// used, or if this is an old version; [`NotAllowed`](crate::ErrorKind::NotAllowed) if the
    /// session's policy forbids it; [`CheckFailed`](crate::ErrorKind::CheckFailed) if a check of the
    /// options does not hold; [`Conflict`](crate::ErrorKind::Conflict) if another writer changes rows
    /// that it read, and the options ask for no [retries](CommitOptions::retries) or all are used up;
    /// [`SchemaChanged`](crate::ErrorKind::SchemaChanged),
    /// [`TableNotFound`](crate::ErrorKind::TableNotFound),
    /// [`CommitUnknown`](crate::ErrorKind::CommitUnknown) and
    /// [`CommitNotDurable`](crate::ErrorKind::CommitNotDurable) as by [`append`](Self::append).
    pub async fn delete(
        &self,
        ctx: &SessionContext,
        condition: Expr,
        commit: CommitOptions,
    ) -> AtioResult<RowsChanged> {
        self.columns_to_write().await?;
        let state = without_version(ctx.state());
        let input = self.rows_where(condition);
        let plan = input.and_then(|input| self.changing(WriteOp::Delete, input.build()?));
        run(self, state, plan, commit).await
    }

    /// Gives columns new values in the rows for which `condition` is true, as one version: `lit(true)`
    /// for all. What `UPDATE` is in SQL: each value is computed from those of the row as it was, and
    /// cast to the type of its column.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let stock = directory.path().join("stock");
    /// # let location = stock.to_str().unwrap_or_default();
    /// use atio::{AtioTable, CommitOptions, CreateOptions};
    /// use datafusion::prelude::{col, lit};
    ///
    /// # let ctx = SessionContext::new();
    /// # let rows = ctx.sql("SELECT * FROM (VALUES ('tea', 10), ('milk', 0)) AS v(item, pieces)").await?;
    /// # let table = AtioTable::create(&ctx, location, rows.schema().as_arrow(), CreateOptions::default()).await?;
    /// # table.append(rows, CommitOptions::default()).await?;
    /// let sold = [("pieces", col("pieces") - lit(1))];
    /// let changed = table.update(&ctx, col("item").eq(lit("tea")), sold, CommitOptions::default()).await?;
    /// assert_eq!(changed.updated, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`delete`](Self::delete), and [`InvalidInput`](crate::ErrorKind::InvalidInput) if a
    /// column does not exist, is given twice, or is NOT NULL and a row would hold NULL there.
    pub async fn update<C: Into<String>>(
        &self,
        ctx: &SessionContext,
        condition: Expr,
        assignments: impl IntoIterator<Item = (C, Expr)>,
        commit: CommitOptions,
    ) -> AtioResult<RowsChanged> {
        let columns = self.columns_to_write().await?;
        let assignments = named(assignments);
        check_assigned(self, &columns, &assignments)?;
        let plan = self.updating(&columns, condition, &assignments);
        run(self, ctx.state(), plan, commit).await
    }

    /// Removes all rows, as one version, and reads none of them. What `TRUNCATE TABLE` is in SQL.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let stock = directory.path().join("stock");
    /// # let location = stock.to_str().unwrap_or_default();
    /// use atio::{AtioTable, CommitOptions, CreateOptions};
    ///
    /// # let ctx = SessionContext::new();
    /// # let rows = ctx.sql("SELECT 'tea' AS item, 10 AS pieces").await?;
    /// # let table = AtioTable::create(&ctx, location, rows.schema().as_arrow(), CreateOptions::default()).await?;
    /// # table.append(rows, CommitOptions::default()).await?;
    /// let changed = table.truncate(&ctx, CommitOptions::default()).await?;
    /// assert_eq!(changed.deleted, 1);
    /// assert_eq!(table.read(&ctx)?.count().await?, 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`delete`](Self::delete); a [`Conflict`](crate::ErrorKind::Conflict) if anybody
    /// changes the rows meanwhile.
    pub async fn truncate(
        &self,
        ctx: &SessionContext,
        commit: CommitOptions,
    ) -> AtioResult<RowsChanged> {
        self.columns_to_write().await?;
        let nothing = LogicalPlanBuilder::empty(false).build();
        let plan = nothing.and_then(|nothing| self.changing(WriteOp::Truncate, nothing));
        run(self, ctx.state(), plan, commit).await
    }

    fn scanned_as(&self) -> TableReference {
        TableReference::bare(self.table().name())
    }

    fn rows_where(&self, condition: Expr) -> Result<LogicalPlanBuilder> {
        let source = provider_as_source(Arc::new(self.clone()));
        let rows = LogicalPlanBuilder::scan(self.scanned_as(), source, None)?;
        let condition = resolved(condition, &[rows.schema()])?;
        rows.filter(condition)
    }

    /// The statement that changes what `input` says.
    fn changing(&self, operation: WriteOp, input: LogicalPlan) -> Result<LogicalPlan> {
        let target = provider_as_source(Arc::new(self.clone()));
        let input = Arc::new(input);
        Ok(LogicalPlan::Dml(DmlStatement::new(
            self.scanned_as(),
            target,
            operation,
            input,
        )))
    }

    fn updating(
        &self,
        columns: &Schema,
        condition: Expr,
        assignments: &[(String, Expr)],
    ) -> Result<LogicalPlan> {
        let input = self.rows_where(condition)?;
        let schema = Arc::clone(input.schema());
        let values = columns.fields().iter().zip(schema.columns());
        let values = values.map(|(field, old)| {
            let new = assignments.iter().find(|(name, _)| name == field.name());
            let value = match new {
                None => Expr::Column(old),
                Some((_, new)) => {
                    let new = resolved(new.clone(), &[&schema])?;
                    new.cast_to(field.data_type(), &schema)?
                }
            };
            Ok(value.alias(field.name()))
        });
        let values = values.collect::<Result<Vec<_>>>()?;
        self.changing(WriteOp::Update, input.project(values)?.build()?)
    }
}

/// Runs a plan that changes rows of `table`, in whatever session.
pub(super) async fn run(
    table: &AtioTable,
    mut state: SessionState,
    plan: Result<LogicalPlan>,
    commit: CommitOptions,
) -> AtioResult<RowsChanged> {
    let rules = &state.analyzer().rules;
    if !rules.iter().any(|rule| rule.name() == RowChanges.name()) {
        state.add_analyzer_rule(Arc::new(PinVersions));
        state.add_analyzer_rule(Arc::new(RowChanges));
    }
    let (_, outcome) = table.run(state, plan, commit).await?;
    let counts = outcome.counts();
    Ok(RowsChanged {
        inserted: counts.inserted,
        updated: counts.updated,
        deleted: counts.deleted,
        version: outcome.version(),
    })
}

/// `expr` with the columns of these rows, which must be clear.
pub(super) fn resolved(expr: Expr, of: &[&DFSchema]) -> Result<Expr> {
    normalize_col_with_schemas_and_ambiguity_check(expr, &[of], &[])
}

/// The columns that get values, by name.
pub(super) fn named<C: Into<String>>(
    assignments: impl IntoIterator<Item = (C, Expr)>,
) -> Vec<(String, Expr)> {
    let assignments = assignments.into_iter();
    assignments
        .map(|(name, value)| (name.into(), value))
        .collect()
}

/// Fails unless there are values, each for a column that the table has, and for each only one.
pub(super) fn check_assigned(
    table: &AtioTable,
    columns: &Schema,
    assignments: &[(String, Expr)],
) -> AtioResult<()> {
    let wrong =
        |what: String| Error::invalid(format!("cannot write to {}: {what}", table.location()));
    if assignments.is_empty() {
        return Err(wrong("no column is given a value".to_owned()));
    }
    for (at, (name, _)) in assignments.iter().enumerate() {
        if columns.index_of(name).is_err() {
            return Err(no_column(name, columns, table.location()));
        }
        let mut before = assignments.iter().take(at);
        if before.any(|(before, _)| before == name) {
            let name = name.escape_debug();
            return Err(wrong(format!("column '{name}' is given two values")));
        }
    }
    Ok(())
}
