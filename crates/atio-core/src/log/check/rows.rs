//! The statistics of a manifest against the values that are in a data file.

use std::fmt;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Float16Type,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Schema,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::ParquetMetaData;

use crate::error::{Error, ErrorKind, Result};
use crate::format::schema::FIELD_ID;
use crate::format::stats::{Bound, ColumnStats, Value, from_hex};
use crate::format::{FileEntry, Manifest, TableSchema};
use crate::log::read::footer::Footer;
use crate::storage::{Objects, with_open_files};

/// So many letters of a value are shown.
const SHOWN: usize = 40;

/// Reads the columns of which `manifest` has statistics, one after another, and says what is wrong
/// with these: they are of all rows that are stored, those that are marked as deleted too. `schema` is
/// the one that the manifest names.
///
/// Fails if the values cannot be read.
pub(super) async fn check(
    objects: &Objects,
    manifest: &Manifest,
    entry: &FileEntry,
    footer: &Footer,
    schema: Option<&TableSchema>,
) -> Result<Option<String>> {
    let known = manifest.stats_ids.iter().zip(&entry.stats);
    for (id, stats) in known.filter(|(_, stats)| !stats.is_empty()) {
        let Some(at) = column(footer.schema(), entry, *id, schema) else {
            continue;
        };
        // The decoders panic over some pages that are damaged.
        let read = AssertUnwindSafe(read(objects, &entry.path, footer, at)).catch_unwind();
        let damaged = || Error::damaged(format!("the rows of {} cannot be decoded", entry.path));
        let found = match read.await {
            Ok(Err(error)) if error.kind() == ErrorKind::Storage => {
                return Err(error.context(format!("cannot read {}", entry.path)));
            }
            Ok(found) => found.map_err(|error| damaged().with_source(error))?,
            Err(_) => return Err(damaged()),
        };
        let field = footer.schema().field(at);
        if let Some(wrong) = found.wrong(stats, field.data_type()) {
            let name = field.name().escape_debug();
            return Ok(Some(format!(
                "the statistics of column '{name}' are wrong: {wrong}"
            )));
        }
    }
    Ok(None)
}

/// Where the file has the column with this id; None for one below another, or that it has not.
fn column(
    file: &Schema,
    entry: &FileEntry,
    id: i32,
    schema: Option<&TableSchema>,
) -> Option<usize> {
    if entry.is_of_atio() {
        let id = id.to_string();
        let of = |metadata: &std::collections::HashMap<String, String>| {
            metadata.get(FIELD_ID) == Some(&id)
        };
        return file.fields().iter().position(|field| of(field.metadata()));
    }
    // What Python wrote has no ids: it is found by its name there.
    let field = schema?.fields.iter().find(|field| field.id == id)?;
    let name = field.legacy_name.as_ref()?;
    file.fields().iter().position(|field| field.name() == name)
}

async fn read(objects: &Objects, path: &str, footer: &Footer, at: usize) -> Result<Found> {
    let source = Source {
        store: Arc::clone(objects.store()),
        key: objects.key(path)?,
        metadata: Arc::clone(footer.metadata()),
    };
    let options = ArrowReaderOptions::default();
    let metadata = ArrowReaderMetadata::try_new(Arc::clone(footer.metadata()), options);
    let metadata = metadata.map_err(cannot)?;
    let only = ProjectionMask::roots(metadata.parquet_schema(), [at]);
    let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(source, metadata);
    let batches = builder.with_projection(only).build().map_err(cannot)?;
    let found = batches.try_fold(Found::default(), |found, batch| async move {
        let column = batch.columns().first();
        Ok(column.map_or(Found::default(), |column| found.and(column)))
    });
    found.await.map_err(cannot)
}

/// A request that failed says nothing of the bytes.
fn cannot(error: ParquetError) -> Error {
    let kind = match &error {
        ParquetError::External(source) if source.is::<object_store::Error>() => ErrorKind::Storage,
        _ => ErrorKind::Damaged,
    };
    Error::new(kind, error.to_string())
}

/// Reads ranges of one file.
struct Source {
    store: Arc<dyn ObjectStore>,
    key: Path,
    metadata: Arc<ParquetMetaData>,
}

