//! Which type of PostgreSQL's means which of Arrow's.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};

use crate::database::column::Column;
use crate::database::compatibility::is_nested;
use crate::error::{Error, Result};

/// How many digits, and how many of them after the point, a `numeric` without limits is read
/// with. One that has more is an error.
const WIDEST: DataType = DataType::Decimal256(76, 38);

/// The type that one of the server's, as `format_type` prints it, is read as; None for those
/// that are read as the server's own text of them and cannot be written.
pub(super) fn data_type(sql_type: &str) -> Option<DataType> {
    if let Some(element) = sql_type.strip_suffix("[]") {
        let element = data_type(element).filter(|element| !is_nested(element))?;
        return Some(DataType::List(Arc::new(Field::new_list_field(
            element, true,
        ))));
    }
    let (name, arguments) = match sql_type.split_once('(') {
        // What stands after the arguments belongs to the name: timestamp(3) with time zone.
        Some((name, rest)) => {
            let (arguments, after) = rest.split_once(')')?;
            (format!("{name}{after}"), arguments)
        }
        None => (sql_type.to_owned(), ""),
    };
    Some(match name.as_str() {
        "boolean" => DataType::Boolean,
        "smallint" => DataType::Int16,
        "integer" => DataType::Int32,
        "bigint" => DataType::Int64,
        "real" => DataType::Float32,
        "double precision" => DataType::Float64,
        "numeric" => numeric(arguments),
        "text" | "character varying" | "character" | "bpchar" | "name" | "json" | "jsonb"
        | "uuid" => DataType::Utf8,
        "bytea" => DataType::Binary,
        "date" => DataType::Date32,
        "time without time zone" => DataType::Time64(TimeUnit::Microsecond),
        "timestamp without time zone" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamp with time zone" => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        _ => return None,
    })
}

/// How many microseconds apart the times of a type are: those of `timestamp(3)` a thousand.
pub(super) fn step(sql_type: &str) -> i64 {
    let digits = sql_type
        .strip_prefix("time")
        .and_then(|rest| rest.trim_start_matches("stamp").strip_prefix('('))
        .and_then(|rest| rest.split(')').next()?.parse::<u32>().ok());
    10_i64.pow(6 - digits.unwrap_or(6).min(6))
}

fn numeric(arguments: &str) -> DataType {
    let mut numbers = arguments
        .split(',')
        .map(|number| number.trim().parse::<i16>());
    let (Some(Ok(precision)), scale) = (numbers.next(), numbers.next()) else {
        return WIDEST;
    };
    let scale = scale.and_then(Result::ok).unwrap_or(0);
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(precision @ 1..=38), Ok(scale)) if (0..=precision as i16).contains(&scale.into()) => {
            DataType::Decimal128(precision, scale)
        }
        (Ok(precision @ 39..=76), Ok(scale)) if (0..=precision as i16).contains(&scale.into()) => {
            DataType::Decimal256(precision, scale)
        }
        _ => WIDEST,
    }
}

/// The column that is made for values of a type.
pub(super) fn column_for(field: &Field) -> Result<Column> {
    let sql_type = sql_type(field.data_type()).ok_or_else(|| {
        Error::unsupported(format!(
            "column '{}': PostgreSQL has nothing for {}; cast it",
            field.name().escape_debug(),
            field.data_type()
        ))
    })?;
    // Longer names are cut off by the server, with a notice that nobody reads.
    if field.name().len() > LONGEST_NAME {
        return Err(Error::invalid(format!(
            "column '{}': a name of PostgreSQL's has at most {LONGEST_NAME} bytes",
            field.name().escape_debug()
        )));
    }
    Ok(Column {
        name: field.name().clone(),
        data_type: data_type(&sql_type).unwrap_or(DataType::Utf8),
        step: step(&sql_type),
        sql_type,
        required: false,
        generated: false,
    })
}

/// How many bytes of a name the server keeps.
pub(super) const LONGEST_NAME: usize = 63;

fn sql_type(data_type: &DataType) -> Option<String> {
    use DataType::*;
    let name = match data_type {
        Dictionary(_, value) => return sql_type(value),
        Boolean => "boolean",
        Int8 | UInt8 | Int16 => "smallint",
        UInt16 | Int32 => "integer",
        UInt32 | Int64 => "bigint",
        UInt64 => "numeric(20,0)",
        Float16 | Float32 => "real",
        Float64 => "double precision",
        Decimal32(precision, scale) | Decimal64(precision, scale) => {
            return decimal(*precision, *scale);
        }
        Decimal128(precision, scale) | Decimal256(precision, scale) => {
            return decimal(*precision, *scale);
        }
        Utf8 | LargeUtf8 | Utf8View | Null => "text",
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => "bytea",
        Date32 | Date64 => "date",
        Time32(_) | Time64(_) => "time without time zone",
        Timestamp(_, None) => "timestamp without time zone",
        Timestamp(_, Some(_)) => "timestamp with time zone",
        List(item) | LargeList(item) | FixedSizeList(item, _) if !is_nested(item.data_type()) => {
            return Some(format!("{}[]", sql_type(item.data_type())?));
        }
        nested if is_nested(nested) => "jsonb",
        _ => return None,
    };
    Some(name.to_owned())
}

/// None for what is rounded before the point: no rows have it.
fn decimal(precision: u8, scale: i8) -> Option<String> {
    (scale >= 0).then(|| format!("numeric({precision},{scale})"))
}
