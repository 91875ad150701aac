//! What the footer of a Parquet file tells: its schema, rows and statistics.

use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Float16Type,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Schema, SchemaRef,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::async_reader::MetadataFetch;
use parquet::arrow::{parquet_column, parquet_to_arrow_schema};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use crate::error::{Error, Result};
use crate::format::TableSchema;
use crate::format::stats::{Bound, ColumnStats, Value};
use crate::storage::Objects;
use crate::storage::with_open_files;

/// The footer of one data file.
pub struct Footer {
    metadata: Arc<ParquetMetaData>,
    schema: SchemaRef,
}

impl Footer {
    /// Reads the schema that the footer has.
    pub fn new(metadata: Arc<ParquetMetaData>) -> Result<Self> {
        let file = metadata.file_metadata();
        let schema = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())
            .map_err(|error| {
                Error::damaged("a Parquet footer has a schema that is not Arrow's")
                    .with_source(error)
            })?;
        Ok(Self {
            metadata,
            schema: Arc::new(schema),
        })
    }

    /// Reads the footer of the data file at `path`, which has `size` bytes.
    pub(in crate::log) async fn read(objects: &Objects, path: &str, size: u64) -> Result<Self> {
        // The decoders panic over some footers that are damaged.
        let read = AssertUnwindSafe(Self::load(objects, path, size));
        read.catch_unwind()
            .await
            .unwrap_or_else(|_| Err(not_whole(path, size)))
    }

    async fn load(objects: &Objects, path: &str, size: u64) -> Result<Self> {
        let reader = Ranges {
            store: Arc::clone(objects.store()),
            key: objects.key(path)?,
        };
        let metadata = ParquetMetaDataReader::new()
            .with_prefetch_hint(Some(64 * 1024))
            .load_and_finish(reader, size)
            .await
            .map_err(|error| not_whole(path, size).with_source(error))?;
        Self::new(Arc::new(metadata)).map_err(|error| error.context(path))
    }

    pub(in crate::log) fn metadata(&self) -> &Arc<ParquetMetaData> {
        &self.metadata
    }

    pub(in crate::log) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// True if the file has the columns of a table with `schema`, with their ids and types.
    pub(in crate::log) fn has_columns_of(&self, schema: &TableSchema) -> Result<bool> {
        Ok(self.schema.fields() == schema.to_arrow_with_ids()?.fields())
    }

    /// How many rows the file has.
    pub fn rows(&self) -> Result<u64> {
        u64::try_from(self.metadata.file_metadata().num_rows())
            .map_err(|_| Error::damaged("a Parquet footer counts less than zero rows"))
    }

    /// Statistics of the columns called `names`, in that order.
    ///
    /// `nan_free` says of each column whether it is known to hold no NaN: a footer does not
    /// tell. A column that the file lacks, or of a type without order, has none.
    pub fn stats(&self, names: &[&str], nan_free: impl Fn(&str) -> bool) -> Vec<ColumnStats> {
        names
            .iter()
            .map(|name| self.column(name, nan_free(name)).unwrap_or_default())
            .collect()
    }

    /// The uncompressed bytes of the columns called `names`, in that order, where the type has no
    /// fixed width; empty if that is so of none.
    pub fn column_bytes(&self, names: &[&str]) -> Vec<Option<u64>> {
        let bytes: Vec<_> = names.iter().map(|name| self.bytes_of(name)).collect();
        match bytes.iter().all(Option::is_none) {
            true => Vec::new(),
            false => bytes,
        }
    }

    fn bytes_of(&self, name: &str) -> Option<u64> {
        let field = self.schema.field_with_name(name).ok()?;
        if field.data_type().primitive_width().is_some() {
            return None;
        }
        let parquet = self.metadata.file_metadata().schema_descr();
        let (at, _) = parquet_column(parquet, &self.schema, name)?;
        let groups = self.metadata.row_groups().iter();
        let mut bytes = groups.map(|group| group.column(at).uncompressed_size());
        bytes.try_fold(0_u64, |sum, bytes| {
            sum.checked_add(u64::try_from(bytes).ok()?)
        })
    }

    fn column(&self, name: &str, nan_free: bool) -> Option<ColumnStats> {
        let field = self.schema.field_with_name(name).ok()?;
        if !has_stats(field.data_type()) {
            return None;
        }
        let parquet = self.metadata.file_metadata().schema_descr();
        let converter = StatisticsConverter::try_new(name, &self.schema, parquet).ok()?;
        let groups = self.metadata.row_groups();
        let (mins, maxes) = (
            converter.row_group_mins(groups).ok()?,
            converter.row_group_maxes(groups).ok()?,
        );
        let at = converter.parquet_column_index()?;
        let mut nulls = Some(0_u64);
        let mut low = Side::default();
        let mut high = Side::default();
        for (i, group) in groups.iter().enumerate() {
            let stats = group.column(at).statistics();
            let group_nulls = stats.and_then(|stats| stats.null_count_opt());
            nulls = nulls.zip(group_nulls).and_then(|(a, b)| a.checked_add(b));
            if u64::try_from(group.num_rows()).is_ok_and(|rows| group_nulls == Some(rows)) {
                continue;
            }
            low.meet(
                Raw::of(&mins, i),
                stats.is_some_and(|s| s.min_is_exact()),
                |new, old| new < old,
            );
            high.meet(
                Raw::of(&maxes, i),
                stats.is_some_and(|s| s.max_is_exact()),
                |new, old| new > old,
            );
        }
        let float = field.data_type().is_floating();
        Some(ColumnStats {
            nulls,
            min: low.value().and_then(|(raw, exact)| raw.min_bound(exact)),
            max: high.value().and_then(|(raw, exact)| raw.max_bound(exact)),
            nan: float && !nan_free,
        })
    }
}