impl AsyncFileReader for Source {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        Box::pin(async move {
            let Self { store, key, .. } = &*self;
            Ok(with_open_files(|| store.get_range(key, range.clone())).await?)
        })
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let metadata = Arc::clone(&self.metadata);
        Box::pin(async move { Ok(metadata) })
    }
}

/// What a column of a file holds.
#[derive(Default)]
struct Found {
    nulls: u64,
    /// The smallest and the largest value; None where there is none, or none in an order.
    bounds: Option<(Raw, Raw)>,
    nan: bool,
}

/// A value in an order that is the column's.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Raw {
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Binary(Vec<u8>),
}

impl Found {
    /// The same with the values of another piece of the column.
    fn and(mut self, array: &ArrayRef) -> Self {
        self.nulls += array.logical_null_count() as u64;
        let (bounds, nan) = bounds(array);
        self.nan |= nan;
        self.bounds = match (self.bounds, bounds) {
            (Some((min, max)), Some((low, high))) => Some((
                if low < min { low } else { min },
                if high > max { high } else { max },
            )),
            (one, other) => one.or(other),
        };
        self
    }

    /// What `stats` say that is not so.
    fn wrong(&self, stats: &ColumnStats, data_type: &DataType) -> Option<String> {
        if let Some(nulls) = stats.nulls.filter(|nulls| *nulls != self.nulls) {
            return Some(format!(
                "it has {} nulls, and {nulls} by its manifest",
                self.nulls
            ));
        }
        if self.nan && !stats.nan {
            return Some("it has a NaN, which its manifest does not say".to_owned());
        }
        let bound = |bound: &Option<Bound>| {
            let bound = bound.as_ref()?;
            Some((raw(&bound.value, data_type)?, bound.cut || stats.nan))
        };
        let (low, high) = (bound(&stats.min), bound(&stats.max));
        // Bounds that contradict each other are no bounds.
        if let (Some((low, _)), Some((high, _))) = (&low, &high)
            && low > high
        {
            return None;
        }
        let (min, max) = match &self.bounds {
            Some((min, max)) => (Some(min), Some(max)),
            None => (None, None),
        };
        let low = low.and_then(|(low, cut)| wrong_bound("smallest", &low, cut, min, |a, b| a < b));
        // A NaN is above every number.
        let high = high.filter(|_| !stats.nan);
        low.or_else(|| {
            high.and_then(|(high, cut)| wrong_bound("largest", &high, cut, max, |a, b| a > b))
        })
    }
}

fn wrong_bound(
    which: &str,
    said: &Raw,
    cut: bool,
    found: Option<&Raw>,
    beyond: impl Fn(&Raw, &Raw) -> bool,
) -> Option<String> {
    match found {
        None if cut => None,
        None => Some(format!(
            "it has no value, and {said} for its {which} by its manifest"
        )),
        Some(found) if beyond(found, said) || (!cut && found != said) => Some(format!(
            "its {which} value is {found}, and {said} by its manifest"
        )),
        Some(_) => None,
    }
}

/// A bound as a value of the file's type; None if it is not one.
fn raw(value: &Value, data_type: &DataType) -> Option<Raw> {
    let float = || match value {
        Value::Float(float) => Some(*float),
        Value::Int(int) => Some(*int as f64),
        Value::Text(text) if text == "inf" => Some(f64::INFINITY),
        Value::Text(text) if text == "-inf" => Some(f64::NEG_INFINITY),
        _ => None,
    };
    Some(match (data_type, value) {
        (DataType::Boolean, Value::Bool(value)) => Raw::Bool(*value),
        // What reads back the same in the width of the file.
        (DataType::Float16, _) => {
            Raw::Float(<Float16Type as ArrowPrimitiveType>::Native::from_f64(float()?).to_f64())
        }
        (DataType::Float32, _) => Raw::Float(f64::from(float()? as f32)),
        (DataType::Float64, _) => Raw::Float(float()?),
        (DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View, Value::Text(text)) => {
            Raw::Text(text.clone())
        }
        (
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_),
            Value::Text(text),
        ) => Raw::Binary(from_hex(text)?),
        (DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View, _) => {
            return None;
        }
        (_, Value::Int(int)) => Raw::Int(*int),
        (_, Value::Text(text)) => Raw::Int(text.parse().ok()?),
        _ => return None,
    })
}

