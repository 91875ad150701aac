//! The engine's dynamic filters that lose rows.
//!
//! While a plan runs, operators above a scan hand it what they have learned: a TopK its worst
//! row, a join the keys of its build side, a `min` the least value so far. DataFusion 55.2 has two
//! kinds that are wrong, over plain Parquet too:
//!
//! * An aggregate without groups builds one filter from its `min` and `max` of plain columns. Of
//!   `min(a), max(b)` it forgets `a` as long as all of it was NULL, and of `min(a), min(0 - a)`
//!   it never knew the second.
//! * `-0.0` and `0.0` are equal in a join and in `WHERE`, and two values in a list of keys and to
//!   `min` and `max`: a filter over a floating-point column loses the one for the other.
//!
//! A scan declines these and follows all others. No setting of the session changes.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ColumnStatistics, Result, ScalarValue, Statistics};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, WriteOp};
use datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr};
use datafusion::physical_plan::PhysicalExpr;

/// What a statement does above its scans, as far as it makes filters that lose rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Above {
    /// An aggregate computes several minima or maxima over all rows.
    several_extremes: bool,
    /// Something tells a zero from one of the other sign, or takes them for equal where their bits
    /// count: a join, a minimum or maximum over all rows. `ORDER BY .. LIMIT` does not: over several
    /// batches the engine's TopK gives either of them.
    compares_zeros: bool,
}

impl Above {
    /// What a scan must reckon with where nobody has looked.
    pub(crate) const UNKNOWN: Self = Self {
        several_extremes: true,
        compares_zeros: true,
    };

    /// Looks at a whole statement. A node that is not the engine's may do what it likes.
    pub(crate) fn of(plan: &LogicalPlan) -> Result<Self> {
        let mut above = Self {
            several_extremes: false,
            compares_zeros: false,
        };
        plan.apply_with_subqueries(|node| {
            match node {
                LogicalPlan::Aggregate(aggregate) if is_over_all_rows(aggregate) => {
                    let extremes = extremes(aggregate);
                    above.several_extremes |= extremes > 1;
                    above.compares_zeros |= extremes > 0;
                }
                // Subqueries become joins.
                LogicalPlan::Join(_) | LogicalPlan::Subquery(_) => above.compares_zeros = true,
                // It becomes one.
                LogicalPlan::Dml(dml) if matches!(dml.op, WriteOp::MergeInto(_)) => {
                    above.compares_zeros = true;
                }
                LogicalPlan::Extension(_) => above = Self::UNKNOWN,
                _ => {}
            }
            Ok(match above == Self::UNKNOWN {
                true => TreeNodeRecursion::Stop,
                false => TreeNodeRecursion::Continue,
            })
        })?;
        Ok(above)
    }
}

/// Groups of constants count as none: an optimizer may take them away.
fn is_over_all_rows(aggregate: &Aggregate) -> bool {
    aggregate
        .group_expr
        .iter()
        .all(|group| group.column_refs().is_empty())
}

fn extremes(aggregate: &Aggregate) -> usize {
    // By the names that the engine goes by.
    let is_extreme = |expr: &&Expr| match (*expr).clone().unalias() {
        Expr::AggregateFunction(function) => {
            let name = function.func.name();
            name.eq_ignore_ascii_case("min") || name.eq_ignore_ascii_case("max")
        }
        _ => true,
    };
    aggregate.aggr_expr.iter().filter(is_extreme).count()
}

/// What a scan knows of the filters that it may follow.
#[derive(Debug)]
pub(super) struct DynamicFilters {
    above: Above,
    /// The columns of the table.
    schema: SchemaRef,
    /// Of each column, whether it may hold a zero of either sign.
    zeros: Vec<bool>,
}

impl DynamicFilters {
    /// Those of a scan of files of a table with `schema`, which together have `statistics`.
    pub(super) fn new(above: Above, schema: SchemaRef, statistics: &Statistics) -> Self {
        let columns = statistics.column_statistics.iter();
        Self {
            above,
            schema,
            zeros: columns.map(may_hold_zero).collect(),
        }
    }

    /// True if a scan that follows `filter`, which names columns of the table, may lose rows.
    pub(super) fn lose_rows(&self, filter: &Arc<dyn PhysicalExpr>) -> Result<bool> {
        let mut loses = false;
        filter.apply(|node| {
            if let Some(dynamic) = node.downcast_ref::<DynamicFilterPhysicalExpr>() {
                let Above {
                    several_extremes,
                    compares_zeros,
                } = self.above;
                loses = several_extremes || compares_zeros && self.meet_zero(dynamic)?;
            }
            Ok(match loses {
                true => TreeNodeRecursion::Stop,
                false => TreeNodeRecursion::Continue,
            })
        })?;
        Ok(loses)
    }

    fn meet_zero(&self, dynamic: &DynamicFilterPhysicalExpr) -> Result<bool> {
        let mut meets = false;
        for child in dynamic.children() {
            child.apply(|node| {
                // A column that is not the table's, as the number of a row, has no type here.
                let data_type = node.data_type(&self.schema);
                let is_float = data_type.map_or(true, |data_type| holds_float(&data_type));
                let column = node.downcast_ref::<Column>();
                let at = column.and_then(|column| self.schema.index_of(column.name()).ok());
                meets |= is_float && at.is_none_or(|at| self.zeros[at]);
                Ok(match meets {
                    true => TreeNodeRecursion::Stop,
                    false => TreeNodeRecursion::Continue,
                })
            })?;
        }
        Ok(meets)
    }
}

/// False if all numbers of a column are known to be above zero, or all below.
fn may_hold_zero(column: &ColumnStatistics) -> bool {
    let number = |bound: &Precision<ScalarValue>| match bound
        .get_value()?
        .cast_to(&DataType::Float64)
        .ok()?
    {
        ScalarValue::Float64(number) => number,
        _ => None,
    };
    let is_above = number(&column.min_value).is_some_and(|min| min > 0.0);
    let is_below = number(&column.max_value).is_some_and(|max| max < 0.0);
    !(is_above || is_below)
}

/// True for floating-point types and those that hold them.
pub(super) fn holds_float(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => holds_float(values),
        DataType::RunEndEncoded(_, values) => holds_float(values.data_type()),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => holds_float(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| holds_float(field.data_type())),
        DataType::Union(fields, _) => fields
            .iter()
            .any(|(_, field)| holds_float(field.data_type())),
        data_type => data_type.is_floating(),
    }
}
