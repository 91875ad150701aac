//! A column of a result as cells of a sheet.

use std::borrow::Cow;

use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::{Array, ArrayAccessor, ArrayRef, AsArray};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{
    DataType, Date64Type, Decimal128Type, Decimal256Type, Field, Float32Type, Float64Type,
    Int64Type, Time64NanosecondType, TimeUnit, UInt64Type,
};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use super::moment::{length, local, milliseconds, serial};
use super::options::XlsxOptions;
use crate::error::{Error, Result};

/// Excel's limit for a text in a cell, in UTF-16 code units.
pub(super) const TEXT_LENGTH: usize = 32_767;
/// Every whole number up to this is a number of Excel's.
const WHOLE: u64 = 1 << 53;
/// So many digits of a fraction survive in a number of Excel's.
const DIGITS: usize = 15;
const DIGITS_LIMIT: u128 = 1_000_000_000_000_000;

/// What stands in a cell.
#[derive(Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Empty,
    Boolean(bool),
    Number(f64),
    Text(Cow<'a, str>),
}

/// Gives the cell of a row, or says why the value cannot be one.
pub(super) type Cells<'a> = Box<dyn Fn(usize) -> Result<Cell<'a>, String> + 'a>;

/// How Excel shows the numbers of a column.
pub(super) struct Look {
    pub(super) format: String,
    /// In characters, where the usual width is too narrow.
    pub(super) width: Option<f64>,
}

/// A column that a sheet can hold.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// Of its values, without the dictionary around them.
    data_type: DataType,
    /// What arrays are cast to before they are read; no cast of these loses anything.
    read_as: DataType,
    zone: Option<Tz>,
}

impl Column {
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if no cell can hold its name or its
    /// values.
    pub(super) fn new(field: &Field) -> Result<Self> {
        let mut data_type = field.data_type();
        loop {
            data_type = match data_type {
                DataType::Dictionary(_, values) => values,
                DataType::RunEndEncoded(_, values) => values.data_type(),
                _ => break,
            }
        }
        let name = field.name();
        check_length(name)
            .map_err(|why| Error::invalid(format!("the name of a column is {why}")))?;
        let read_as = read_as(data_type).ok_or_else(|| {
            Error::invalid(format!(
                "column '{name}' is of type {data_type}, which a sheet cannot hold: leave it out or make it text"
            ))
        })?;
        let zone = match data_type {
            DataType::Timestamp(_, Some(zone)) => Some(zone.parse().map_err(|error| {
                Error::invalid(format!("column '{name}' is in an unknown time zone"))
                    .with_source(error)
            })?),
            _ => None,
        };
        Ok(Self {
            name: name.clone(),
            data_type: data_type.clone(),
            read_as,
            zone,
        })
    }

    /// How its numbers look, if not in Excel's general way.
    pub(super) fn look(&self) -> Option<Look> {
        let fine = |unit: &TimeUnit, format: &str, width: f64| match unit {
            TimeUnit::Second => (format.to_owned(), Some(width)),
            _ => (format!("{format}.000"), Some(width + 4.0)),
        };
        let (format, width) = match &self.data_type {
            // In the general way twelve digits would be shown as a power of ten.
            DataType::Int64 | DataType::UInt64 => ("0".to_owned(), None),
            DataType::Decimal32(_, scale)
            | DataType::Decimal64(_, scale)
            | DataType::Decimal128(_, scale)
            | DataType::Decimal256(_, scale) => match usize::try_from(*scale) {
                Ok(1..) => (format!("0.{}", "0".repeat(30.min(*scale as usize))), None),
                _ => ("0".to_owned(), None),
            },
            DataType::Date32 | DataType::Date64 => ("yyyy-mm-dd".to_owned(), Some(11.0)),
            DataType::Timestamp(unit, _) => fine(unit, "yyyy-mm-dd hh:mm:ss", 20.0),
            DataType::Time32(unit) | DataType::Time64(unit) => fine(unit, "hh:mm:ss", 9.0),
            DataType::Duration(unit) => fine(unit, "[h]:mm:ss", 12.0),
            _ => return None,
        };
        Some(Look { format, width })
    }

