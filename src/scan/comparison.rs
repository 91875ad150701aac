//! Comparing rows that came with rows that went, as they come sorted by version and hashes.
//!
//! Those that belong together follow each other: what is kept at any time are those of one key, and of
//! them none that has moved.

use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt64Array,
};
use datafusion::arrow::compute::{BatchCoalescer, interleave_record_batch};
use datafusion::arrow::datatypes::{DataType, Int64Type, SchemaRef, UInt64Type};
use datafusion::arrow::row::RowConverter;
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::common::Result;

use super::change_columns::ChangeKind;
use super::row_hash::converter;
use crate::error::Error;

/// Behind the columns of the table: what became of a row, the version, and its time.
pub(super) const CHANGE_COLUMNS: usize = 3;

/// What is compared.
#[derive(Debug, Clone)]
pub(super) struct Compared {
    /// What errors call the table.
    pub(super) table: String,
    /// How many columns the table has.
    pub(super) columns: usize,
    /// The places of the key among them.
    pub(super) key: Vec<usize>,
}

/// A row of a batch.
#[derive(Debug, Clone)]
struct Place {
    batch: Arc<RecordBatch>,
    at: usize,
}

/// Equal rows: how many more came than went.
#[derive(Debug)]
struct Equal {
    bytes: Box<[u8]>,
    balance: i64,
    one: Place,
}

/// What is left of the rows of one key.
#[derive(Debug)]
struct OfKey {
    bytes: Box<[u8]>,
    went: Option<Place>,
    came: Option<Place>,
}

/// Rows of one version that have the same hash.
#[derive(Debug)]
struct Run<T> {
    version: i64,
    hash: u64,
    rows: Vec<T>,
}

/// What is known of the rows so far.
pub(super) struct Comparison {
    compared: Compared,
    rows: RowConverter,
    keys: Option<RowConverter>,
    /// Rows that may be equal.
    equal: Option<Run<Equal>>,
    /// Rows that may have one key.
    of_key: Option<Run<OfKey>>,
    /// Rows to tell, what became of them, and how often each is told.
    pending: VecDeque<(Place, ChangeKind, u64)>,
    told: BatchCoalescer,
    has_ended: bool,
    schema: SchemaRef,
    most: usize,
}

impl Comparison {
    pub(super) fn new(compared: Compared, schema: &SchemaRef, most: usize) -> Result<Self> {
        let data_type = |at: usize| -> &DataType { schema.field(at).data_type() };
        let keys = match compared.key.as_slice() {
            [] => None,
            key => Some(converter(key.iter().map(|at| data_type(*at)))?),
        };
        Ok(Self {
            rows: converter((0..compared.columns).map(data_type))?,
            keys,
            compared,
            equal: None,
            of_key: None,
            pending: VecDeque::new(),
            has_ended: false,
            told: BatchCoalescer::new(Arc::clone(schema), most),
            schema: Arc::clone(schema),
            most,
        })
    }

    /// Adds rows, which follow those that were added before. All that could be told by then were.
    pub(super) fn add(&mut self, batch: Arc<RecordBatch>) -> Result<()> {
        let columns = self.compared.columns;
        let rows = self.rows.convert_columns(&batch.columns()[..columns])?;
        let changes = batch.column(columns).as_string::<i32>();
        let versions: &Int64Array = batch.column(columns + 1).as_primitive::<Int64Type>();
        let hashes: &UInt64Array = last(&batch).as_primitive::<UInt64Type>();
        for at in 0..batch.num_rows() {
            let (version, hash) = (versions.value(at), hashes.value(at));
            let same = |run: &Run<Equal>| run.version == version && run.hash == hash;
            if !self.equal.as_ref().is_some_and(same) {
                self.end_equal()?;
            }
            let run = self.equal.get_or_insert_with(|| Run {
                version,
                hash,
                rows: Vec::new(),
            });
            let row = rows.row(at);
            let by = match changes.value(at) == ChangeKind::Insert.word() {
                true => 1,
                false => -1,
            };
            let known = run
                .rows
                .iter_mut()
                .find(|equal| *equal.bytes == *row.data());
            match known {
                Some(equal) => equal.balance += by,
                None => run.rows.push(Equal {
                    bytes: row.data().into(),
                    balance: by,
                    one: Place {
                        batch: Arc::clone(&batch),
                        at,
                    },
                }),
            }
        }
        // Then the batch can go, once its rows were told.
        self.keep_alone()
    }

    /// There are no more rows.
    pub(super) fn end(&mut self) -> Result<()> {
        self.has_ended = true;
        self.end_equal()?;
        self.end_key();
        Ok(())
    }