fn not_whole(path: &str, size: u64) -> Error {
    Error::damaged(format!("{path} ({size} bytes) is not a whole Parquet file"))
}

/// Reads ranges of one object.
struct Ranges {
    store: Arc<dyn ObjectStore>,
    key: Path,
}

impl MetadataFetch for Ranges {
    fn fetch(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        Box::pin(async move {
            let Self { store, key } = &*self;
            Ok(with_open_files(|| store.get_range(key, range.clone())).await?)
        })
    }
}

/// The ids and names of the columns of `schema` that statistics are kept of.
pub fn stats_columns<'a>(schema: &'a TableSchema, arrow: &Schema) -> (Vec<i32>, Vec<&'a str>) {
    let fields = schema.fields.iter().zip(arrow.fields());
    fields
        .filter(|(_, arrow)| has_stats(arrow.data_type()))
        .map(|(field, _)| (field.id, field.name.as_str()))
        .unzip()
}

fn has_stats(data_type: &DataType) -> bool {
    use DataType::*;
    data_type.is_integer()
        || data_type.is_floating()
        || matches!(
            data_type,
            Boolean
                | Date32
                | Date64
                | Time32(_)
                | Time64(_)
                | Timestamp(..)
                | Decimal32(..)
                | Decimal64(..)
                | Decimal128(..)
                | Utf8
                | LargeUtf8
                | Utf8View
                | Binary
                | LargeBinary
                | BinaryView
                | FixedSizeBinary(_)
        )
}

/// The smallest or largest value over row groups.
#[derive(Default)]
struct Side {
    best: Option<(Raw, bool)>,
    unknown: bool,
}

impl Side {
    fn meet(&mut self, raw: Option<Raw>, exact: bool, better: impl Fn(&Raw, &Raw) -> bool) {
        match (raw, &self.best) {
            (None, _) => self.unknown = true,
            (Some(new), Some((old, _))) if !better(&new, old) => {
                // Of two equal ones either will do; an inexact one must not pose as exact.
                if let Some((old, old_exact)) = &mut self.best {
                    *old_exact &= exact || *old != new;
                }
            }
            (Some(new), _) => self.best = Some((new, exact)),
        }
    }

    fn value(self) -> Option<(Raw, bool)> {
        self.best.filter(|_| !self.unknown)
    }
}

/// A value in an order that is the column's.
#[derive(PartialEq, PartialOrd)]
enum Raw {
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Binary(Vec<u8>),
}

impl Raw {
    /// The value at `i`; None where it is null, not a number or of a type without order.
    fn of(array: &ArrayRef, i: usize) -> Option<Self> {
        if array.is_null(i) {
            return None;
        }
        macro_rules! int {
            ($type:ty) => {
                Raw::Int(i128::from(array.as_primitive::<$type>().value(i)))
            };
        }
        let float = |value: f64| (!value.is_nan()).then_some(Raw::Float(value));
        Some(match array.data_type() {
            DataType::Boolean => Raw::Bool(array.as_boolean().value(i)),
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
            DataType::Decimal128(..) => Raw::Int(array.as_primitive::<Decimal128Type>().value(i)),
            DataType::Float16 => float(f64::from(array.as_primitive::<Float16Type>().value(i)))?,
            DataType::Float32 => float(f64::from(array.as_primitive::<Float32Type>().value(i)))?,
            DataType::Float64 => float(array.as_primitive::<Float64Type>().value(i))?,
            DataType::Utf8 => Raw::Text(array.as_string::<i32>().value(i).to_owned()),
            DataType::LargeUtf8 => Raw::Text(array.as_string::<i64>().value(i).to_owned()),
            DataType::Utf8View => Raw::Text(array.as_string_view().value(i).to_owned()),
            DataType::Binary => Raw::Binary(array.as_binary::<i32>().value(i).to_owned()),
            DataType::LargeBinary => Raw::Binary(array.as_binary::<i64>().value(i).to_owned()),
            DataType::BinaryView => Raw::Binary(array.as_binary_view().value(i).to_owned()),
            DataType::FixedSizeBinary(_) => {
                Raw::Binary(array.as_fixed_size_binary().value(i).to_owned())
            }
            _ => return None,
        })
    }

    fn min_bound(self, exact: bool) -> Option<Bound> {
        Some(match self {
            // Either zero may stand for both: the bound takes the lower one.
            Raw::Float(0.0) => Bound {
                value: Value::Float(-0.0),
                cut: !exact,
            },
            Raw::Text(text) => Bound::text_min(&text, exact),
            Raw::Binary(bytes) => Bound::binary_min(&bytes, exact),
            raw => raw.simple(exact)?,
        })
    }

    fn max_bound(self, exact: bool) -> Option<Bound> {
        match self {
            Raw::Float(0.0) => Some(Bound {
                value: Value::Float(0.0),
                cut: !exact,
            }),
            Raw::Text(text) => Bound::text_max(&text, exact),
            Raw::Binary(bytes) => Bound::binary_max(&bytes, exact),
            raw => raw.simple(exact),
        }
    }

    fn simple(self, exact: bool) -> Option<Bound> {
        let value = match self {
            Raw::Bool(value) => Value::Bool(value),
            Raw::Int(value) => Value::Int(value),
            Raw::Float(value) => Value::Float(value),
            Raw::Text(_) | Raw::Binary(_) => return None,
        };
        Some(Bound { value, cut: !exact })
    }
}
