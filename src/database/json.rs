//! Nested values as JSON, for databases that have nothing like them.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Number, Value};

use crate::error::{Error, Result};

/// The values of an array as JSON.
pub(super) struct JsonText<'a>(&'a ArrayRef);

impl<'a> JsonText<'a> {
    pub(super) fn of(array: &'a ArrayRef) -> Self {
        Self(array)
    }

    /// None if the value is NULL.
    pub(super) fn at(&self, row: usize) -> Result<Option<String>> {
        match self.0.is_null(row) {
            true => Ok(None),
            false => Ok(Some(value(self.0, row)?.to_string())),
        }
    }
}

fn value(array: &dyn Array, row: usize) -> Result<Value> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    let one = array.slice(row, 1);
    match array.data_type() {
        DataType::Null => Ok(Value::Null),
        DataType::Boolean => Ok(Value::Bool(array.as_boolean().value(row))),
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let members = fields.iter().zip(columns);
            let members = members
                .map(|(field, column)| Ok::<_, Error>((field.name().clone(), value(column, row)?)));
            Ok(Value::Object(members.collect::<Result<Map<_, _>>>()?))
        }
        DataType::Map(_, _) => {
            let entries = array.as_map().value(row);
            let keys = cast(entries.column(0), &DataType::Utf8).map_err(failed)?;
            let keys = keys.as_string::<i32>();
            let members = (0..entries.len()).map(|entry| {
                Ok::<_, Error>((
                    keys.value(entry).to_owned(),
                    value(entries.column(1), entry)?,
                ))
            });
            Ok(Value::Object(members.collect::<Result<Map<_, _>>>()?))
        }
        list if super::compatibility::is_nested(list) => {
            let items = match list {
                DataType::LargeList(_) => array.as_list::<i64>().value(row),
                DataType::FixedSizeList(_, _) => array.as_fixed_size_list().value(row),
                DataType::ListView(_) => array.as_list_view::<i32>().value(row),
                DataType::LargeListView(_) => array.as_list_view::<i64>().value(row),
                _ => array.as_list::<i32>().value(row),
            };
            let items = (0..items.len()).map(|item| value(&items, item));
            Ok(Value::Array(items.collect::<Result<_>>()?))
        }
        DataType::UInt64 => Ok(Value::from(array.as_primitive::<UInt64Type>().value(row))),
        number if number.is_integer() => {
            let one = cast(&one, &DataType::Int64).map_err(failed)?;
            Ok(Value::from(one.as_primitive::<Int64Type>().value(0)))
        }
        number if number.is_floating() => {
            let one = cast(&one, &DataType::Float64).map_err(failed)?;
            let number = one.as_primitive::<Float64Type>().value(0);
            let number = Number::from_f64(number)
                .ok_or_else(|| Error::invalid(format!("JSON does not hold {number}")))?;
            Ok(Value::Number(number))
        }
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => Err(Error::invalid(
            "JSON does not hold binary values; encode them, for example as hex",
        )),
        // Text stays text, and what JSON has no form for becomes it. A decimal would lose
        // digits as a number.
        _ => {
            let formatter =
                ArrayFormatter::try_new(array, &FormatOptions::default()).map_err(failed)?;
            Ok(Value::String(
                formatter.value(row).try_to_string().map_err(failed)?,
            ))
        }
    }
}

fn failed(error: ArrowError) -> Error {
    Error::invalid(error.to_string())
}
