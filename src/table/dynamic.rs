//! The engine's dynamic filters that lose rows.
//!
//! While a plan runs, operators above a scan hand it what they have learned: a TopK its worst
//! row, a join the keys of its build side, a `min` the least value so far. DataFusion 55.2 has two
//! kinds that are wrong, over plain Parquet too:
//!
//! * An aggregate without groups builds one filter from its `min` and `max` of plain columns. Of
//!   `min(a), max(b)` it forgets `a` as long as all of it was NULL, and of `min(a), min(0 - a)`
//!   it never knew the second.
//! * `-0.0` and `0.0` are equal in a join and in `WHERE`, and two values in the order of `ORDER BY`
//!   and in the lists of keys: a filter over a floating-point column loses the one for the other.
//!
//! A scan declines these and follows all others. No setting of the session changes.

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr};
use datafusion::physical_plan::PhysicalExpr;
use std::sync::Arc;

/// True if an aggregate of the statement computes several minima or maxima over all rows.
///
/// A node that is not the engine's may compute what it likes, so it counts as one.
pub(super) fn has_several_extremes(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= match node {
            LogicalPlan::Aggregate(aggregate) => {
                is_over_all_rows(aggregate) && extremes(aggregate) > 1
            }
            LogicalPlan::Extension(_) => true,
            _ => false,
        };
        Ok(match found {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(found)
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
    /// The statement may have an aggregate of [`has_several_extremes`].
    pub(super) several_extremes: bool,
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
                loses = self.several_extremes || self.meet_zero(dynamic)?;
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
