//! What a statement changes: rows that go, and rows that come in their place.

use std::sync::{Arc, Mutex, PoisonError};

use atio_core::format::Operation;
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{Int64Type, SchemaRef, UInt32Type};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

use super::distinct::{Distinct, UniqueValues};
use super::outcome::Counts;
use super::positions::Positions;
use crate::error::Error;
use crate::scan::Keys;

/// The statements that change rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Delete,
    Update,
    Merge,
    /// All rows go, whatever they are.
    Truncate,
}

impl Verb {
    /// What people call the statement.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Delete => "DELETE",
            Self::Update => "UPDATE",
            Self::Merge => "MERGE",
            Self::Truncate => "TRUNCATE",
        }
    }

    pub(super) fn operation(self) -> Operation {
        match self {
            Self::Delete => Operation::Delete,
            Self::Update => Operation::Update,
            Self::Merge => Operation::Merge,
            Self::Truncate => Operation::Truncate,
        }
    }
}

/// What a statement changes, and how its query says so.
///
/// Each row of the query has some columns of the table, or none of them; then the number of a file and
/// that of a row in it, which goes (NULL: none does); for a MERGE whether the columns are a new
/// row; the values by which an error names the row that goes; and those by which rows that take the
/// place of none are told apart.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) verb: Verb,
    /// The numbers of the files of which all rows go, which the query has not read.
    pub(crate) whole: Vec<u32>,
    /// Where the data files are.
    pub(crate) store_url: ObjectStoreUrl,
    /// The query spills what it finds no memory for.
    pub(crate) spills: bool,
    /// How many columns of the table each row of the query has.
    pub(crate) columns: usize,
    /// The columns of the table by which an error names a row.
    pub(crate) keys: Vec<String>,
    /// The columns of the source of which no two rows may have the same values, where neither takes
    /// the place of a row. NULL is the same as no other value.
    pub(crate) unique: Vec<String>,
    /// By which values of its rows a MERGE finds those that it changes; None where it may change others.
    pub(crate) merged: Option<Keys>,
}

/// The rows of one run, as far as they have come.
#[derive(Debug)]
pub(super) struct Changed(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    gone: Positions,
    /// Of a MERGE.
    merged: Counts,
    /// What is unique of the rows that take the place of none.
    distinct: Distinct,
    /// Counts `gone` in the session's memory.
    memory: Option<MemoryReservation>,
}

impl Changed {
    pub(super) fn new() -> Self {
        Self(Mutex::default())
    }

    /// Counts what it holds in `memory`.
    pub(super) fn count_in(&self, memory: MemoryReservation) {
        self.lock().memory = Some(memory);
    }

