//! The keys of the rows that a MERGE takes from its source: which rows of the table could match one.
//!
//! They are remembered while the statement runs. The source is not read again for it: it might have other
//! rows then.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float16Type, Float32Type, Float64Type, Schema,
};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_expr::utils::reassign_expr_columns;
use datafusion::physical_plan::PhysicalExpr;

/// Of a source with more keys than this none are remembered.
pub(crate) const MOST_KEYS: usize = 1 << 18;

/// The values that rows are matched by.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    /// Over the columns of the rows.
    pub(crate) values: Vec<Arc<dyn PhysicalExpr>>,
    /// NULL is the same as NULL, and not the same as no other value.
    pub(crate) nulls_match: bool,
}

/// Keys that were seen: a hash of each. Two that have one hash by chance are taken for the same, so it
/// may look as if a row matched, and never as if none did.
#[derive(Debug, Default)]
pub(crate) struct SourceKeys(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    seen: HashSet<u64>,
    hasher: RandomState,
    /// How many partitions the source has.
    of: usize,
    /// Of each partition how often it was read, and how often to its end.
    partitions: HashMap<usize, (u32, u32)>,
    /// Some could not be remembered.
    incomplete: bool,
    memory: Option<MemoryReservation>,
}

impl SourceKeys {
    /// Counts what it holds in `memory`.
    pub(crate) fn count_in(&self, memory: MemoryReservation) {
        self.lock().memory = Some(memory);
    }

    /// Says that a partition of so many is about to be read.
    pub(crate) fn begin(&self, partition: usize, of: usize) {
        let mut state = self.lock();
        state.of = of;
        state.partitions.entry(partition).or_default().0 += 1;
    }

    /// Says that it was read to its end.
    pub(crate) fn end(&self, partition: usize) {
        self.lock().partitions.entry(partition).or_default().1 += 1;
    }

    /// Remembers the keys of some rows.
    pub(crate) fn add(&self, keys: &Keys, rows: &RecordBatch) {
        let hasher = match self.lock() {
            state if state.incomplete => return,
            state => state.hasher.clone(),
        };
        let hashes = keys.hashes(&hasher, rows);
        let mut state = self.lock();
        match hashes {
            Ok(hashes) => state.seen.extend(hashes.into_iter().flatten()),
            Err(error) => {
                ::log::debug!("the keys of a source are not known: {error}");
                state.incomplete = true;
            }
        }
        state.incomplete |= state.seen.len() > MOST_KEYS;
        let bytes = state.seen.capacity() * (size_of::<u64>() + 1);
        if let Some(memory) = &mut state.memory {
            // Without memory for them the statement goes on without them.
            let held = memory.try_resize(bytes).is_ok();
            state.incomplete |= !held;
        }
        if state.incomplete {
            state.seen = HashSet::new();
            if let Some(memory) = &state.memory {
                memory.free();
            }
        }
    }

    /// True if all keys of the source are known: each partition was read to its end.
    pub(super) fn are_complete(&self) -> bool {
        let state = self.lock();
        let read = |partition| {
            let times = state.partitions.get(&partition);
            times.is_some_and(|(begun, ended)| *begun > 0 && begun == ended)
        };
        !state.incomplete && state.of > 0 && (0..state.of).all(read)
    }

