//! VALUES of an INSERT: a NULL in a NOT NULL column is told with the column's name.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::config::ConfigOptions;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{DmlStatement, LogicalPlan, Projection, WriteOp};
use datafusion::optimizer::AnalyzerRule;

use super::handle::AtioTable;

/// The analyzer rule that lets the VALUES of an INSERT into an atio table be NULL.
///
/// The engine gives them the columns of the table, NOT NULL included, under names of its own, and
/// says of a NULL that it is in 'column1'. The write checks each row anyway, and knows the name.
#[derive(Debug, Default)]
pub(crate) struct NullableValues;

impl AnalyzerRule for NullableValues {
    fn name(&self) -> &str {
        "atio_nullable_values"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = plan.transform_down(|node| match node {
            LogicalPlan::Dml(mut dml) if inserts(&dml) => {
                let input = nullable(Arc::unwrap_or_clone(dml.input))?;
                dml.input = Arc::new(input.data);
                let dml = LogicalPlan::Dml(dml);
                Ok(Transformed::new_transformed(dml, input.transformed))
            }
            node => Ok(Transformed::no(node)),
        })?;
        Ok(plan.data)
    }
}

fn inserts(dml: &DmlStatement) -> bool {
    let provider = source_as_provider(&dml.target);
    matches!(dml.op, WriteOp::Insert(_))
        && provider.is_ok_and(|provider| AtioTable::downcast(provider.as_ref()).is_some())
}

/// The same rows, in columns that may be NULL if they are VALUES.
fn nullable(rows: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut projection = match rows {
        LogicalPlan::Projection(projection) if is_values(&projection.input) => projection,
        rows => return Ok(Transformed::no(rows)),
    };
    if let LogicalPlan::Values(values) = Arc::make_mut(&mut projection.input) {
        let fields = values.schema.fields().iter();
        let fields = fields.map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
        let metadata = values.schema.metadata().clone();
        let schema = DFSchema::from_unqualified_fields(fields.collect(), metadata)?;
        values.schema = Arc::new(schema);
    }
    let projection = Projection::try_new(projection.expr, projection.input)?;
    Ok(Transformed::yes(LogicalPlan::Projection(projection)))
}

fn is_values(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Values(_))
}