    /// Brings an array of this column to the type that [`Self::cells`] reads.
    pub(super) fn plain(&self, array: &ArrayRef) -> datafusion::error::Result<ArrayRef> {
        let options = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        Ok(cast_with_options(array, &self.read_as, &options)?)
    }

    /// Reads a plain array, whose values are there for every row that is asked for.
    pub(super) fn cells<'a>(
        &self,
        array: &'a dyn Array,
        options: &'a XlsxOptions,
    ) -> datafusion::error::Result<Cells<'a>> {
        let zone = self.zone;
        let cells: Cells<'a> = match &self.data_type {
            DataType::Null => return Ok(Box::new(|_| Ok(Cell::Empty))),
            DataType::Boolean => {
                let values = array.as_boolean();
                Box::new(|row| Ok(Cell::Boolean(values.value(row))))
            }
            DataType::UInt64 => {
                let values = array.as_primitive::<UInt64Type>();
                Box::new(|row| {
                    let value = values.value(row);
                    whole(value, value as f64, || value.to_string(), options)
                })
            }
            DataType::Float64 => {
                let values = array.as_primitive::<Float64Type>();
                Box::new(|row| float(values.value(row), options))
            }
            DataType::Float16 | DataType::Float32 => {
                let values = array.as_primitive::<Float32Type>();
                Box::new(|row| float(widened(values.value(row)), options))
            }
            DataType::Decimal256(..) => {
                let values = array.as_primitive::<Decimal256Type>();
                Box::new(|row| decimal(values.value_as_string(row), options))
            }
            DataType::Decimal32(_, scale)
            | DataType::Decimal64(_, scale)
            | DataType::Decimal128(_, scale) => {
                let values = array.as_primitive::<Decimal128Type>();
                let scale = *scale;
                Box::new(move |row| match quotient(values.value(row), scale) {
                    Some(number) => Ok(Cell::Number(number)),
                    None => decimal(values.value_as_string(row), options),
                })
            }
            DataType::Utf8 => texts(array.as_string::<i32>()),
            DataType::LargeUtf8 => texts(array.as_string::<i64>()),
            DataType::Utf8View => texts(array.as_string_view()),
            DataType::Date32 | DataType::Date64 => {
                let values = array.as_primitive::<Date64Type>();
                Box::new(|row| number_or(serial(values.value(row)), NO_MOMENT))
            }
            DataType::Timestamp(unit, _) => {
                let values = array.as_primitive::<Int64Type>();
                let unit = *unit;
                Box::new(move |row| {
                    let millis = milliseconds(values.value(row), unit);
                    let millis = millis.and_then(|millis| match zone {
                        Some(zone) => local(millis, zone),
                        None => Some(millis),
                    });
                    number_or(millis.and_then(serial), NO_MOMENT)
                })
            }
            DataType::Time32(_) | DataType::Time64(_) => {
                let values = array.as_primitive::<Time64NanosecondType>();
                Box::new(|row| {
                    let millis = milliseconds(values.value(row), TimeUnit::Nanosecond);
                    number_or(millis.and_then(length), "no time of a day")
                })
            }
            DataType::Duration(unit) => {
                let values = array.as_primitive::<Int64Type>();
                let unit = *unit;
                Box::new(move |row| {
                    let millis = milliseconds(values.value(row), unit);
                    number_or(millis.and_then(length), NO_LENGTH)
                })
            }
            DataType::Interval(_) => {
                let shown = ArrayFormatter::try_new(array, &SHOWN)?;
                Box::new(move |row| Ok(Cell::Text(shown.value(row).to_string().into())))
            }
            // All other integers.
            _ => {
                let values = array.as_primitive::<Int64Type>();
                Box::new(|row| {
                    let value = values.value(row);
                    let number = value as f64;
                    whole(value.unsigned_abs(), number, || value.to_string(), options)
                })
            }
        };
        if array.null_count() == 0 {
            return Ok(cells);
        }
        Ok(Box::new(move |row| match array.is_null(row) {
            true => Ok(Cell::Empty),
            false => cells(row),
        }))
    }
}

