//! The pieces of a query that names the rows of a table.

use std::sync::Arc;

use datafusion::common::{Column, DFSchema, Result};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::logical_plan::TableScanBuilder;
use datafusion::logical_expr::{
    DmlStatement, Expr, Filter, Limit, LogicalPlan, LogicalPlanBuilder, SubqueryAlias, WriteOp,
};

use super::target::ChangeTarget;
use crate::error::Error;
use crate::scan::{FILE, ROW, RowIds};
use crate::table::AtioTable;

/// `plan`, whose scan also says of each row where it lies.
///
/// Only nodes that hand rows on as they are may be above the scan.
pub(super) fn with_row_ids(plan: &LogicalPlan, row_ids: &RowIds) -> Result<LogicalPlan> {
    let below = |input: &Arc<LogicalPlan>| with_row_ids(input, row_ids).map(Arc::new);
    Ok(match plan {
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source)?;
            let table = AtioTable::downcast(provider.as_ref());
            let table = table.ok_or_else(|| unsupported(plan))?;
            table.check_writable()?;
            let source = provider_as_source(Arc::new(table.with_row_ids(row_ids.clone())));
            let scan = TableScanBuilder::new(scan.table_name.clone(), source)
                .with_filters(scan.filters.clone())
                .with_fetch(scan.fetch);
            LogicalPlan::TableScan(scan.build()?)
        }
        LogicalPlan::Filter(filter) => {
            let input = below(&filter.input)?;
            LogicalPlan::Filter(Filter::try_new(filter.predicate.clone(), input)?)
        }
        LogicalPlan::Limit(limit) => LogicalPlan::Limit(Limit {
            input: below(&limit.input)?,
            ..limit.clone()
        }),
        LogicalPlan::SubqueryAlias(alias) => {
            let input = below(&alias.input)?;
            LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(input, alias.alias.clone())?)
        }
        _ => return Err(unsupported(plan).into()),
    })
}

fn unsupported(plan: &LogicalPlan) -> Error {
    Error::unsupported(format!(
        "rows of an atio table cannot be changed through '{}': name one table",
        plan.display()
    ))
}

/// The columns that say where a row lies.
pub(super) fn row_id_columns(schema: &DFSchema) -> Result<Vec<Expr>> {
    let column = |name| {
        let (qualifier, field) = schema.qualified_field_with_unqualified_name(name)?;
        Ok(Expr::Column(Column::from((qualifier, field))))
    };
    [FILE, ROW].into_iter().map(column).collect()
}

/// The statement that hands `values` of each row of `input`, and where it lies, to `target`.
pub(super) fn insert(
    dml: &DmlStatement,
    target: ChangeTarget,
    input: LogicalPlan,
    values: Vec<Expr>,
) -> Result<LogicalPlan> {
    let mut columns = values;
    columns.extend(row_id_columns(input.schema())?);
    let input = LogicalPlanBuilder::from(input).project(columns)?.build()?;
    Ok(statement(dml, target, input))
}

/// The statement that hands the rows of `input` to `target`.
pub(super) fn statement(
    dml: &DmlStatement,
    target: ChangeTarget,
    input: LogicalPlan,
) -> LogicalPlan {
    LogicalPlan::Dml(DmlStatement::new(
        dml.table_name.clone(),
        provider_as_source(Arc::new(target)),
        WriteOp::Insert(InsertOp::Append),
        Arc::new(input),
    ))
}
