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

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr};
use datafusion::physical_plan::PhysicalExpr;
use std::sync::Arc;

/// What a statement does above its scans, as far as it makes filters that lose rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Above {
    /// An aggregate computes several minima or maxima over all rows.
    several_extremes: bool,
    /// Something tells a zero from one of the other sign, or takes them for equal where their bits
    /// count: a join, a minimum or maximum over all rows. `ORDER BY .. LIMIT` does not: over several
    /// batches the engine's TopK gives either of them.
    compares_zeros: bool,
}

impl Above {
    /// What a scan must reckon with where nobody has looked.
    pub(super) const UNKNOWN: Self = Self {
        several_extremes: true,
        compares_zeros: true,
    };

    /// Looks at a whole statement. A node that is not the engine's may do what it likes.
    pub(super) fn of(plan: &LogicalPlan) -> Result<Self> {
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
    pub(super) above: Above,
    /// The columns of the table.
    pub(super) schema: SchemaRef,
    /// Of each column, whether it may hold a zero of either sign: false if it is known to hold none.
    pub(super) zeros: Vec<bool>,
}

impl DynamicFilters {
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
                let zeros = match node.downcast_ref::<Column>() {
                    Some(column) => self.schema.index_of(column.name()).map(|at| self.zeros[at]),
                    None => Ok(true),
                };
                meets |= holds_float(&node.data_type(&self.schema)?) && zeros.unwrap_or(true);
                Ok(match meets {
                    true => TreeNodeRecursion::Stop,
                    false => TreeNodeRecursion::Continue,
                })
            })?;
        }
        Ok(meets)
    }
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
