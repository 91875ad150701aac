//! Which type of MySQL's means which of Arrow's.

use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};

use crate::database::column::Column;
use crate::database::compatibility::is_nested;
use crate::error::{Error, Result};

/// The type that one of the server's, as its catalog prints it, is read as.
pub(super) fn data_type(sql_type: &str) -> DataType {
    let (name, rest) = match sql_type.split_once(['(', ' ']) {
        Some((name, _)) => (name, &sql_type[name.len()..]),
        None => (sql_type, ""),
    };
    let unsigned = rest.contains("unsigned");
    let signed_or = |signed, other| if unsigned { other } else { signed };
    match name {
        // What BOOLEAN is another word for.
        "tinyint" if rest.starts_with("(1)") && !unsigned => DataType::Boolean,
        "tinyint" => signed_or(DataType::Int8, DataType::UInt8),
        "smallint" => signed_or(DataType::Int16, DataType::UInt16),
        "mediumint" | "int" => signed_or(DataType::Int32, DataType::UInt32),
        "bigint" => signed_or(DataType::Int64, DataType::UInt64),
        "year" => DataType::Int32,
        "float" => DataType::Float32,
        "double" => DataType::Float64,
        "decimal" => decimal(rest),
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => {
            DataType::Binary
        }
        "date" => DataType::Date32,
        "time" => DataType::Time64(TimeUnit::Microsecond),
        "datetime" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        _ => DataType::Utf8,
    }
}

/// How many microseconds apart the times of a type are: a second unless it says more.
pub(super) fn step(sql_type: &str) -> i64 {
    let (name, rest) = sql_type.split_once('(').unwrap_or((sql_type, ""));
    let digits = match name {
        "datetime" | "timestamp" | "time" => rest.trim_end_matches(')').parse().unwrap_or(0),
        _ => 6,
    };
    10_i64.pow(6 - digits.min(6))
}

/// How a value is asked for.
pub(super) fn selected(name: &str, sql_type: &str) -> String {
    let shape = ["geometry", "point", "linestring", "polygon"];
    match is_foreign(sql_type) {
        false => name.to_owned(),
        true if shape.iter().any(|shape| sql_type.contains(shape)) => format!("ST_AsText({name})"),
        true => format!("CAST({name} AS CHAR)"),
    }
}

/// Whether values are asked for as the server prints them, and not written.
pub(super) fn is_foreign(sql_type: &str) -> bool {
    let name = sql_type.split(['(', ' ']).next().unwrap_or_default();
    data_type(sql_type) == DataType::Utf8
        && ![
            "char",
            "varchar",
            "tinytext",
            "text",
            "mediumtext",
            "longtext",
            "enum",
            "set",
            "json",
            "uuid",
        ]
        .contains(&name)
}

/// Whether the server rounds values to so many digits after the point, without a word.
pub(super) fn rounds(sql_type: &str) -> bool {
    ["float(", "double("]
        .iter()
        .any(|name| sql_type.starts_with(name) && sql_type.contains(','))
}

fn decimal(arguments: &str) -> DataType {
    let arguments = arguments.split(')').next().unwrap_or_default();
    let mut numbers = arguments.trim_start_matches('(').split(',');
    let precision = numbers.next().and_then(|n| n.trim().parse().ok());
    let scale = numbers
        .next()
        .and_then(|n| n.trim().parse().ok())
        .unwrap_or(0);
    match precision.unwrap_or(10) {
        precision @ 0..=38 => DataType::Decimal128(precision, scale),
        precision => DataType::Decimal256(precision, scale),
    }
}

/// The column that is made for values of a type.
pub(super) fn column_for(field: &Field) -> Result<Column> {
    let sql_type = sql_type(field.data_type()).ok_or_else(|| {
        Error::unsupported(format!(
            "column '{}': MySQL has nothing for {}; cast it",
            field.name().escape_debug(),
            field.data_type()
        ))
    })?;
    Ok(Column {
        name: field.name().clone(),
        data_type: match sql_type.as_str() {
            "boolean" => DataType::Boolean,
            sql_type => data_type(sql_type),
        },
        step: step(&sql_type),
        sql_type,
        required: false,
        generated: false,
    })
}

fn sql_type(data_type: &DataType) -> Option<String> {
    use DataType::*;
    let name = match data_type {
        Dictionary(_, value) => return sql_type(value),
        Boolean => "boolean",
        Int8 => "tinyint",
        Int16 => "smallint",
        Int32 => "int",
        Int64 => "bigint",
        UInt8 => "tinyint unsigned",
        UInt16 => "smallint unsigned",
        UInt32 => "int unsigned",
        UInt64 => "bigint unsigned",
        Float16 | Float32 => "float",
        Float64 => "double",
        Decimal32(precision, scale) | Decimal64(precision, scale) => {
            return decimal_type(*precision, *scale);
        }
        Decimal128(precision, scale) | Decimal256(precision, scale) => {
            return decimal_type(*precision, *scale);
        }
        Utf8 | LargeUtf8 | Utf8View | Null => "longtext",
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => "longblob",
        Date32 | Date64 => "date",
        Time32(_) | Time64(_) => "time(6)",
        Timestamp(_, None) => "datetime(6)",
        Timestamp(_, Some(_)) => "timestamp(6)",
        nested if is_nested(nested) => "json",
        _ => return None,
    };
    Some(name.to_owned())
}

/// None if the server keeps fewer digits.
fn decimal_type(precision: u8, scale: i8) -> Option<String> {
    (precision <= 65 && (0..=30).contains(&scale)).then(|| format!("decimal({precision},{scale})"))
}
