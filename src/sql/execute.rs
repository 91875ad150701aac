//! Running SQL: what `SessionContext` does, and what its hooks cannot do for atio's catalogs.
//!
//! The engine collects the rows of CREATE TABLE .. AS in memory, removes the old table of CREATE OR
//! REPLACE before it knows the new rows, and has one error for all of DROP TABLE. Here these
//! statements go past its hooks; all others go to it.

use std::collections::VecDeque;

use datafusion::common::{TableReference, not_impl_err, plan_datafusion_err};
use datafusion::dataframe::DataFrame;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::{
    CreateMemoryTable, DdlStatement, DropTable, EmptyRelation, LogicalPlan, LogicalPlanBuilder,
    Statement as PlanStatement, WriteOp,
};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::dialect::dialect_from_str;

use super::hints::with_hint;
use super::namespace::{AtioSchema, who_has};
use super::new_rows::NewRows;
use super::parse::parse;
use super::register::check_registered;
use crate::dml::without_version;
use crate::error::{Error, ErrorKind};
use crate::settings::{CommitSettings, is_setting};

/// Runs one statement of SQL, in place of [`SessionContext::sql`], in a session that
/// [`register`](crate::register) was called on.
///
/// It does what that does, in the session's dialect, and besides:
///
/// * AS OF in every dialect, as [`parse_sql`](crate::parse_sql) reads it, and `DELETE` too, unless it
///   was prepared;
/// * `CREATE TABLE .. AS` in an [`AtioCatalog`](crate::AtioCatalog) writes rows as they come, so it
///   takes no more memory than an `INSERT`, and keeps to the session's limit. It carries what is
///   set for the next commit in `ctx`;
/// * `CREATE OR REPLACE TABLE` there runs its query first. The new rows, and columns if they are
///   others, are the table's next version: if anything fails the old table is what it was, and its
///   older versions and tags stay;
/// * `DROP TABLE` there tells what went wrong;
/// * `RESET atio.message` and its like take a setting of atio back;
/// * the error of a statement that other table formats have, such as `OPTIMIZE t`, says what atio has in
///   its place.
///
/// As there, a query runs when its rows are asked for, and statements like these at once.
///
/// ```
/// use datafusion::prelude::SessionContext;
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let warehouse = directory.path().to_str().unwrap_or_default();
/// let ctx = SessionContext::new();
/// atio::register(&ctx)?;
/// ctx.register_catalog("lake", Arc::new(atio::AtioCatalog::open(&ctx, warehouse)?));
///
/// atio::sql(&ctx, "CREATE TABLE lake.public.sales AS SELECT 'tea' AS item, 2.5 AS price").await?;
/// atio::sql(&ctx, "CREATE OR REPLACE TABLE lake.public.sales AS SELECT 'tea' AS item").await?;
///
/// let before = atio::sql(&ctx, "SELECT * FROM lake.public.sales VERSION AS OF 1").await?;
/// assert_eq!(before.schema().fields().len(), 2);
/// atio::sql(&ctx, "DROP TABLE lake.public.sales").await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Those of [`SessionContext::sql`] and of the table;
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if atio is not registered in the session.
pub async fn sql(ctx: &SessionContext, text: &str) -> Result<DataFrame> {
    sql_with_options(ctx, text, SQLOptions::new()).await
}

/// Does what [`sql`] does, if `options` allow the statement: in place of
/// [`SessionContext::sql_with_options`].
///
/// ```
/// use datafusion::execution::context::SQLOptions;
/// # use datafusion::prelude::SessionContext;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ctx = SessionContext::new();
/// # atio::register(&ctx)?;
/// let queries = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false);
/// assert_eq!(atio::sql_with_options(&ctx, "SELECT 1", queries).await?.count().await?, 1);
/// assert!(atio::sql_with_options(&ctx, "DROP TABLE t", queries).await.is_err());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Those of [`sql`], and if the statement is not allowed.
pub async fn sql_with_options(
    ctx: &SessionContext,
    text: &str,
    options: SQLOptions,
) -> Result<DataFrame> {
    check_registered(ctx)?;
    let state = ctx.state();
    let mut statements = statements(&state, text)?;
    let (Some(statement), true) = (statements.pop_front(), statements.is_empty()) else {
        return not_impl_err!("one SQL statement at a time is run, neither none nor several");
    };
    let plan = state.statement_to_plan(statement).await;
    let plan = plan.map_err(|error| with_hint(text, error))?;
    options.verify_plan(&plan)?;
    match deletes(&plan) {
        true => Ok(delete_as_seen(ctx, plan)),
        false => execute_logical_plan(ctx, plan).await,
    }
}

/// The frame of a `DELETE` whose text was seen by [`parse_sql`](crate::parse_sql).
///
/// In dialects in which the engine would pass over a part of one it is refused otherwise.
#[doc(hidden)]
pub fn delete_as_seen(ctx: &SessionContext, plan: LogicalPlan) -> DataFrame {
    DataFrame::new(without_version(ctx.state()), plan)
}

