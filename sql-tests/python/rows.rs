//! Rows in one form, whoever read them: pandas through `read.py`, or atio.
//!
//! pandas keeps a column with missing numbers as floats and its floats do not
//! tell NaN from missing, so this form does not either: a whole number is a
//! whole number in any type, and NaN is null.

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Number, Value, json};

/// Column names in order, and the rows as JSON text, sorted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rows {
    columns: Vec<String>,
    rows: Vec<String>,
}

impl Rows {
    /// Of `{"columns": [..], "rows": [[..], ..]}`; a column is its name, or a
    /// list that begins with it.
    pub(super) fn of_json(table: &Value) -> Self {
        let name = |column: &Value| {
            let name = column.get(0).unwrap_or(column);
            name.as_str().unwrap().to_owned()
        };
        let row = |row: &Value| row.as_array().unwrap().iter().map(canonical).collect();
        Self::new(
            array(table, "columns").iter().map(name).collect(),
            array(table, "rows").iter().map(row).collect(),
        )
    }

    pub(super) fn of_batches(columns: Vec<String>, batches: &[RecordBatch]) -> Self {
        let mut rows = Vec::new();
        for batch in batches {
            let columns: Vec<_> = batch.columns().iter().map(|c| values(c)).collect();
            for at in 0..batch.num_rows() {
                rows.push(columns.iter().map(|column| column[at].clone()).collect());
            }
        }
        Self::new(columns, rows)
    }

    fn new(columns: Vec<String>, rows: Vec<Vec<Value>>) -> Self {
        let mut rows: Vec<_> = rows.into_iter().map(|r| json!(r).to_string()).collect();
        rows.sort();
        Self { columns, rows }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// These rows and those of another read of the same columns.
    pub(super) fn and(&self, other: &Self) -> Self {
        assert_eq!(self.columns, other.columns);
        let mut both = self.clone();
        both.rows.extend(other.rows.iter().cloned());
        both.rows.sort();
        both
    }
}

fn array<'a>(table: &'a Value, key: &str) -> &'a Vec<Value> {
    table[key]
        .as_array()
        .unwrap_or_else(|| panic!("no rows: {table}"))
}

fn canonical(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => float(number.as_f64().unwrap()),
        Value::String(text) if text == "NaN" => Value::Null,
        Value::Array(items) => items.iter().map(canonical).collect(),
        other => other.clone(),
    }
}

fn float(value: f64) -> Value {
    // Past 2^53 a float stands for several whole numbers: it stays a float.
    let whole = value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0;
    if whole && !(value == 0.0 && value.is_sign_negative()) {
        return json!(value as i64);
    }
    match Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => Value::Null,
        None => json!(if value > 0.0 { "inf" } else { "-inf" }),
    }
}

fn values(array: &dyn Array) -> Vec<Value> {
    let to = |target: &DataType| cast(array, target).unwrap();
    let each = |value: &dyn Fn(usize) -> Value| {
        (0..array.len())
            .map(|at| match array.is_null(at) {
                true => Value::Null,
                false => value(at),
            })
            .collect()
    };
    match array.data_type() {
        DataType::Null => vec![Value::Null; array.len()],
        DataType::Boolean => each(&|at| json!(array.as_boolean().value(at))),
        DataType::UInt64 => {
            let numbers = array.as_primitive::<UInt64Type>();
            each(&|at| json!(numbers.value(at)))
        }
        integer if integer.is_integer() => {
            let numbers = to(&DataType::Int64);
            each(&|at| json!(numbers.as_primitive::<Int64Type>().value(at)))
        }
        real if real.is_floating() => {
            let numbers = to(&DataType::Float64);
            each(&|at| float(numbers.as_primitive::<Float64Type>().value(at)))
        }
        DataType::List(_) => each(&|at| values(&array.as_list::<i32>().value(at)).into()),
        DataType::LargeList(_) => each(&|at| values(&array.as_list::<i64>().value(at)).into()),
        DataType::Dictionary(_, value) => values(&to(value)),
        DataType::Timestamp(unit, Some(_)) => {
            let utc = to(&DataType::Timestamp(*unit, Some("UTC".into())));
            text(&utc, "%Y-%m-%dT%H:%M:%S%.9fZ")
        }
        DataType::Timestamp(_, None) => text(array, "%Y-%m-%dT%H:%M:%S%.9f"),
        _ => text(array, ""),
    }
}

/// As arrow prints a value: strings as they are, dates in ISO form, decimals
/// with their scale, bytes in hex.
fn text(array: &dyn Array, timestamp: &str) -> Vec<Value> {
    let options = FormatOptions::new()
        .with_timestamp_format(Some(timestamp))
        .with_timestamp_tz_format(Some(timestamp));
    let formatter = ArrayFormatter::try_new(array, &options).unwrap();
    (0..array.len())
        .map(|at| match array.is_null(at) {
            true => Value::Null,
            false => json!(formatter.value(at).to_string()),
        })
        .collect()
}
