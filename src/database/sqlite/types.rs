//! Which declared type means which type of Arrow's.
//!
//! A declared type of SQLite is a hint: it decides by letters in it whether digits become a
//! number. What must keep all of its digits is declared with TEXT in the name.

use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};

use crate::database::column::Column;
use crate::database::compatibility::is_nested;
use crate::error::{Error, Result};

/// The type that a declared one is read as.
pub(super) fn data_type(declared: &str) -> DataType {
    let declared = declared.trim().to_uppercase();
    let (name, arguments) = declared.split_once('(').unwrap_or((&declared, ""));
    let mut numbers = arguments
        .trim_end_matches(')')
        .split(',')
        .map(|number| number.trim().parse::<i16>().ok());
    let precision = numbers.next().flatten().and_then(|n| u8::try_from(n).ok());
    let scale = numbers.next().flatten().and_then(|n| i8::try_from(n).ok());
    match name.trim() {
        "BOOLEAN" | "BOOL" => DataType::Boolean,
        "UNSIGNED BIGINT" => DataType::UInt64,
        "DATE" => DataType::Date32,
        "TIME" => DataType::Time64(TimeUnit::Microsecond),
        "TIMESTAMP" | "DATETIME" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "TIMESTAMP WITH TIME ZONE" => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        "DECIMAL_TEXT" | "DECIMAL" | "NUMERIC" => match (precision, scale.unwrap_or(0)) {
            (Some(precision @ 1..=38), scale) if scale.unsigned_abs() <= precision => {
                DataType::Decimal128(precision, scale)
            }
            (Some(precision @ 39..=76), scale) if scale.unsigned_abs() <= precision => {
                DataType::Decimal256(precision, scale)
            }
            _ if name.ends_with("TEXT") => DataType::Utf8,
            _ => DataType::Float64,
        },
        // The letters that SQLite itself goes by, in its order.
        name if name.contains("INT") => DataType::Int64,
        name if ["CHAR", "CLOB", "TEXT", "JSON", "UUID"]
            .iter()
            .any(|text| name.contains(text)) =>
        {
            DataType::Utf8
        }
        name if ["REAL", "FLOA", "DOUB"]
            .iter()
            .any(|real| name.contains(real)) =>
        {
            DataType::Float64
        }
        name if name.contains("BLOB") || name.contains("BINARY") => DataType::Binary,
        // Anything may be in it.
        _ => DataType::Utf8,
    }
}

/// Whether SQLite makes a number of a text that looks like one, in a column declared so.
pub(super) fn makes_numbers(declared: &str) -> bool {
    let declared = declared.to_uppercase();
    let has = |part| declared.contains(part);
    let keeps = ["CHAR", "CLOB", "TEXT", "BLOB"].into_iter().any(has);
    has("INT") || !(keeps || declared.trim().is_empty())
}

/// The column that is made for values of a type.
pub(super) fn column_for(field: &Field) -> Result<Column> {
    use DataType::*;
    let declared = match field.data_type() {
        Dictionary(_, value) => {
            let field = Field::new(field.name(), value.as_ref().clone(), true);
            return column_for(&field);
        }
        Boolean => "BOOLEAN".to_owned(),
        UInt64 => "UNSIGNED BIGINT".to_owned(),
        integer if integer.is_integer() => "BIGINT".to_owned(),
        Float16 | Float32 | Float64 => "DOUBLE".to_owned(),
        Decimal32(precision, scale)
        | Decimal64(precision, scale)
        | Decimal128(precision, scale)
        | Decimal256(precision, scale) => format!("DECIMAL_TEXT({precision},{scale})"),
        Utf8 | LargeUtf8 | Utf8View | Null => "TEXT".to_owned(),
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => "BLOB".to_owned(),
        Date32 | Date64 => "DATE".to_owned(),
        Time32(_) | Time64(_) => "TIME".to_owned(),
        Timestamp(_, None) => "TIMESTAMP".to_owned(),
        Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE".to_owned(),
        nested if is_nested(nested) => "JSON_TEXT".to_owned(),
        other => {
            return Err(Error::unsupported(format!(
                "column '{}': SQLite has nothing for {other}; cast it",
                field.name().escape_debug()
            )));
        }
    };
    Ok(Column {
        name: field.name().clone(),
        data_type: data_type(&declared),
        sql_type: declared,
        required: false,
        generated: false,
        step: 1,
    })
}