/// The smallest and the largest value, and whether there is a NaN; None for a type of which no
/// statistics are kept.
fn bounds(array: &ArrayRef) -> (Option<(Raw, Raw)>, bool) {
    macro_rules! int {
        ($type:ty) => {
            ends(array.as_primitive::<$type>().iter().flatten(), |int| {
                Raw::Int(i128::from(int))
            })
        };
    }
    macro_rules! float {
        ($type:ty) => {{
            let floats = array.as_primitive::<$type>().iter().flatten();
            let floats: Vec<f64> = floats.map(f64::from).collect();
            let nan = floats.iter().any(|float| float.is_nan());
            let numbers = floats.into_iter().filter(|float| !float.is_nan());
            return (ends(numbers, Raw::Float), nan);
        }};
    }
    macro_rules! text {
        ($array:expr) => {
            ends($array.iter().flatten(), |text| Raw::Text(text.to_owned()))
        };
    }
    macro_rules! binary {
        ($array:expr) => {
            ends($array.iter().flatten(), |bytes| Raw::Binary(bytes.to_vec()))
        };
    }
    let ends = match array.data_type() {
        DataType::Boolean => ends(array.as_boolean().iter().flatten(), Raw::Bool),
        DataType::Int8 => int!(Int8Type),
        DataType::Int16 => int!(Int16Type),
        DataType::Int32 => int!(Int32Type),
        DataType::Int64 => int!(Int64Type),
        DataType::UInt8 => int!(UInt8Type),
        DataType::UInt16 => int!(UInt16Type),
        DataType::UInt32 => int!(UInt32Type),
        DataType::UInt64 => int!(UInt64Type),
        DataType::Date32 => int!(Date32Type),
        DataType::Date64 => int!(Date64Type),
        DataType::Time32(TimeUnit::Second) => int!(Time32SecondType),
        DataType::Time32(_) => int!(Time32MillisecondType),
        DataType::Time64(TimeUnit::Microsecond) => int!(Time64MicrosecondType),
        DataType::Time64(_) => int!(Time64NanosecondType),
        DataType::Timestamp(TimeUnit::Second, _) => int!(TimestampSecondType),
        DataType::Timestamp(TimeUnit::Millisecond, _) => int!(TimestampMillisecondType),
        DataType::Timestamp(TimeUnit::Microsecond, _) => int!(TimestampMicrosecondType),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => int!(TimestampNanosecondType),
        DataType::Decimal32(..) => int!(Decimal32Type),
        DataType::Decimal64(..) => int!(Decimal64Type),
        DataType::Decimal128(..) => int!(Decimal128Type),
        DataType::Float16 => float!(Float16Type),
        DataType::Float32 => float!(Float32Type),
        DataType::Float64 => float!(Float64Type),
        DataType::Utf8 => text!(array.as_string::<i32>()),
        DataType::LargeUtf8 => text!(array.as_string::<i64>()),
        DataType::Utf8View => text!(array.as_string_view()),
        DataType::Binary => binary!(array.as_binary::<i32>()),
        DataType::LargeBinary => binary!(array.as_binary::<i64>()),
        DataType::BinaryView => binary!(array.as_binary_view()),
        DataType::FixedSizeBinary(_) => binary!(array.as_fixed_size_binary()),
        _ => None,
    };
    (ends, false)
}

fn ends<T: PartialOrd + Copy>(
    values: impl Iterator<Item = T>,
    raw: impl Fn(T) -> Raw,
) -> Option<(Raw, Raw)> {
    let mut ends: Option<(T, T)> = None;
    for value in values {
        ends = Some(match ends {
            None => (value, value),
            Some((min, max)) => (
                if value < min { value } else { min },
                if value > max { value } else { max },
            ),
        });
    }
    ends.map(|(min, max)| (raw(min), raw(max)))
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Text(text) => match text.char_indices().nth(SHOWN) {
                Some((end, _)) => write!(f, "'{}..'", text[..end].escape_debug()),
                None => write!(f, "'{}'", text.escape_debug()),
            },
            Self::Binary(bytes) => {
                let shown = bytes.iter().take(SHOWN / 2);
                shown
                    .into_iter()
                    .try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str(if bytes.len() > SHOWN / 2 { ".." } else { "" })
            }
        }
    }
}