    /// The rows that go, and what a MERGE does.
    pub(super) fn take(&self) -> (Positions, Counts) {
        let mut state = self.lock();
        state.distinct = Distinct::default();
        (std::mem::take(&mut state.gone), state.merged)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Change {
    /// Takes the rows of a partition: notes which go, and hands on those that are written, with the
    /// columns of the table, which is called `table`.
    pub(super) fn written(
        self: &Arc<Self>,
        table: &str,
        schema: &SchemaRef,
        changed: &Arc<Changed>,
        rows: SendableRecordBatchStream,
    ) -> SendableRecordBatchStream {
        let (change, changed) = (Arc::clone(self), Arc::clone(changed));
        let (table, of_table) = (table.to_owned(), Arc::clone(schema));
        let written = rows.map(move |batch| {
            let batch = batch.map_err(|error| change.explained(&table, error))?;
            change.take(&table, &of_table, &changed, &batch)
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), written))
    }

    fn take(
        &self,
        table: &str,
        schema: &SchemaRef,
        changed: &Changed,
        batch: &RecordBatch,
    ) -> Result<RecordBatch> {
        let files = batch.column(self.columns).as_primitive::<UInt32Type>();
        let rows = batch.column(self.columns + 1).as_primitive::<Int64Type>();
        let is_written = match self.verb {
            Verb::Merge => Some(batch.column(self.columns + 2).as_boolean()),
            _ => None,
        };
        let unique = self.unique_values(batch)?;
        let mut state = changed.lock();
        for at in 0..batch.num_rows() {
            if rows.is_null(at) {
                state.merged.inserted += 1;
                if let Some(unique) = &unique
                    && !state.distinct.add(unique, at)
                {
                    return Err(self.twice_new(table, batch, at).into());
                }
                continue;
            }
            match is_written.map(|is_written| is_written.value(at)) {
                Some(true) => state.merged.updated += 1,
                Some(false) => state.merged.deleted += 1,
                None => {}
            }
            let row = u64::try_from(rows.value(at));
            let row = row.map_err(|_| Error::damaged("a data file has a row before its first"))?;
            if !state.gone.add(files.value(at), row) && self.verb == Verb::Merge {
                return Err(self.twice(table, batch, at).into());
            }
        }
        let State {
            gone,
            distinct,
            memory,
            ..
        } = &mut *state;
        if let Some(memory) = memory {
            memory.try_resize(gone.memory() + distinct.memory())?;
        }
        drop(state);
        if self.columns == 0 {
            return Ok(RecordBatch::new_empty(Arc::clone(schema)));
        }
        let of_table: Vec<_> = (0..self.columns).collect();
        let written = batch.project(&of_table)?;
        match is_written {
            Some(is_written) => Ok(filter_record_batch(&written, is_written)?),
            None => Ok(written),
        }
    }

    /// What may be there once of the rows of a batch; None where all may be there twice.
    fn unique_values(&self, batch: &RecordBatch) -> Result<Option<UniqueValues>> {
        if self.unique.is_empty() {
            return Ok(None);
        }
        let first = self.columns + 3 + self.keys.len();
        let columns = batch.columns().iter().skip(first).take(self.unique.len());
        UniqueValues::new(columns.cloned().collect()).map(Some)
    }

    /// What the query failed with. Of a join that found no memory the engine says which part of it, and
    /// not what to do.
    fn explained(&self, table: &str, error: DataFusionError) -> DataFusionError {
        let exhausted = matches!(error.find_root(), DataFusionError::ResourcesExhausted(_));
        if !exhausted || self.verb != Verb::Merge {
            return error;
        }
        let less = match self.spills {
            true => "SET datafusion.execution.target_partitions = 1, so that fewer sorts share it",
            false => {
                "merge fewer rows at once; with SET datafusion.optimizer.prefer_hash_join = false a join spills whose ON compares for equality alone"
            }
        };
        error.context(format!(
            "MERGE INTO '{table}' needs more memory than the session has, and nothing was written: give it more, or {less}"
        ))
    }

    /// Two rows of the source match the row at `at`.
    fn twice(&self, table: &str, batch: &RecordBatch, at: usize) -> Error {
        let which = named(&self.keys, self.columns + 3, batch, at);
        Error::invalid(format!(
            "MERGE INTO '{table}': several rows of the source match one row of the table{which}, and each would change it; nothing was written: make the rows of the source unique, or the ON condition narrower"
        ))
    }

    /// Two rows of the source, one of them at `at`, are new and have the same key.
    fn twice_new(&self, table: &str, batch: &RecordBatch, at: usize) -> Error {
        let first = self.columns + 3 + self.keys.len();
        let which = named(&self.unique, first, batch, at);
        Error::invalid(format!(
            "MERGE INTO '{table}': several rows of the source have one key{which}, which no row of the table has, and each would be inserted; nothing was written: make the keys of the source unique"
        ))
    }
}

/// The values of the columns from `first` in the row at `at`.
fn named(names: &[String], first: usize, batch: &RecordBatch, at: usize) -> String {
    let values = names.iter().zip(first..).map(|(name, column)| {
        let value = array_value_to_string(batch.column(column), at);
        format!(
            "{} = {}",
            name.escape_debug(),
            value.unwrap_or_default().escape_debug()
        )
    });
    let values: Vec<_> = values.collect();
    match values.is_empty() {
        true => String::new(),
        false => format!(" ({})", values.join(", ")),
    }
}
