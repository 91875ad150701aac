//! Numbers that are text in a file, as numbers of a table: as they are, or not at all.
//!
//! The readers of JSON and CSV cut what a column has no room for, without a word: of 1.7 in a
//! BIGINT they make 1. So they are asked for digits enough that what is cut shows.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, new_null_array};
use datafusion::arrow::compute::kernels::cmp::distinct;
use datafusion::arrow::compute::{CastOptions, cast, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::common::exec_datafusion_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// Digits before and behind the point that are read of a whole number: all of a BIGINT
/// UNSIGNED, and more behind the point than a program that prints a fraction gives it.
const WHOLE: DataType = DataType::Decimal128(38, 18);
const DIGITS: u8 = 76;

/// The type to read what is to become a `wanted`.
pub(super) fn type_to_read(wanted: &DataType, format: Text) -> DataType {
    let of = |field: &FieldRef| {
        let data_type = type_to_read(field.data_type(), format);
        Arc::new(Field::clone(field).with_data_type(data_type))
    };
    match wanted {
        // That of CSV reads whole numbers alone.
        whole if whole.is_integer() && format == Text::Json => WHOLE,
        // As many digits before the point, and all others behind it.
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => {
            let more = i8::try_from(DIGITS - precision).unwrap_or(0);
            DataType::Decimal256(DIGITS, scale + more)
        }
        DataType::List(field) => DataType::List(of(field)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(of).collect()),
        other => other.clone(),
    }
}

/// What numbers are text in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    Json,
    Csv,
}

/// Values that were read as [`type_to_read`] says, as those of the column that they are for.
///
/// # Errors
///
/// A value that is another one there.
pub(super) fn to_column(values: &ArrayRef, column: &Field) -> Result<ArrayRef, ArrowError> {
    to_type(values, column.data_type()).map_err(|why| {
        let name = column.name().escape_debug();
        ArrowError::CastError(format!("column '{name}': {why}"))
    })
}

fn to_type(values: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, String> {
    let text = |error: ArrowError| error.to_string();
    match (values.data_type(), wanted) {
        (found, wanted) if found == wanted => Ok(Arc::clone(values)),
        (DataType::List(_), DataType::List(field)) => {
            let lists = values.as_list::<i32>();
            let (offsets, nulls) = (lists.offsets().clone(), lists.nulls().cloned());
            let items = to_type(lists.values(), field.data_type())?;
            let lists = ListArray::try_new(Arc::clone(field), offsets, items, nulls);
            Ok(Arc::new(lists.map_err(text)?))
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let rows = values.as_struct();
            let columns = rows.columns().iter().zip(fields);
            let columns = columns.map(|(values, field)| to_type(values, field.data_type()));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let rows = StructArray::try_new(fields.clone(), columns, rows.nulls().cloned());
            Ok(Arc::new(rows.map_err(text)?))
        }
        (found, wanted) => {
            // What does not fit becomes NULL; digits that do not are cut or rounded.
            let kept = cast(values, wanted).map_err(text)?;
            let same = CastOptions {
                safe: false,
                ..CastOptions::default()
            };
            let again = cast_with_options(&kept, found, &same).map_err(text)?;
            let differs = distinct(values, &again).map_err(text)?;
            let Some(at) = differs.values().set_indices().next() else {
                return Ok(kept);
            };
            let value = array_value_to_string(values, at).map_err(text)?;
            let value = match value.contains('.') {
                true => value.trim_end_matches('0').trim_end_matches('.'),
                false => &value,
            };
            Err(match wanted {
                _ if kept.is_null(at) => format!("{value} is too large or too small for it"),
                DataType::Decimal32(_, scale)
                | DataType::Decimal64(_, scale)
                | DataType::Decimal128(_, scale)
                | DataType::Decimal256(_, scale) => {
                    format!("{value} has more than {scale} digits after the point")
                }
                _ => format!("{value} is not a whole number"),
            })
        }
    }
}

/// [`to_column`] in a plan.
pub(super) fn expression(value: Expr, column: &Field) -> Expr {
    let function = ToColumn {
        column: column.clone().with_nullable(true),
        signature: Signature::any(1, Volatility::Immutable),
    };
    ScalarUDF::from(function).call(vec![value])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ToColumn {
    column: Field,
    signature: Signature,
}

impl ScalarUDFImpl for ToColumn {
    fn name(&self) -> &str {
        "exact"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.column.data_type().clone())
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(values) = arguments.args.first() else {
            let rows = arguments.number_rows;
            return Ok(ColumnarValue::Array(new_null_array(
                self.column.data_type(),
                rows,
            )));
        };
        let values = values.to_array(arguments.number_rows)?;
        let values = to_column(&values, &self.column);
        Ok(ColumnarValue::Array(values.map_err(
            |error| match error {
                ArrowError::CastError(why) => exec_datafusion_err!("{why}"),
                error => error.into(),
            },
        )?))
    }
}
