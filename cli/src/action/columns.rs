//! Columns of what is read, as those of a table: found by their names, with its types.

use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::common::{Column, ScalarValue, plan_err};
use datafusion::dataframe::DataFrame;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, cast, lit};

use super::exact::{self, Text};

/// The rows with the columns of `table`, each found by its name.
pub(super) fn by_name(rows: DataFrame, table: &Schema) -> Result<DataFrame> {
    check_known(&rows, table)?;
    let columns = table.fields().iter().map(|field| {
        if rows.schema().has_column_with_unqualified_name(field.name()) {
            return Ok(as_column(&rows, field));
        }
        match field.is_nullable() {
            true => {
                let null = cast(lit(ScalarValue::Null), field.data_type().clone());
                Ok(null.alias(field.name()))
            }
            false => plan_err!(
                "column '{}' is NOT NULL in the table, and missing in what is read",
                field.name().escape_debug()
            ),
        }
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    rows.select(columns)
}

/// The same with those columns of `table` alone that there are.
pub(super) fn found_by_name(rows: DataFrame, table: &Schema) -> Result<DataFrame> {
    check_known(&rows, table)?;
    let schema = rows.schema();
    let found = table.fields().iter();
    let found = found.filter(|field| schema.has_column_with_unqualified_name(field.name()));
    let columns: Vec<_> = found.map(|field| as_column(&rows, field)).collect();
    rows.select(columns)
}

/// Fails if there is a column that the table has not.
fn check_known(rows: &DataFrame, table: &Schema) -> Result<()> {
    let mut fields = rows.schema().fields().iter();
    let Some(unknown) = fields.find(|field| table.index_of(field.name()).is_err()) else {
        return Ok(());
    };
    let columns: Vec<_> = table.fields().iter().map(|f| f.name().as_str()).collect();
    plan_err!(
        "the table has no column '{}'; its columns are {}",
        unknown.name().escape_debug(),
        columns.join(", ")
    )
}

/// The column of `rows` that has this name, as that of the table.
fn as_column(rows: &DataFrame, field: &Field) -> Expr {
    let value = Expr::Column(Column::new_unqualified(field.name()));
    let (found, wanted) = (rows.schema(), field.data_type());
    let exactly = found
        .field_with_unqualified_name(field.name())
        .is_ok_and(|found| {
            [Text::Json, Text::Csv].iter().any(|text| {
                let read = exact::type_to_read(wanted, *text);
                read != *wanted && read == *found.data_type()
            })
        });
    let value = match exactly {
        true => exact::expression(value, field),
        false => cast(value, wanted.clone()),
    };
    value.alias(field.name())
}
