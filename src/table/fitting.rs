//! Which rows a table takes: columns are found by their names, and no value changes in silence.

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{Column, ScalarValue};
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{Expr, cast, lit};

use crate::error::{Error, Result};

/// The rows with the columns of a table at `location`, each found by its name.
pub(super) fn fitting(rows: DataFrame, table: &Schema, location: &str) -> Result<DataFrame> {
    let found = rows.schema().as_arrow();
    check_names(found, location)?;
    check_known(found, table, location)?;
    let columns = table.fields().iter().map(|field| {
        let Ok(index) = found.index_of(field.name()) else {
            return match field.is_nullable() {
                true => {
                    let null = cast(lit(ScalarValue::Null), field.data_type().clone());
                    Ok(null.alias(field.name()))
                }
                false => Err(wrong(
                    location,
                    format!(
                        "column '{}' is NOT NULL, and missing in the rows",
                        field.name().escape_debug()
                    ),
                )),
            };
        };
        let column = Expr::Column(Column::from(rows.schema().qualified_field(index)));
        as_column(column, found.field(index).data_type(), field, location)
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    rows.select(columns).map_err(|error| {
        wrong(location, "its columns cannot be taken".to_owned()).with_source(error)
    })
}

fn wrong(location: &str, what: String) -> Error {
    Error::invalid(format!("cannot write to {location}: {what}"))
}

/// Fails if two columns of rows have one name.
pub(crate) fn check_names(found: &Schema, location: &str) -> Result<()> {
    for (at, field) in found.fields().iter().enumerate() {
        let mut before = found.fields().iter().take(at);
        if before.any(|before| before.name() == field.name()) {
            let name = field.name().escape_debug();
            return Err(wrong(
                location,
                format!("the rows have two columns '{name}'"),
            ));
        }
    }
    Ok(())
}

/// Fails if rows have a column that the table has not.
pub(crate) fn check_known(found: &Schema, table: &Schema, location: &str) -> Result<()> {
    let mut fields = found.fields().iter();
    match fields.find(|field| table.index_of(field.name()).is_err()) {
        None => Ok(()),
        Some(unknown) => Err(no_column(unknown.name(), table, location)),
    }
}

/// The table has no column of this name.
pub(crate) fn no_column(name: &str, table: &Schema, location: &str) -> Error {
    let columns = table.fields().iter().map(|field| field.name().as_str());
    wrong(
        location,
        format!(
            "the table has no column '{}'; its columns are {}",
            name.escape_debug(),
            columns.collect::<Vec<_>>().join(", ")
        ),
    )
}

/// A column of rows, which is of type `has`, as that of the table. Fails if a value could be lost.
pub(crate) fn as_column(
    column: Expr,
    has: &DataType,
    of_table: &Field,
    location: &str,
) -> Result<Expr> {
    let (name, wanted) = (of_table.name(), of_table.data_type());
    match takes(wanted, has) {
        true if wanted == has => Ok(column.alias(name)),
        true => Ok(cast(column, wanted.clone()).alias(name)),
        false => Err(wrong(
            location,
            format!(
                "column '{}' is of type {wanted}, and in the rows of type {has}: cast it first",
                name.escape_debug()
            ),
        )),
    }
}

/// True if a column of type `wanted` takes every value of type `has` as it is, or fails.
fn takes(wanted: &DataType, has: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Dictionary, FixedSizeList, Float32, Float64, LargeBinary, LargeList,
        LargeListView, LargeUtf8, List, ListView, Map, Null, Struct, Utf8, Utf8View,
    };
    match (wanted, has) {
        (wanted, has) if wanted == has => true,
        (_, Null) | (Float64, Float32) => true,
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View) => true,
        (Binary | LargeBinary | BinaryView, Binary | LargeBinary | BinaryView) => true,
        (Dictionary(_, wanted), Dictionary(_, has)) => takes(wanted, has),
        (Dictionary(_, wanted), has) => takes(wanted, has),
        (wanted, Dictionary(_, has)) => takes(wanted, has),
        (
            List(wanted) | LargeList(wanted) | ListView(wanted) | LargeListView(wanted),
            List(has) | LargeList(has) | ListView(has) | LargeListView(has),
        )
        | (Map(wanted, _), Map(has, _)) => takes(wanted.data_type(), has.data_type()),
        (FixedSizeList(wanted, of), FixedSizeList(has, by)) => {
            of == by && takes(wanted.data_type(), has.data_type())
        }
        (Struct(wanted), Struct(has)) => {
            wanted.len() == has.len()
                && wanted.iter().zip(has).all(|(wanted, has)| {
                    wanted.name() == has.name() && takes(wanted.data_type(), has.data_type())
                })
        }
        // Out of its range a cast fails.
        (wanted, has) => wanted.is_integer() && has.is_integer(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_lose_a_value_in_silence_is_not_taken() {
        use DataType::{Decimal128, Float32, Float64, Int32, Int64, Null, Utf8, Utf8View};
        let list = |item| DataType::new_list(item, true);
        for (wanted, has, expected) in [
            (Int64, Int64, true),
            (Utf8, Utf8View, true),
            (list(Utf8), list(Utf8View), true),
            (Int32, Int64, true),
            (Float64, Float32, true),
            (Utf8, Null, true),
            (Int64, Float64, false),
            (Float32, Float64, false),
            (Float64, Int64, false),
            (Int64, Utf8, false),
            (Utf8, Int64, false),
            (list(Int64), list(Utf8), false),
            (Decimal128(10, 2), Decimal128(10, 3), false),
        ] {
            assert_eq!(takes(&wanted, &has), expected, "{has} as {wanted}");
        }
    }
}
