//! Statistics of manifests as DataFusion's values.

use std::collections::HashMap;

use atio_core::format::stats::{Bound, ColumnStats, Value, from_hex};
use atio_core::format::{FileEntry, Manifest, TableSchema};
use datafusion::arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};

/// The engine adds the sizes of columns, files and tables up without looking for the largest
/// number, so those that are out of all proportion are unknown.
const MOST_BYTES: usize = 1 << 44;

/// Where a manifest has the statistics of each column of a table; None for one of which it has
/// none, or of another schema, whose types may be others.
pub(super) fn positions(manifest: &Manifest, schema: &TableSchema) -> Vec<Option<usize>> {
    let ids = manifest.stats_ids.iter().enumerate();
    let known: HashMap<i32, usize> = match manifest.schema == schema.id {
        true => ids.map(|(at, id)| (*id, at)).collect(),
        false => HashMap::new(),
    };
    let fields = schema.fields.iter();
    fields.map(|field| known.get(&field.id).copied()).collect()
}

/// The statistics of one file, column by column of the table.
///
/// `positions` are those of its manifest. As over plain Parquet, the bytes of the whole are left to
/// the engine, which knows what of it is read. Where rows are marked as deleted, bounds are those of all
/// rows of the file.
pub(super) fn of_file(
    file: &FileEntry,
    positions: &[Option<usize>],
    arrow: &SchemaRef,
) -> Statistics {
    let count = |number: Option<u64>| number.and_then(|number| usize::try_from(number).ok());
    let rows = count(file.live_rows().ok());
    let columns = positions.iter().zip(arrow.fields()).map(|(at, arrow)| {
        let stats = at.and_then(|at| file.stats.get(at));
        let mut column = stats.map_or_else(ColumnStatistics::new_unknown, |stats| {
            of_column(stats, arrow.data_type())
        });
        let bytes = at.and_then(|at| *file.column_bytes.get(at)?);
        let size = match (arrow.data_type().primitive_width(), rows, count(bytes)) {
            (Some(width), Some(rows), _) => width.checked_mul(rows).map(Precision::Exact),
            (None, _, Some(bytes)) => Some(Precision::Inexact(bytes)),
            _ => None,
        };
        let size = size.filter(|size| size.get_value().is_some_and(|size| *size <= MOST_BYTES));
        column.byte_size = size.unwrap_or_default();
        match file.dv {
            Some(_) => of_some_rows(column),
            None => column,
        }
    });
    Statistics {
        num_rows: rows.map_or(Precision::Absent, Precision::Exact),
        total_byte_size: Precision::Absent,
        column_statistics: columns.collect(),
    }
}

/// The statistics of a column of a file; None if the file has another schema, whose types
/// may be others.
pub(super) fn column<'a>(
    manifest: &Manifest,
    file: &'a FileEntry,
    field_id: i32,
    schema: &TableSchema,
) -> Option<&'a ColumnStats> {
    if manifest.schema != schema.id {
        return None;
    }
    manifest.stats_of(file, field_id)
}

/// What `column`, which is of all rows of a file, says of some of them, but for its bounds.
fn of_some_rows(column: ColumnStatistics) -> ColumnStatistics {
    ColumnStatistics {
        null_count: match column.null_count {
            // Then there is none among them either.
            Precision::Exact(0) => column.null_count,
            nulls => nulls.to_inexact(),
        },
        byte_size: column.byte_size.to_inexact(),
        ..column
    }
}

/// The same, with bounds that no row of the file may have.
pub(super) fn with_inexact_bounds(mut statistics: Statistics) -> Statistics {
    for column in &mut statistics.column_statistics {
        for bound in [&mut column.min_value, &mut column.max_value] {
            *bound = std::mem::take(bound).to_inexact();
        }
    }
    statistics
}