const SHOWN: FormatOptions<'static> = FormatOptions::new();

const NO_MOMENT: &str =
    "a time before 1900 or after 9999, which Excel does not have: cast the column to text";
const NO_LENGTH: &str = "a duration that is negative or longer than 8099 years, which Excel cannot show: cast the column to text";

/// What arrays of a type are read as; None if no cell can hold its values.
fn read_as(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::Timestamp(..)
        | DataType::Duration(_) => DataType::Int64,
        DataType::Float16 | DataType::Float32 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Date32 | DataType::Date64 => DataType::Date64,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Nanosecond),
        DataType::Null
        | DataType::Boolean
        | DataType::UInt64
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Decimal256(..)
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Interval(_) => data_type.clone(),
        _ => return None,
    })
}

fn texts<'a>(values: impl ArrayAccessor<Item = &'a str> + 'a) -> Cells<'a> {
    Box::new(move |row| {
        let text = values.value(row);
        check_length(text)?;
        Ok(Cell::Text(text.into()))
    })
}

fn check_length(text: &str) -> Result<(), String> {
    // There are never more code units than bytes.
    if text.len() <= TEXT_LENGTH {
        return Ok(());
    }
    match text.encode_utf16().count() {
        ..=TEXT_LENGTH => Ok(()),
        length => Err(format!(
            "a text of {length} characters, and Excel holds {TEXT_LENGTH} in a cell: shorten it"
        )),
    }
}

fn whole<'a>(
    size: u64,
    number: f64,
    text: impl Fn() -> String,
    options: &XlsxOptions,
) -> Result<Cell<'a>, String> {
    match size <= WHOLE {
        true => Ok(Cell::Number(number)),
        false => long_number(text(), options),
    }
}

fn long_number<'a>(text: String, options: &XlsxOptions) -> Result<Cell<'a>, String> {
    match options.long_numbers_as_text {
        true => Ok(Cell::Text(text.into())),
        false => Err(format!(
            "{text} has more digits than a number of Excel's: cast the column to text, or write such values as text with OPTIONS (long_numbers 'text')"
        )),
    }
}

fn decimal<'a>(text: String, options: &XlsxOptions) -> Result<Cell<'a>, String> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if digits.trim_matches('0').len() <= DIGITS
        && let Ok(number) = text.parse()
    {
        return Ok(Cell::Number(number));
    }
    long_number(text, options)
}

/// A short decimal as the number nearest to it: both sides of the division are exact.
fn quotient(value: i128, scale: i8) -> Option<f64> {
    let exact = value.unsigned_abs() < DIGITS_LIMIT && (0..=22).contains(&scale);
    exact.then(|| value as f64 / 10_f64.powi(i32::from(scale)))
}

/// The number that has the digits that a REAL is shown with.
fn widened(value: f32) -> f64 {
    match value.fract() == 0.0 {
        true => f64::from(value),
        false => value.to_string().parse().unwrap_or(f64::from(value)),
    }
}

fn float<'a>(value: f64, options: &XlsxOptions) -> Result<Cell<'a>, String> {
    match (value.is_finite(), options.non_finite_as_empty) {
        (true, _) => Ok(Cell::Number(value)),
        (false, true) => Ok(Cell::Empty),
        (false, false) => Err(format!(
            "{value}, which Excel does not have: leave such cells empty with OPTIONS (non_finite 'empty')"
        )),
    }
}

fn number_or<'a>(number: Option<f64>, why_not: &str) -> Result<Cell<'a>, String> {
    number.map(Cell::Number).ok_or_else(|| why_not.to_owned())
}
