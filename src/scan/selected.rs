//! The condition of a scan as one that any rows can be asked for.

use std::sync::Arc;

use datafusion::arrow::array::{Array, BooleanArray};
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::Session;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Volatility};
use datafusion::physical_expr::utils::reassign_expr_columns;
use datafusion::physical_plan::PhysicalExpr;

/// A condition that each row meets which a scan asks for.
#[derive(Debug, Clone)]
pub(super) struct Selected(Arc<dyn PhysicalExpr>);

impl Selected {
    /// That of a scan of rows of `schema` with these filters; None where they say nothing of a row for
    /// sure.
    ///
    /// Filters that may say something else of the same row later are left out: they would let others
    /// pass.
    pub(super) fn of(state: &dyn Session, schema: &Arc<Schema>, filters: &[Expr]) -> Option<Self> {
        let filters = filters.iter().filter(|filter| is_fixed(filter)).cloned();
        let schema = DFSchema::try_from(Arc::clone(schema)).ok()?;
        let filter = state.create_physical_expr(conjunction(filters)?, &schema);
        filter.ok().map(Self)
    }

    /// The same over columns of these names.
    pub(super) fn over(&self, schema: &Schema) -> Result<Self> {
        reassign_expr_columns(Arc::clone(&self.0), schema).map(Self)
    }

    pub(super) fn expr(&self) -> &Arc<dyn PhysicalExpr> {
        &self.0
    }

    /// Of each row whether it meets the condition; NULL is no.
    pub(super) fn rows(&self, rows: &RecordBatch) -> Result<BooleanArray> {
        let met = self.0.evaluate(rows)?.into_array(rows.num_rows())?;
        let met = as_boolean_array(&met)?;
        Ok(match met.nulls() {
            Some(nulls) => BooleanArray::new(met.values() & nulls.inner(), None),
            None => met.clone(),
        })
    }
}

/// True if the values of a row alone decide what `expr` says of it, whenever it is asked.
fn is_fixed(expr: &Expr) -> bool {
    let changes = expr.exists(|expr| {
        Ok(match expr {
            Expr::ScalarFunction(function) => {
                function.func.signature().volatility != Volatility::Immutable
            }
            Expr::HigherOrderFunction(_)
            | Expr::ScalarVariable(..)
            | Expr::Placeholder(_)
            | Expr::OuterReferenceColumn(..)
            | Expr::ScalarSubquery(_)
            | Expr::InSubquery(_)
            | Expr::Exists(_)
            | Expr::SetComparison(_) => true,
            other => other.is_volatile_node(),
        })
    });
    matches!(changes, Ok(false))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int64Array};
    use datafusion::functions::expr_fn::{now, random};
    use datafusion::logical_expr::{cast, col, lit};
    use datafusion::prelude::SessionContext;

    use super::*;

    fn met(filters: &[Expr]) -> Option<Vec<bool>> {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), None]));
        let rows = RecordBatch::try_from_iter([("a", values)]).unwrap();
        let state = SessionContext::new().state();
        let selected = Selected::of(&state, &rows.schema(), filters)?;
        let met = selected.rows(&rows).unwrap();
        assert_eq!(met.null_count(), 0);
        Some(met.values().iter().collect())
    }

    #[test]
    fn rows_are_selected_that_meet_all_filters() {
        let odd = (col("a") % lit(2_i64)).eq(lit(1_i64));
        assert_eq!(
            met(std::slice::from_ref(&odd)),
            Some(vec![true, false, false])
        );
        let large = col("a").gt(lit(1_i64));
        assert_eq!(met(&[odd, large]), Some(vec![false; 3]));
        assert_eq!(met(&[col("a").is_null()]), Some(vec![false, false, true]));
        assert_eq!(met(&[]), None);
    }

    #[test]
    fn filters_that_may_say_something_else_later_select_every_row() {
        let odd = (col("a") % lit(2_i64)).eq(lit(1_i64));
        let by_chance = random().gt(cast(
            col("a"),
            datafusion::arrow::datatypes::DataType::Float64,
        ));
        let by_time = now().is_null();
        for other in [by_chance, by_time] {
            assert_eq!(met(std::slice::from_ref(&other)), None);
            assert_eq!(met(&[other, odd.clone()]), Some(vec![true, false, false]));
        }
    }
}
