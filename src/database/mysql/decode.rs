//! Values as MySQL sends them.

use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Float32Array, Float64Array, Int64Array, PrimitiveArray,
    StringArray, Time64MicrosecondArray, UInt64Array,
};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, TimestampMicrosecondType};
use mysql_async::Value;

use crate::error::{Error, Result};

/// The values of a column.
pub(super) fn array(values: Vec<Value>, data_type: &DataType) -> Result<ArrayRef> {
    let odd = |value: &Value| Error::invalid(format!("{} is no {data_type}", value.as_sql(true)));
    let values = values.into_iter();
    let plain: ArrayRef = match data_type {
        DataType::Boolean => Arc::new(collected::<BooleanArray, _>(values, |value| match value {
            Value::Int(value) => Ok(value != 0),
            other => Err(odd(&other)),
        })?),
        number if number.is_unsigned_integer() => {
            Arc::new(collected::<UInt64Array, _>(values, |value| match value {
                Value::UInt(value) => Ok(value),
                Value::Int(value) if value >= 0 => Ok(value.unsigned_abs()),
                other => Err(odd(&other)),
            })?)
        }
        number if number.is_signed_integer() => {
            Arc::new(collected::<Int64Array, _>(values, |value| match value {
                Value::Int(value) => Ok(value),
                Value::UInt(value) => i64::try_from(value).map_err(|_| odd(&Value::UInt(value))),
                other => Err(odd(&other)),
            })?)
        }
        DataType::Float32 => Arc::new(collected::<Float32Array, _>(values, |value| match value {
            Value::Float(value) => Ok(value),
            other => Err(odd(&other)),
        })?),
        DataType::Float64 => Arc::new(collected::<Float64Array, _>(values, |value| match value {
            Value::Double(value) => Ok(value),
            other => Err(odd(&other)),
        })?),
        DataType::Binary => {
            let values = values.map(|value| match value {
                Value::NULL => Ok(None),
                Value::Bytes(value) => Ok(Some(value)),
                other => Err(odd(&other)),
            });
            Arc::new(BinaryArray::from_iter(values.collect::<Result<Vec<_>>>()?))
        }
        DataType::Time64(_) => {
            Arc::new(collected::<Time64MicrosecondArray, _>(values, |value| {
                match value {
                    // MySQL's time is a span, too; one of a day is a time of the day.
                    Value::Time(false, 0, hour, minute, second, micros) => {
                        let seconds = (i64::from(hour) * 60 + i64::from(minute)) * 60;
                        Ok((seconds + i64::from(second)) * 1_000_000 + i64::from(micros))
                    }
                    other => Err(odd(&other)),
                }
            })?)
        }
        DataType::Date32 | DataType::Timestamp(_, _) => {
            let micros =
                collected::<PrimitiveArray<TimestampMicrosecondType>, _>(values, |value| {
                    micros(&value).ok_or_else(|| odd(&value))
                })?;
            match data_type {
                DataType::Timestamp(_, zone) => Arc::new(micros.with_timezone_opt(zone.clone())),
                _ => Arc::new(micros),
            }
        }
        _ => Arc::new(collected::<StringArray, _>(values, |value| match value {
            Value::Bytes(value) => {
                String::from_utf8(value).map_err(|_| Error::invalid("a text is not UTF-8"))
            }
            other => Err(odd(&other)),
        })?),
    };
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(&plain, data_type, &options)
        .map_err(|error| Error::invalid(error.to_string()))
}

/// None if it is no day of the calendar: MySQL can hold 0000-00-00.
fn micros(value: &Value) -> Option<i64> {
    let Value::Date(year, month, day, hour, minute, second, micros) = *value else {
        return None;
    };
    let date = NaiveDate::from_ymd_opt(year.into(), month.into(), day.into())?;
    let time = date.and_hms_micro_opt(hour.into(), minute.into(), second.into(), micros)?;
    Some(time.and_utc().timestamp_micros())
}

fn collected<A, T>(
    values: impl Iterator<Item = Value>,
    one: impl Fn(Value) -> Result<T>,
) -> Result<A>
where
    A: FromIterator<Option<T>>,
{
    let values = values.map(|value| match value {
        Value::NULL => Ok(None),
        value => one(value).map(Some),
    });
    values.collect()
}