    /// Of each row whether a row of the source may have its key.
    pub(super) fn match_rows(&self, keys: &Keys, rows: &RecordBatch) -> Result<BooleanArray> {
        let hasher = self.lock().hasher.clone();
        let hashes = keys.hashes(&hasher, rows)?;
        let state = self.lock();
        let matches = hashes.into_iter();
        let matches = matches.map(|hash| hash.is_some_and(|hash| state.seen.contains(&hash)));
        Ok(BooleanArray::from(matches.collect::<Vec<_>>()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    /// The same over columns of these names.
    pub(crate) fn over(&self, schema: &Schema) -> Result<Self> {
        let values = self.values.iter();
        let values = values.map(|value| reassign_expr_columns(Arc::clone(value), schema));
        Ok(Self {
            values: values.collect::<Result<_>>()?,
            nulls_match: self.nulls_match,
        })
    }

    /// The hash of the key of each row; None for one that matches nothing.
    fn hashes(&self, hasher: &RandomState, rows: &RecordBatch) -> Result<Vec<Option<u64>>> {
        let columns = self.values.iter().map(|value| {
            let values = value.evaluate(rows)?.into_array(rows.num_rows())?;
            Ok(same_bits(values))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let fields = columns.iter();
        let fields = fields.map(|column| SortField::new(column.data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        let keys = converter.convert_columns(&columns)?;
        let nulls = columns.iter().map(|column| column.logical_nulls());
        let valid = nulls.fold(None, |all: Option<NullBuffer>, nulls| {
            NullBuffer::union(all.as_ref(), nulls.as_ref())
        });
        let valid = valid.filter(|_| !self.nulls_match);
        let hashes = keys.iter().enumerate().map(|(at, key)| {
            let matches_nothing = valid.as_ref().is_some_and(|valid| valid.is_null(at));
            (!matches_nothing).then(|| hasher.hash_one(key.as_ref()))
        });
        Ok(hashes.collect())
    }
}

/// True for values of which it is known what the engine takes for equal.
pub(crate) fn is_known_key(data_type: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Boolean, Date32, Date64, Decimal32, Decimal64, Decimal128, Decimal256,
        Duration, FixedSizeBinary, LargeBinary, LargeUtf8, Time32, Time64, Timestamp, Utf8,
        Utf8View,
    };
    let other = matches!(
        data_type,
        Boolean
            | Utf8
            | Utf8View
            | LargeUtf8
            | Binary
            | BinaryView
            | LargeBinary
            | FixedSizeBinary(_)
            | Date32
            | Date64
            | Time32(_)
            | Time64(_)
            | Timestamp(_, _)
            | Duration(_)
            | Decimal32(_, _)
            | Decimal64(_, _)
            | Decimal128(_, _)
            | Decimal256(_, _)
    );
    data_type.is_integer() || data_type.is_floating() || other
}

/// The same values, in which floats that anybody may take for equal have the same bits: zeros of both
/// signs, and whatever is no number.
fn same_bits(values: ArrayRef) -> ArrayRef {
    fn same<T: ArrowPrimitiveType>(
        values: &ArrayRef,
        same: impl Fn(T::Native) -> T::Native,
    ) -> ArrayRef {
        Arc::new(values.as_primitive::<T>().unary::<_, T>(same))
    }
    match values.data_type() {
        DataType::Float16 => same::<Float16Type>(&values, |value| {
            let as_f32 = f32::from(value);
            match (as_f32 == 0.0, as_f32.is_nan()) {
                (true, _) => Default::default(),
                (_, true) => <<Float16Type as ArrowPrimitiveType>::Native>::NAN,
                _ => value,
            }
        }),
        DataType::Float32 => {
            same::<Float32Type>(&values, |value| match (value == 0.0, value.is_nan()) {
                (true, _) => 0.0,
                (_, true) => f32::NAN,
                _ => value,
            })
        }
        DataType::Float64 => {
            same::<Float64Type>(&values, |value| match (value == 0.0, value.is_nan()) {
                (true, _) => 0.0,
                (_, true) => f64::NAN,
                _ => value,
            })
        }
        _ => values,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Float64Array, Int64Array, StringArray};
    use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryConsumer, MemoryPool};
    use datafusion::physical_expr::expressions::col;

    use super::*;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        let columns = columns.into_iter();
        let columns = columns.map(|(name, column)| (name, column, true));
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    }

    fn numbers(values: impl Into<Vec<Option<i64>>>) -> ArrayRef {
        Arc::new(Int64Array::from(values.into()))
    }

    /// By all columns.
    fn keys(rows: &RecordBatch, nulls_match: bool) -> Keys {
        let schema = rows.schema();
        let values = schema.fields().iter();
        let values = values.map(|field| col(field.name(), &schema).unwrap());
        Keys {
            values: values.collect(),
            nulls_match,
        }
    }

    /// Which of `rows` one of `source` matches.
    fn matched(source: &RecordBatch, rows: &RecordBatch, nulls_match: bool) -> Vec<bool> {
        let known = SourceKeys::default();
        known.add(&keys(source, nulls_match), source);
        let matched = known.match_rows(&keys(rows, nulls_match), rows).unwrap();
        matched.iter().map(Option::unwrap).collect()
    }

    #[test]
    fn rows_match_that_have_all_values_of_one_key() {
        let texts = |values: &[&str]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
        let source = batch(vec![
            ("a", numbers([Some(1), Some(2), None])),
            ("b", texts(&["x", "y", "x"])),
        ]);
        let rows = batch(vec![
            ("c", numbers([Some(1), Some(1), Some(2), None, Some(12)])),
            ("d", texts(&["x", "y", "y", "x", ""])),
        ]);
        assert_eq!(
            matched(&source, &rows, false),
            [true, false, true, false, false]
        );
        assert_eq!(
            matched(&source, &rows, true),
            [true, false, true, true, false]
        );
    }

    #[test]
    fn floats_match_that_anybody_may_take_for_equal() {
        let floats =
            |values: Vec<f64>| batch(vec![("a", Arc::new(Float64Array::from(values)) as _)]);
        let other_nan = f64::from_bits(f64::NAN.to_bits() | 1 << 63 | 1);
        let source = floats(vec![0.0, f64::NAN, 1.5]);
        let rows = floats(vec![-0.0, 0.0, other_nan, 1.5, f64::MIN_POSITIVE]);
        let expected = [true, true, true, true, false];
        assert_eq!(matched(&source, &rows, false), expected);
        let as_f32 = |rows: &RecordBatch| {
            let column = rows.column(0).as_primitive::<Float64Type>();
            let column = column.unary::<_, Float32Type>(|value| value as f32);
            batch(vec![("a", Arc::new(column) as ArrayRef)])
        };
        assert_eq!(
            matched(&as_f32(&source), &as_f32(&rows), false),
            [true, true, true, true, true]
        );
    }

    #[test]
    fn keys_are_complete_once_each_partition_was_read_to_its_end() {
        let known = SourceKeys::default();
        assert!(!known.are_complete(), "nobody has read it");
        known.begin(0, 2);
        known.end(0);
        assert!(!known.are_complete());
        known.begin(1, 2);
        assert!(!known.are_complete());
        known.end(1);
        assert!(known.are_complete());
        known.begin(1, 2);
        assert!(!known.are_complete(), "it is read once more");
    }

    /// True if so many keys are remembered, of which this is the memory.
    fn are_remembered(count: usize, memory: usize) -> bool {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(memory));
        let known = SourceKeys::default();
        known.count_in(MemoryConsumer::new("keys").register(&pool));
        known.begin(0, 1);
        let all: Vec<_> = (0..count as i64).map(Some).collect();
        for some in all.chunks(10_000) {
            let rows = batch(vec![("a", numbers(some))]);
            known.add(&keys(&rows, false), &rows);
        }
        known.end(0);
        let complete = known.are_complete();
        assert!(complete || pool.reserved() == 0);
        assert!(pool.reserved() >= if complete { count * 8 } else { 0 });
        complete
    }

    #[test]
    fn too_many_keys_and_those_without_memory_are_not_remembered() {
        assert!(are_remembered(MOST_KEYS, 1 << 30));
        assert!(!are_remembered(MOST_KEYS + 1, 1 << 30));
        assert!(are_remembered(1000, 1 << 20));
        assert!(!are_remembered(100_000, 1 << 10));
    }
}
