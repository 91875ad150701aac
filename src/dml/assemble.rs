//! The pieces of a query that names the rows of a table.

use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::catalog::TableProvider;
use datafusion::common::{Column, DFSchema, JoinType, Result};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::logical_plan::TableScanBuilder;
use datafusion::logical_expr::{
    DmlStatement, EmptyRelation, Expr, Filter, Limit, LogicalPlan, LogicalPlanBuilder,
    SubqueryAlias, WriteOp,
};

use crate::error::Error;
use crate::scan::{self, FILE, ROW, RowIds, is_row_id};
use crate::table::{AtioTable, ChangeTarget};

/// `plan`, whose scan also says of each row where it lies.
///
/// Above the scan there may be what the planner puts there, and what the optimizer makes of it: PREPARE
/// keeps the optimized statement.
pub(super) fn with_row_ids(plan: &LogicalPlan, row_ids: &RowIds) -> Result<LogicalPlan> {
    let below = |input: &Arc<LogicalPlan>| with_row_ids(input, row_ids).map(Arc::new);
    Ok(match plan {
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source)?;
            let table = AtioTable::downcast(provider.as_ref());
            let table = table.ok_or_else(|| unsupported(plan))?;
            table.check_writable()?;
            check_not_reserved(table)?;
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
        LogicalPlan::Projection(projection) => {
            let input = with_row_ids(&projection.input, row_ids)?;
            let mut columns = projection.expr.clone();
            columns.extend(row_id_columns(input.schema())?);
            LogicalPlanBuilder::from(input).project(columns)?.build()?
        }
        // What was a subquery: the rows of the table are on the left.
        LogicalPlan::Join(join) if keeps_left(join.join_type) => {
            let left = with_row_ids(&join.left, row_ids)?;
            let right = join.right.as_ref().clone();
            plan.with_new_exprs(plan.expressions(), vec![left, right])?
        }
        // No row meets the condition.
        LogicalPlan::EmptyRelation(empty) if !empty.produce_one_row => {
            LogicalPlan::EmptyRelation(EmptyRelation {
                produce_one_row: false,
                schema: Arc::new(schema_with_row_ids(&empty.schema)?),
            })
        }
        _ => return Err(unsupported(plan).into()),
    })
}

fn keeps_left(join: JoinType) -> bool {
    use JoinType::{Inner, Left, LeftAnti, LeftMark, LeftSemi};
    matches!(join, LeftSemi | LeftAnti | LeftMark | Left | Inner)
}

fn schema_with_row_ids(schema: &DFSchema) -> Result<DFSchema> {
    let columns = schema.iter();
    let columns = columns.map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field)));
    let ids = scan::with_row_ids(&Schema::empty());
    let ids = ids.fields().iter().map(|field| (None, Arc::clone(field)));
    DFSchema::new_with_metadata(columns.chain(ids).collect(), schema.metadata().clone())
}

/// Fails where a column has a name by which the scan says where a row lies.
fn check_not_reserved(table: &AtioTable) -> Result<()> {
    let schema = table.schema();
    match schema.fields().iter().find(|field| is_row_id(field.name())) {
        None => Ok(()),
        Some(field) => Err(Error::unsupported(format!(
            "rows of '{}' cannot be changed: its column '{}' has a name that this needs for itself",
            table.location(),
            field.name()
        ))
        .into()),
    }
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