    /// The next rows that are told; None if all were that are known.
    ///
    /// However often a row is told, only one batch of it is there at a time.
    pub(super) fn next_told(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(rows) = self.told.next_completed_batch() {
                return Ok(Some(rows));
            }
            if self.pending.is_empty() {
                if self.has_ended {
                    self.told.finish_buffered_batch()?;
                }
                return Ok(self.told.next_completed_batch());
            }
            self.tell()?;
        }
    }

    /// No other row is equal to those that were last.
    fn end_equal(&mut self) -> Result<()> {
        let Some(run) = self.equal.take() else {
            return Ok(());
        };
        for equal in run.rows {
            let kind = match equal.balance {
                0 => continue,
                1.. => ChangeKind::Insert,
                _ => ChangeKind::Delete,
            };
            match self.keys {
                Some(_) => self.add_to_key(run.version, &equal, kind)?,
                None => {
                    let times = equal.balance.unsigned_abs();
                    self.pending.push_back((equal.one, kind, times));
                }
            }
        }
        Ok(())
    }

    fn add_to_key(&mut self, version: i64, equal: &Equal, kind: ChangeKind) -> Result<()> {
        let Place { batch, at } = &equal.one;
        let hash = batch.column(self.compared.columns + CHANGE_COLUMNS);
        let hash = hash.as_primitive::<UInt64Type>().value(*at);
        let same = |run: &Run<OfKey>| run.version == version && run.hash == hash;
        if !self.of_key.as_ref().is_some_and(same) {
            self.end_key();
        }
        let key = self.compared.key.iter();
        let key: Vec<ArrayRef> = key.map(|key| batch.column(*key).slice(*at, 1)).collect();
        let bytes: Box<[u8]> = match &self.keys {
            Some(keys) => keys.convert_columns(&key)?.row(0).data().into(),
            None => Box::default(),
        };
        let run = self.of_key.get_or_insert_with(|| Run {
            version,
            hash,
            rows: Vec::new(),
        });
        if !run.rows.iter().any(|of_key| of_key.bytes == bytes) {
            run.rows.push(OfKey {
                bytes: bytes.clone(),
                went: None,
                came: None,
            });
        }
        let of_key = run.rows.iter_mut().find(|of_key| of_key.bytes == bytes);
        let side = of_key.map(|of_key| match kind {
            ChangeKind::Insert => &mut of_key.came,
            _ => &mut of_key.went,
        });
        match side {
            Some(side) if side.is_none() && equal.balance.unsigned_abs() == 1 => {
                *side = Some(equal.one.clone());
                Ok(())
            }
            _ => Err(self.repeated((version, kind), &equal.one).into()),
        }
    }

    /// No other row has the key of those that were last.
    fn end_key(&mut self) {
        let run = self.of_key.take();
        for of_key in run.into_iter().flat_map(|run| run.rows) {
            let (before, after) = match (&of_key.went, &of_key.came) {
                (Some(_), Some(_)) => (ChangeKind::UpdateBefore, ChangeKind::UpdateAfter),
                _ => (ChangeKind::Delete, ChangeKind::Insert),
            };
            self.pending.extend(of_key.went.map(|row| (row, before, 1)));
            self.pending.extend(of_key.came.map(|row| (row, after, 1)));
        }
    }

    /// Makes a batch of the first rows that are to be told.
    fn tell(&mut self) -> Result<()> {
        let mut first: Vec<(Place, ChangeKind)> = Vec::new();
        while first.len() < self.most
            && let Some((place, kind, times)) = self.pending.pop_front()
        {
            let room = self.most - first.len();
            let now = usize::try_from(times).map_or(room, |times| times.min(room));
            let later = times - now as u64;
            if later > 0 {
                self.pending.push_front((place.clone(), kind, later));
            }
            first.extend(std::iter::repeat_n((place, kind), now));
        }
        let Some(rows) = together(first.iter().map(|(place, _)| place))? else {
            return Ok(());
        };
        let kinds = first.iter().map(|(_, kind)| Some(kind.word()));
        let mut columns = rows.columns()[..self.schema.fields().len()].to_vec();
        columns[self.compared.columns] = Arc::new(kinds.collect::<StringArray>());
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        Ok(self.told.push_batch(rows)?)
    }

    /// Copies the rows that more may follow to, so that they keep no batch.
    fn keep_alone(&mut self) -> Result<()> {
        let equal = self.equal.iter_mut().flat_map(|run| &mut run.rows);
        let of_key = self.of_key.iter_mut().flat_map(|run| &mut run.rows);
        let of_key = of_key.flat_map(|of_key| of_key.went.iter_mut().chain(&mut of_key.came));
        for place in equal.map(|equal| &mut equal.one).chain(of_key) {
            if place.batch.num_rows() > 1
                && let Some(alone) = together(std::iter::once(&*place))?
            {
                *place = Place {
                    batch: Arc::new(alone),
                    at: 0,
                };
            }
        }
        Ok(())
    }

    /// Several rows have the key of `one`.
    fn repeated(&self, (version, kind): (i64, ChangeKind), one: &Place) -> Error {
        let verb = match kind {
            ChangeKind::Insert => "added",
            _ => "removed",
        };
        let key = self.compared.key.iter().map(|at| {
            let (name, column) = (self.schema.field(*at).name(), one.batch.column(*at));
            let value = match column.is_null(one.at) {
                true => Ok("NULL".to_owned()),
                false => array_value_to_string(column, one.at),
            };
            let value = value.unwrap_or_default();
            format!("{} = {}", name.escape_debug(), value.escape_debug())
        });
        let key: Vec<_> = key.collect();
        Error::invalid(format!(
            "version {version} of '{}' {verb} several rows with the same key ({}), so it is not known which of them was updated: give a key that is unique, or leave it out",
            self.compared.table,
            key.join(", ")
        ))
    }
}

fn last(batch: &RecordBatch) -> &ArrayRef {
    batch.column(batch.num_columns() - 1)
}

/// These rows as one batch; None if there are none.
fn together<'a>(places: impl Iterator<Item = &'a Place>) -> Result<Option<RecordBatch>> {
    let mut batches: Vec<&RecordBatch> = Vec::new();
    let mut indices = Vec::new();
    for place in places {
        let batch = place.batch.as_ref();
        // Those of one batch mostly follow each other.
        let known = batches
            .iter()
            .rposition(|known| std::ptr::eq(*known, batch));
        let number = known.unwrap_or_else(|| {
            batches.push(batch);
            batches.len() - 1
        });
        indices.push((number, place.at));
    }
    match batches.is_empty() {
        true => Ok(None),
        false => Ok(Some(interleave_record_batch(&batches, &indices)?)),
    }
}
