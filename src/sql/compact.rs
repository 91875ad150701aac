//! `atio_compact`: its arguments, of which two are SQL.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, TableReference, plan_datafusion_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, SortExpr};
use datafusion::prelude::SessionContext;
use datafusion::sql::planner::NullOrdering;
use datafusion::sql::sqlparser::ast::ExprWithAlias;

use super::arguments::Arguments;
use super::function::Function;
use super::list::parse_list;
use crate::error::{Error, Result as AtioResult};
use crate::function_table::provider;
use crate::settings::CommitSettings;
use crate::table::{AtioTable, CompactOptions, Compacted, batches};

/// The groups of files that a call compacts, or would compact.
pub(super) fn compact(
    table: &AtioTable,
    arguments: &Arguments,
    state: &SessionState,
) -> Result<Arc<dyn TableProvider>> {
    table.check_whole(Function::Compact.name())?;
    let columns = TableProvider::schema(table);
    let target_file_size = match arguments.has("target_file_size") {
        true => Some(arguments.count("target_file_size", 1)?),
        false => None,
    };
    let (condition, order) = (arguments.text("where")?, arguments.text("order_by")?);
    let options = CompactOptions {
        target_file_size,
        dry_run: arguments.flag("dry_run", true)?,
        ..options_of(state, &columns, arguments.table()?, condition, order)?
    };
    let compaction = Arc::new(table.compaction(state, &columns, &options)?);
    let (table, rows) = (table.clone(), batches::compacted(&Compacted::default())?);
    let dry_run = options.dry_run;
    provider(
        Function::Compact.call(arguments)?,
        rows.schema(),
        move |context| {
            let (table, compaction) = (table.clone(), Arc::clone(&compaction));
            Box::pin(async move {
                let commit = match dry_run {
                    true => None,
                    false => Some(CommitSettings::take(context.session_config())?),
                };
                let compacted = table.compact_as_planned(&compaction, commit, &context);
                batches::compacted(&compacted.await?)
            })
        },
    )
}

/// The options of a compaction of `table` whose condition and order a person wrote as SQL.
///
/// # Errors
///
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if they cannot be read, or name a column that the
/// table has not.
#[doc(hidden)]
pub fn compact_options(
    ctx: &SessionContext,
    table: &AtioTable,
    condition: Option<&str>,
    order_by: Option<&str>,
) -> AtioResult<CompactOptions> {
    options_of(
        &ctx.state(),
        &TableProvider::schema(table),
        table.table().name(),
        condition,
        order_by,
    )
}

fn options_of(
    state: &SessionState,
    columns: &SchemaRef,
    table: &str,
    condition: Option<&str>,
    order_by: Option<&str>,
) -> AtioResult<CompactOptions> {
    let columns = Columns::of(columns, table).map_err(|error| {
        Error::invalid("the columns of the table cannot be named").with_source(error)
    })?;
    let filter = condition.map(|text| condition_of(state, &columns, text));
    let order = order_by.map(|text| order_of(state, &columns, text));
    Ok(CompactOptions {
        filter: filter.transpose()?,
        order_by: order.transpose()?.unwrap_or_default(),
        ..CompactOptions::default()
    })
}

/// The columns of the table, as expressions may name them.
struct Columns {
    bare: DFSchema,
    /// With the name of the table before each.
    qualified: DFSchema,
}

impl Columns {
    fn of(columns: &SchemaRef, table: &str) -> Result<Self> {
        let name = TableReference::parse_str(table);
        Ok(Self {
            bare: DFSchema::try_from(Arc::clone(columns))?,
            qualified: DFSchema::try_from_qualified_schema(
                TableReference::bare(name.table()),
                columns,
            )?,
        })
    }

    /// What `plan` makes of the columns, by their names alone.
    fn planned(&self, plan: impl Fn(&DFSchema) -> Result<Expr>) -> Result<Expr> {
        plan(&self.bare).or_else(|error| match plan(&self.qualified) {
            Ok(expr) => bare(expr),
            Err(_) => Err(error),
        })
    }
}

fn bare(expr: Expr) -> Result<Expr> {
    let bare = expr.transform(|expr| {
        Ok(match expr {
            Expr::Column(column) => {
                Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))
            }
            expr => Transformed::no(expr),
        })
    });
    Ok(bare?.data)
}

fn condition_of(state: &SessionState, columns: &Columns, text: &str) -> AtioResult<Expr> {
    let condition = columns.planned(|schema| state.create_logical_expr(text, schema));
    condition.map_err(|error| {
        wrong(
            "where",
            "a condition over the columns of the table",
            text,
            error,
        )
    })
}

/// The expressions of a text such as `day, price DESC NULLS LAST`.
fn order_of(state: &SessionState, columns: &Columns, text: &str) -> AtioResult<Vec<SortExpr>> {
    let wrong = |error| wrong("order_by", "a list of columns of the table", text, error);
    let parsed = parse_list(state, text, |parser| parser.parse_order_by_expr()).map_err(wrong)?;
    let settings = &state.config_options().sql_parser;
    let nulls = NullOrdering::from(settings.default_null_ordering.as_str());
    let order = parsed.into_iter().map(|by| {
        if let Some(fill) = by.with_fill {
            return Err(plan_datafusion_err!(
                "no rows can be filled in, as {fill} asks for"
            ));
        }
        let expr = by.expr;
        let expr = columns.planned(|schema| {
            let (expr, alias) = (expr.clone(), None);
            let expr = ExprWithAlias { expr, alias };
            state.create_logical_expr_from_sql_expr(expr, schema)
        })?;
        let ascending = by.options.asc.unwrap_or(true);
        let nulls_first = by.options.nulls_first;
        let nulls_first = nulls_first.unwrap_or_else(|| nulls.nulls_first(ascending));
        Ok(expr.sort(ascending, nulls_first))
    });
    order.collect::<Result<Vec<_>>>().map_err(wrong)
}

fn wrong(argument: &str, needed: &str, text: &str, error: DataFusionError) -> Error {
    let function = Function::Compact.name();
    Error::invalid(format!(
        "{function}: {argument} must be {needed}, not '{}'",
        text.escape_debug()
    ))
    .with_source(error)
}
