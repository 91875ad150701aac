//! Values as MySQL takes them.

use chrono::{DateTime, Datelike, Timelike};
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use mysql_async::Value;

use crate::error::{Error, Result};

/// One value.
pub(super) fn cell(array: &ArrayRef, row: usize) -> Result<Value> {
    if array.is_null(row) {
        return Ok(Value::NULL);
    }
    Ok(match array.data_type() {
        DataType::Boolean => Value::Int(array.as_boolean().value(row).into()),
        DataType::Int8 => Value::Int(array.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => Value::Int(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Value::Int(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Value::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt8 => Value::UInt(array.as_primitive::<UInt8Type>().value(row).into()),
        DataType::UInt16 => Value::UInt(array.as_primitive::<UInt16Type>().value(row).into()),
        DataType::UInt32 => Value::UInt(array.as_primitive::<UInt32Type>().value(row).into()),
        DataType::UInt64 => Value::UInt(array.as_primitive::<UInt64Type>().value(row)),
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            finite(value.into())?;
            Value::Float(value)
        }
        DataType::Float64 => Value::Double(finite(array.as_primitive::<Float64Type>().value(row))?),
        DataType::Decimal128(_, _) => {
            let value = array.as_primitive::<Decimal128Type>().value_as_string(row);
            Value::Bytes(value.into_bytes())
        }
        DataType::Decimal256(_, _) => {
            let value = array.as_primitive::<Decimal256Type>().value_as_string(row);
            Value::Bytes(value.into_bytes())
        }
        DataType::Utf8 => Value::Bytes(array.as_string::<i32>().value(row).into()),
        DataType::Binary => Value::Bytes(array.as_binary::<i32>().value(row).into()),
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>().value(row);
            match time(i64::from(days).saturating_mul(86_400_000_000))? {
                Value::Date(year, month, day, ..) => Value::Date(year, month, day, 0, 0, 0, 0),
                other => other,
            }
        }
        DataType::Timestamp(_, _) => {
            time(array.as_primitive::<TimestampMicrosecondType>().value(row))?
        }
        DataType::Time64(_) => {
            let micros = array.as_primitive::<Time64MicrosecondType>().value(row);
            match time(micros)? {
                Value::Date(_, _, _, hour, minute, second, micros) => {
                    Value::Time(false, 0, hour, minute, second, micros)
                }
                other => other,
            }
        }
        other => return Err(Error::unsupported(format!("MySQL takes no {other}"))),
    })
}

fn finite(value: f64) -> Result<f64> {
    match value.is_finite() {
        true => Ok(value),
        false => Err(Error::invalid(format!(
            "MySQL does not hold {value}; make it NULL"
        ))),
    }
}

/// A point in time, in the years 1 to 9999 that the server knows.
fn time(micros: i64) -> Result<Value> {
    let time = DateTime::from_timestamp_micros(micros)
        .filter(|time| (1..=9999).contains(&time.year()))
        .ok_or_else(|| Error::invalid("a time is out of MySQL's range"))?;
    // Each is small enough: a calendar says so.
    let small = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
    Ok(Value::Date(
        u16::try_from(time.year()).unwrap_or(u16::MAX),
        small(time.month()),
        small(time.day()),
        small(time.hour()),
        small(time.minute()),
        small(time.second()),
        time.timestamp_subsec_micros(),
    ))
}
