//! Whether rows go into a table as it is.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::{DataType, Schema};

use super::column::Column;
use super::name::check;
use crate::error::{Error, Result};

/// The columns that rows of `schema` are written to, in the order of the rows.
///
/// Every column of the rows must be in the table, with a type that holds each of its values;
/// columns that only the table has must have a default or take NULL.
pub(super) fn columns_for(schema: &Schema, table: &[Column]) -> Result<Vec<Column>> {
    check_names(schema)?;
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let name = field.name();
        let Some(column) = table.iter().find(|column| column.name == *name) else {
            return Err(Error::invalid(format!(
                "the table has no column '{}'; it has ({})",
                name.escape_debug(),
                names(table)
            )));
        };
        if column.generated {
            return Err(Error::invalid(format!(
                "the database computes column '{}' itself",
                name.escape_debug()
            )));
        }
        if !holds(&column.data_type, field.data_type()) {
            return Err(Error::invalid(format!(
                "column '{}' of the table is {} and does not hold {}; cast it",
                name.escape_debug(),
                column.sql_type,
                field.data_type()
            )));
        }
        columns.push(column.clone());
    }
    let missing = table
        .iter()
        .find(|column| column.required && schema.index_of(&column.name).is_err());
    match missing {
        None => Ok(columns),
        Some(column) => Err(Error::invalid(format!(
            "the rows say nothing of column '{}', which takes no NULL and has no default",
            column.name.escape_debug()
        ))),
    }
}

/// Refuses names that no database takes, and names that come twice.
pub(super) fn check_names(schema: &Schema) -> Result<()> {
    if schema.fields().is_empty() {
        return Err(Error::invalid("rows without columns cannot be written"));
    }
    let mut seen = BTreeSet::new();
    for field in schema.fields() {
        let name = field.name();
        check(name)
            .map_err(|why| Error::invalid(format!("column '{}': {why}", name.escape_debug())))?;
        if !seen.insert(name) {
            return Err(Error::invalid(format!(
                "two columns are called '{}'; name them apart with AS",
                name.escape_debug()
            )));
        }
    }
    Ok(())
}

/// Refuses what `schema` holds that `supported` does not take.
pub(super) fn names(columns: &[Column]) -> String {
    let names = columns
        .iter()
        .map(|column| column.name.escape_debug().to_string());
    names.collect::<Vec<_>>().join(", ")
}

/// Whether a column of type `column` holds values of type `value` without loss, but for times
/// finer than microseconds and values out of range, which are errors when they come.
fn holds(column: &DataType, value: &DataType) -> bool {
    use DataType::*;
    match (column, value) {
        (_, Null) => true,
        (_, Dictionary(_, value)) => holds(column, value),
        (column, value) if column == value => true,
        // A value out of range is an error when it comes.
        (column, value) if column.is_integer() && value.is_integer() => true,
        (Float64, Float32 | Float16) | (Float32, Float16) => true,
        (Float64, Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32) => true,
        (Float32, Int8 | Int16 | UInt8 | UInt16) => true,
        (Decimal128(_, _) | Decimal256(_, _), value) if value.is_integer() => true,
        (Decimal128(_, have) | Decimal256(_, have), value) => match value {
            Decimal32(_, scale) | Decimal64(_, scale) => have >= scale,
            Decimal128(_, scale) | Decimal256(_, scale) => have >= scale,
            _ => false,
        },
        (Utf8, LargeUtf8 | Utf8View) => true,
        // As JSON.
        (Utf8, value) if is_nested(value) => true,
        (Binary, LargeBinary | BinaryView | FixedSizeBinary(_)) => true,
        (Date32, Date64) => true,
        (Time64(_), Time32(_) | Time64(_)) => true,
        (Timestamp(_, None), Timestamp(_, None)) => true,
        (Timestamp(_, Some(_)), Timestamp(_, Some(_))) => true,
        (List(column), List(value) | LargeList(value) | FixedSizeList(value, _)) => {
            holds(column.data_type(), value.data_type())
        }
        _ => false,
    }
}

/// What becomes JSON where a database has nothing like it.
pub(super) fn is_nested(data_type: &DataType) -> bool {
    use DataType::*;
    matches!(
        data_type,
        Struct(_)
            | Map(_, _)
            | List(_)
            | LargeList(_)
            | FixedSizeList(_, _)
            | ListView(_)
            | LargeListView(_)
    )
}
