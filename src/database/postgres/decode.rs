//! Values as PostgreSQL sends them.

use std::error::Error as StdError;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, ListArray, PrimitiveArray, StringArray,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType,
};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

use super::client::failed;
use super::encode::{EPOCH_DAYS, EPOCH_MICROS};
use super::numeric;
use crate::database::column::Column;
use crate::database::decimal::decimals;
use crate::error::{Error, Result};

/// A value as it came.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(
        _: &Type,
        raw: &'a [u8],
    ) -> std::result::Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The values of a column in these rows.
pub(super) fn array(rows: &[Row], at: usize, column: &Column) -> Result<ArrayRef> {
    let values = rows.iter().map(|row| {
        let value = row.try_get::<_, Option<Raw<'_>>>(at).map_err(failed)?;
        Ok(value.map(|value| value.0))
    });
    let values = values.collect::<Result<Vec<_>>>()?;
    array_of(&values, &column.data_type, &column.sql_type)
}

fn array_of(values: &[Option<&[u8]>], data_type: &DataType, sql_type: &str) -> Result<ArrayRef> {
    Ok(match data_type {
        DataType::Boolean => {
            let values = values.iter().map(|value| value.map(|value| value == [1]));
            Arc::new(values.collect::<BooleanArray>())
        }
        DataType::Int16 => primitive::<Int16Type, 2>(values, |b| Some(i16::from_be_bytes(b)))?,
        DataType::Int32 => primitive::<Int32Type, 4>(values, |b| Some(i32::from_be_bytes(b)))?,
        DataType::Int64 => primitive::<Int64Type, 8>(values, |b| Some(i64::from_be_bytes(b)))?,
        DataType::Float32 => primitive::<Float32Type, 4>(values, |b| Some(f32::from_be_bytes(b)))?,
        DataType::Float64 => primitive::<Float64Type, 8>(values, |b| Some(f64::from_be_bytes(b)))?,
        // The infinities of dates and times are at the ends of the numbers.
        DataType::Date32 => primitive::<Date32Type, 4>(values, |bytes| {
            let days = i32::from_be_bytes(bytes);
            (days != i32::MIN).then_some(days)?.checked_add(EPOCH_DAYS)
        })?,
        DataType::Time64(_) => {
            primitive::<Time64MicrosecondType, 8>(values, |b| Some(i64::from_be_bytes(b)))?
        }
        DataType::Timestamp(_, zone) => {
            let values = values.iter().map(|value| {
                one::<8, _>(*value, |bytes| {
                    let micros = i64::from_be_bytes(bytes);
                    (micros != i64::MIN)
                        .then_some(micros)?
                        .checked_add(EPOCH_MICROS)
                })
            });
            let values = values.collect::<Result<PrimitiveArray<TimestampMicrosecondType>>>()?;
            Arc::new(values.with_timezone_opt(zone.clone()))
        }
        DataType::Decimal128(_, _) | DataType::Decimal256(_, _) => {
            let values = values.iter().map(|value| {
                let text = value.map(|value| {
                    numeric::to_text(value).ok_or_else(|| Error::invalid("a numeric is no number"))
                });
                text.transpose()
            });
            decimals(&values.collect::<Result<StringArray>>()?, data_type)?
        }
        DataType::Binary => Arc::new(values.iter().copied().collect::<BinaryArray>()),
        DataType::List(item) => {
            let lists = values.iter().map(|value| value.map(items).transpose());
            let lists = lists.collect::<Result<Vec<_>>>()?;
            let lengths = lists.iter().map(|list| list.as_ref().map_or(0, Vec::len));
            let offsets = OffsetBuffer::from_lengths(lengths);
            let nulls = NullBuffer::from_iter(lists.iter().map(Option::is_some));
            let flat: Vec<_> = lists.into_iter().flatten().flatten().collect();
            let element = sql_type.strip_suffix("[]").unwrap_or(sql_type);
            let flat = array_of(&flat, item.data_type(), element)?;
            let list = ListArray::try_new(Arc::clone(item), offsets, flat, Some(nulls));
            Arc::new(list.map_err(|error| Error::invalid(error.to_string()))?)
        }
        _ => {
            let values = values.iter().map(|value| {
                let text = value.map(|value| match sql_type {
                    "uuid" => uuid::Uuid::from_slice(value)
                        .map(|id| id.to_string())
                        .map_err(|_| odd()),
                    // After its version.
                    "jsonb" => text(value.get(1..).unwrap_or_default()),
                    _ => text(value),
                });
                text.transpose()
            });
            Arc::new(values.collect::<Result<StringArray>>()?)
        }
    })
}

fn text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Error::invalid("a text is not UTF-8"))
}

fn odd() -> Error {
    Error::invalid("a value is infinite, or not as PostgreSQL sends it")
}

fn one<const N: usize, T>(
    value: Option<&[u8]>,
    read: impl Fn([u8; N]) -> Option<T>,
) -> Result<Option<T>> {
    let value = value.map(|value| {
        let bytes = <[u8; N]>::try_from(value).ok();
        bytes.and_then(&read).ok_or_else(odd)
    });
    value.transpose()
}

fn primitive<T: ArrowPrimitiveType, const N: usize>(
    values: &[Option<&[u8]>],
    read: impl Fn([u8; N]) -> Option<T::Native>,
) -> Result<ArrayRef> {
    let values = values.iter().map(|value| one(*value, &read));
    Ok(Arc::new(values.collect::<Result<PrimitiveArray<T>>>()?))
}

/// The elements of an array of one dimension.
fn items(bytes: &[u8]) -> Result<Vec<Option<&[u8]>>> {
    let mut rest = bytes;
    let number = |rest: &mut &[u8]| -> Option<i32> {
        let (first, after) = rest.split_first_chunk::<4>()?;
        *rest = after;
        Some(i32::from_be_bytes(*first))
    };
    let dimensions = number(&mut rest).ok_or_else(odd)?;
    number(&mut rest).ok_or_else(odd)?;
    number(&mut rest).ok_or_else(odd)?;
    if dimensions == 0 {
        return Ok(Vec::new());
    }
    if dimensions > 1 {
        return Err(Error::unsupported("an array has more than one dimension"));
    }
    let count = number(&mut rest).ok_or_else(odd)?;
    number(&mut rest).ok_or_else(odd)?;
    let mut items = Vec::new();
    for _ in 0..count {
        let length = number(&mut rest).ok_or_else(odd)?;
        items.push(match usize::try_from(length) {
            Err(_) => None,
            Ok(length) => {
                let (item, after) = rest.split_at_checked(length).ok_or_else(odd)?;
                rest = after;
                Some(item)
            }
        });
    }
    Ok(items)
}