/// True for a `DELETE`, also one that is explained.
#[doc(hidden)]
pub fn deletes(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Dml(dml) => matches!(dml.op, WriteOp::Delete),
        LogicalPlan::Explain(explain) => deletes(&explain.plan),
        LogicalPlan::Analyze(analyze) => deletes(&analyze.input),
        _ => false,
    }
}

/// The statements of a text in the session's dialect.
fn statements(state: &SessionState, text: &str) -> Result<VecDeque<Statement>> {
    let settings = &state.config_options().sql_parser;
    let name = &settings.dialect;
    let dialect = dialect_from_str(name)
        .ok_or_else(|| plan_datafusion_err!("there is no dialect '{name}'"))?;
    parse(text, dialect.as_ref(), settings.recursion_limit.get())
}

/// Runs a statement that is planned already, in place of
/// [`SessionContext::execute_logical_plan`]: the second half of [`sql`], for hosts that look at
/// plans before they run them.
///
/// ```
/// use datafusion::sql::sqlparser::dialect::GenericDialect;
/// # use datafusion::prelude::SessionContext;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ctx = SessionContext::new();
/// # atio::register(&ctx)?;
/// for statement in atio::parse_sql("SELECT 1; SELECT 2", &GenericDialect {})? {
///     let plan = ctx.state().statement_to_plan(statement).await?;
///     atio::execute_logical_plan(&ctx, plan).await?.show().await?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Those of [`SessionContext::execute_logical_plan`] and of the table.
pub async fn execute_logical_plan(ctx: &SessionContext, plan: LogicalPlan) -> Result<DataFrame> {
    match &plan {
        LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(create)) if !create.temporary => {
            if let Some((schema, table)) = of_catalog(ctx, &create.name).await {
                CommitSettings::check_may_write(ctx.state().config())?;
                Box::pin(create_table(ctx, &schema, &table, create)).await?;
                return nothing(ctx);
            }
        }
        LogicalPlan::Ddl(DdlStatement::DropTable(drop)) => {
            if let Some((schema, table)) = of_catalog(ctx, &drop.name).await {
                CommitSettings::check_may_write(ctx.state().config())?;
                drop_table(&schema, &table, drop).await?;
                return nothing(ctx);
            }
        }
        LogicalPlan::Statement(PlanStatement::ResetVariable(reset))
            if is_setting(&reset.variable) =>
        {
            // An empty value takes it back.
            let state = ctx.state_ref();
            let mut state = state.write();
            (state.config_mut().options_mut()).set(&reset.variable, "")?;
            drop(state);
            return nothing(ctx);
        }
        _ => {}
    }
    ctx.execute_logical_plan(plan).await
}

/// The schema of atio that a name is in, whatever wraps its catalog, and the last part of the name.
async fn of_catalog(ctx: &SessionContext, name: &TableReference) -> Option<(AtioSchema, String)> {
    let state = ctx.state();
    let defaults = &state.config_options().catalog;
    let name = (name.clone()).resolve(&defaults.default_catalog, &defaults.default_schema);
    let catalog = state.catalog_list().catalog(&name.catalog);
    let schema = catalog?.schema(&name.schema)?;
    let schema = who_has(schema.as_ref(), &name.table).await?;
    Some((schema, name.table.to_string()))
}

async fn create_table(
    ctx: &SessionContext,
    schema: &AtioSchema,
    table: &str,
    create: &CreateMemoryTable,
) -> Result<()> {
    NewRows::check_stored(
        table,
        !create.constraints.is_empty(),
        !create.column_defaults.is_empty(),
    )?;
    if create.if_not_exists && create.or_replace {
        return Err(Error::invalid("'IF NOT EXISTS' cannot coexist with 'REPLACE'").into());
    }
    let state = ctx.state();
    let declared = matches!(
        create.input.as_ref(),
        LogicalPlan::EmptyRelation(EmptyRelation {
            produce_one_row: false,
            ..
        })
    );
    let plan = state.optimize(&create.input)?;
    let columns = plan.schema().inner().clone();
    let rows = NewRows::query(columns, declared, DataFrame::new(state, plan));
    let made = match create.or_replace {
        true => schema.replace_table(table, rows).await,
        false => schema.create_table(table, rows).await,
    };
    match made {
        Err(error) if create.if_not_exists && error.kind() == ErrorKind::TableExists => Ok(()),
        made => Ok(made?),
    }
}

async fn drop_table(schema: &AtioSchema, table: &str, drop: &DropTable) -> Result<()> {
    match schema.drop_table(table).await {
        Err(error) if drop.if_exists && error.kind() == ErrorKind::TableNotFound => Ok(()),
        dropped => Ok(dropped.map(|_| ())?),
    }
}

/// What a statement gives that has no rows.
fn nothing(ctx: &SessionContext) -> Result<DataFrame> {
    let plan = LogicalPlanBuilder::empty(false).build()?;
    Ok(DataFrame::new(ctx.state(), plan))
}
