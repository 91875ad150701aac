//! By which values a MERGE matches the rows of its source and of the table, as its plan says.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, NullEquality, Result};
use datafusion::logical_expr::Volatility;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::update_expr;
use datafusion::physical_expr::{HigherOrderFunctionExpr, ScalarFunctionExpr};
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::utils::JoinOnRef;
use datafusion::physical_plan::joins::{HashJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use crate::estimate::expected_rows;
use crate::scan::{Keys, MOST_KEYS, ROW, SourceKeysExec, is_known_key};

/// The plan of a MERGE, which remembers the keys of its source while it runs, and the values of a row of
/// the table that are its key. The plan as it is, and None, where a row of the table may change that has
/// the key of no row of the source, or where nobody knows.
pub(super) fn with_source_keys(
    plan: Arc<dyn ExecutionPlan>,
) -> Result<(Arc<dyn ExecutionPlan>, Option<Keys>)> {
    let mut of_table = None;
    // The first join below, as for `within_memory`.
    let plan = plan.transform_down(|node| {
        let next = match node.children().len() {
            1 => TreeNodeRecursion::Continue,
            _ => TreeNodeRecursion::Stop,
        };
        let Some(matched) = matched(&node) else {
            return Ok(Transformed::new(node, false, next));
        };
        let stop = TreeNodeRecursion::Stop;
        let mut sides: Vec<_> = node.children().into_iter().cloned().collect();
        let source = Arc::clone(&sides[matched.source]);
        sides[matched.source] = Arc::new(SourceKeysExec::new(source, matched.of_source));
        of_table = Some(matched.of_table);
        let joined = replace_children_if_necessary(Arc::clone(&node), sides)?;
        Ok(Transformed::new(joined, true, stop))
    })?;
    Ok((plan.data, of_table))
}

/// How a join matches a table and a source.
struct Matched {
    /// Which of its children is the source.
    source: usize,
    of_source: Keys,
    /// Over the columns of the table.
    of_table: Keys,
}

/// A join, whatever it does to find rows.
struct Join<'a> {
    sides: [&'a Arc<dyn ExecutionPlan>; 2],
    on: JoinOnRef<'a>,
    join_type: JoinType,
    null_equality: NullEquality,
}

impl<'a> Join<'a> {
    fn of(node: &'a Arc<dyn ExecutionPlan>) -> Option<Self> {
        if let Some(join) = node.downcast_ref::<HashJoinExec>() {
            return Some(Self {
                sides: [join.left(), join.right()],
                on: join.on(),
                join_type: *join.join_type(),
                null_equality: join.null_equality(),
            });
        }
        let join = node.downcast_ref::<SortMergeJoinExec>()?;
        Some(Self {
            sides: [join.left(), join.right()],
            on: join.on(),
            join_type: join.join_type(),
            null_equality: join.null_equality(),
        })
    }
}

/// None for what is no such join, and for one of which rows of the table come out that match none.
fn matched(node: &Arc<dyn ExecutionPlan>) -> Option<Matched> {
    let join = Join::of(node)?;
    let has_rows = |side: &Arc<dyn ExecutionPlan>| side.schema().index_of(ROW).is_ok();
    let source = match (join.sides.map(has_rows), join.join_type) {
        ([false, true], JoinType::Inner | JoinType::Left) => 0,
        ([true, false], JoinType::Inner | JoinType::Right) => 1,
        _ => return None,
    };
    let (source_side, table_side) = (join.sides[source], join.sides[1 - source]);
    // More than can be remembered.
    let rows = expected_rows(source_side.as_ref());
    if join.on.is_empty() || rows.is_some_and(|rows| rows > MOST_KEYS as u64) {
        return None;
    }
    let (mut of_source, mut of_table) = (Vec::new(), Vec::new());
    for (left, right) in join.on {
        let (of_one, of_other) = match source {
            0 => (left, right),
            _ => (right, left),
        };
        let data_type = of_one.data_type(&source_side.schema()).ok()?;
        let same = of_other.data_type(&table_side.schema()).ok()? == data_type;
        if !same || !is_known_key(&data_type) || !is_fixed(of_one) || !is_fixed(of_other) {
            return None;
        }
        of_source.push(Arc::clone(of_one));
        of_table.push(of_scan(Arc::clone(of_other), table_side)?);
    }
    let nulls_match = join.null_equality == NullEquality::NullEqualsNull;
    let keys = |values| Keys {
        values,
        nulls_match,
    };
    Some(Matched {
        source,
        of_source: keys(of_source),
        of_table: keys(of_table),
    })
}

/// The same value over the columns of the scan below `plan`, between which there is nothing that looks
/// at more than one row.
fn of_scan(
    value: Arc<dyn PhysicalExpr>,
    plan: &Arc<dyn ExecutionPlan>,
) -> Option<Arc<dyn PhysicalExpr>> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let value = update_expr(&value, projection.expr(), true).ok()??;
        return of_scan(value, projection.input());
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let value = match filter.projection() {
            Some(columns) => of_columns(value, columns, filter.input())?,
            None => value,
        };
        return of_scan(value, filter.input());
    }
    (plan.children().is_empty() && is_fixed(&value)).then_some(value)
}

/// The same value where the columns are those of `plan` at these places.
fn of_columns(
    value: Arc<dyn PhysicalExpr>,
    columns: &[usize],
    plan: &Arc<dyn ExecutionPlan>,
) -> Option<Arc<dyn PhysicalExpr>> {
    let schema = plan.schema();
    let value = value.transform_up(|value| {
        let Some(column) = value.downcast_ref::<Column>() else {
            return Ok(Transformed::no(value));
        };
        let at = columns.get(column.index()).copied().unwrap_or(usize::MAX);
        let field = schema.fields().get(at).map(|field| field.name());
        match field {
            Some(name) => Ok(Transformed::yes(Arc::new(Column::new(name, at)))),
            None => datafusion::common::internal_err!("a column that is not there"),
        }
    });
    value.ok().map(|value| value.data)
}

/// True if the row alone decides what the value is, whenever it is computed.
fn is_fixed(value: &Arc<dyn PhysicalExpr>) -> bool {
    let changes = value.exists(|value| {
        let function = value.downcast_ref::<ScalarFunctionExpr>();
        let changes = function
            .is_some_and(|function| function.fun().signature().volatility != Volatility::Immutable);
        Ok(changes || value.is::<HigherOrderFunctionExpr>() || value.is_volatile_node())
    });
    matches!(changes, Ok(false))
}