fn of_column(stats: &ColumnStats, data_type: &DataType) -> ColumnStatistics {
    let mut column = ColumnStatistics::new_unknown();
    if let Some(nulls) = stats.nulls.and_then(|nulls| usize::try_from(nulls).ok()) {
        column.null_count = Precision::Exact(nulls);
    }
    let precision = |bound: &Option<Bound>| {
        let Some(bound) = bound else {
            return Precision::Absent;
        };
        let Some(value) = scalar(&bound.value, data_type) else {
            return Precision::Absent;
        };
        // Either zero stands for both, so which one occurs is not known.
        let zero = matches!(bound.value, Value::Float(0.0));
        match bound.cut || zero {
            true => Precision::Inexact(value),
            false => Precision::Exact(value),
        }
    };
    // NaN is above every number, or below if its sign is set: then there are no bounds.
    if !stats.nan {
        column.min_value = precision(&stats.min);
        column.max_value = precision(&stats.max);
    }
    column
}

/// The value as one of `data_type`; None if it is not one.
pub(super) fn scalar(value: &Value, data_type: &DataType) -> Option<ScalarValue> {
    let int = match value {
        Value::Int(int) => Some(*int),
        Value::Text(text) => text.parse::<i128>().ok(),
        _ => None,
    };
    let float = match value {
        Value::Float(float) => Some(*float),
        Value::Int(int) => Some(*int as f64),
        Value::Text(text) if text == "inf" => Some(f64::INFINITY),
        Value::Text(text) if text == "-inf" => Some(f64::NEG_INFINITY),
        _ => None,
    };
    let text = || match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    };
    let bytes = || from_hex(&text()?);
    macro_rules! int {
        ($variant:ident) => {
            ScalarValue::$variant(Some(int?.try_into().ok()?))
        };
        ($variant:ident, $($more:expr),+) => {
            ScalarValue::$variant(Some(int?.try_into().ok()?), $($more),+)
        };
    }
    Some(match data_type {
        DataType::Boolean => match value {
            Value::Bool(value) => ScalarValue::Boolean(Some(*value)),
            _ => return None,
        },
        DataType::Int8 => int!(Int8),
        DataType::Int16 => int!(Int16),
        DataType::Int32 => int!(Int32),
        DataType::Int64 => int!(Int64),
        DataType::UInt8 => int!(UInt8),
        DataType::UInt16 => int!(UInt16),
        DataType::UInt32 => int!(UInt32),
        DataType::UInt64 => int!(UInt64),
        DataType::Date32 => int!(Date32),
        DataType::Date64 => int!(Date64),
        DataType::Time32(TimeUnit::Second) => int!(Time32Second),
        DataType::Time32(_) => int!(Time32Millisecond),
        DataType::Time64(TimeUnit::Microsecond) => int!(Time64Microsecond),
        DataType::Time64(_) => int!(Time64Nanosecond),
        DataType::Timestamp(TimeUnit::Second, zone) => int!(TimestampSecond, zone.clone()),
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            int!(TimestampMillisecond, zone.clone())
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            int!(TimestampMicrosecond, zone.clone())
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => int!(TimestampNanosecond, zone.clone()),
        DataType::Decimal32(precision, scale) => int!(Decimal32, *precision, *scale),
        DataType::Decimal64(precision, scale) => int!(Decimal64, *precision, *scale),
        DataType::Decimal128(precision, scale) => int!(Decimal128, *precision, *scale),
        DataType::Float32 => ScalarValue::Float32(Some(float? as f32)),
        DataType::Float64 => ScalarValue::Float64(Some(float?)),
        DataType::Utf8 => ScalarValue::Utf8(Some(text()?)),
        DataType::LargeUtf8 => ScalarValue::LargeUtf8(Some(text()?)),
        DataType::Utf8View => ScalarValue::Utf8View(Some(text()?)),
        DataType::Binary => ScalarValue::Binary(Some(bytes()?)),
        DataType::LargeBinary => ScalarValue::LargeBinary(Some(bytes()?)),
        DataType::BinaryView => ScalarValue::BinaryView(Some(bytes()?)),
        DataType::FixedSizeBinary(width) => {
            let bytes = bytes().filter(|bytes| i32::try_from(bytes.len()) == Ok(*width))?;
            ScalarValue::FixedSizeBinary(*width, Some(bytes))
        }
        _ => return None,
    })
}
