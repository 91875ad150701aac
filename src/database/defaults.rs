//! Columns that an INSERT does not name: their values come from the database.
//!
//! The engine fills them with an expression that it asks the table for, NULL if there is none.
//! Ours is NULL with a mark, which planning keeps: the columns that carry it are taken out
//! again before the rows are written.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::common::metadata::FieldMetadata;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;

/// The mark, in the metadata of a field.
const MARK: &str = "atio.database.default";

/// What stands for a column that is not named.
pub(super) fn unnamed(field: &Field) -> Result<Expr> {
    let null = ScalarValue::try_new_null(field.data_type())?;
    let mark = HashMap::from([(MARK.to_owned(), String::new())]);
    Ok(Expr::Literal(null, Some(FieldMetadata::from(mark))))
}

/// The rows of an INSERT without the columns that it does not name, and their names in a table
/// with the columns of `table`.
pub(super) fn named(
    input: Arc<dyn ExecutionPlan>,
    table: &SchemaRef,
) -> Result<(Arc<dyn ExecutionPlan>, SchemaRef)> {
    let schema = input.schema();
    let is_named = |at: &usize| !schema.field(*at).metadata().contains_key(MARK);
    let kept: Vec<usize> = (0..schema.fields().len()).filter(is_named).collect();
    if kept.len() == schema.fields().len() {
        return Ok((input, Arc::clone(table)));
    }
    let columns = kept.iter().map(|at| {
        let name = schema.field(*at).name();
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(name, *at));
        (column, name.clone())
    });
    let columns: Vec<_> = columns.collect();
    let fields = kept.iter().filter_map(|at| table.fields().get(*at));
    let table = Schema::new(fields.cloned().collect::<Vec<_>>());
    Ok((
        Arc::new(ProjectionExec::try_new(columns, input)?),
        Arc::new(table),
    ))
}
