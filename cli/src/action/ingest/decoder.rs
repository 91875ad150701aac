//! Records made into rows of a table.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::new_null_array;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::{csv, json};

use super::super::exact;
use super::records::{Records, fields};
use crate::failure::Failure;

/// Reads records as rows of a table.
pub(super) struct Decoder {
    table: SchemaRef,
    text: Text,
}

enum Text {
    Json,
    /// The columns in the order of the first record; None until that is there.
    Csv(Option<SchemaRef>),
}

/// A record that is no row of the table.
pub(super) struct Wrong {
    /// Its place among the records.
    pub(super) record: usize,
    pub(super) why: String,
}

impl Decoder {
    /// Objects; a name that is no column of the table is an error.
    pub(super) fn json(table: SchemaRef) -> Self {
        let text = Text::Json;
        Self { table, text }
    }

    /// Rows below one with the names of columns.
    pub(super) fn csv(table: SchemaRef) -> Self {
        let text = Text::Csv(None);
        Self { table, text }
    }

    pub(super) fn is_csv(&self) -> bool {
        matches!(self.text, Text::Csv(_))
    }

    /// True if the next record holds the names of columns.
    pub(super) fn needs_header(&self) -> bool {
        matches!(self.text, Text::Csv(None))
    }

    /// Takes the names of columns, which must be those of the table in any order; those that
    /// may be NULL may be missing.
    pub(super) fn set_header(&mut self, record: &[u8]) -> Result<(), Failure> {
        let names = fields(record);
        let columns = || {
            let names: Vec<_> = self
                .table
                .fields()
                .iter()
                .map(|f| f.name().as_str())
                .collect();
            names.join(", ")
        };
        let mut found = Vec::new();
        for (at, name) in names.iter().enumerate() {
            let Ok(field) = self.table.field_with_name(name) else {
                return Err(Failure::new(format!(
                    "the first line names a column '{}', which the table does not have; \
                     it has {}",
                    name.escape_debug(),
                    columns()
                )));
            };
            if names[..at].contains(name) {
                return Err(Failure::new(format!(
                    "the first line names the column '{}' twice",
                    name.escape_debug()
                )));
            }
            found.push(field.clone());
        }
        let needed = self
            .table
            .fields()
            .iter()
            .filter(|field| !field.is_nullable());
        if let Some(missing) = needed
            .into_iter()
            .find(|field| !names.contains(field.name()))
        {
            return Err(Failure::new(format!(
                "the first line does not name the column '{}', which is NOT NULL",
                missing.name().escape_debug()
            )));
        }
        self.text = Text::Csv(Some(Arc::new(Schema::new(found))));
        Ok(())
    }

    /// The rows of some records; of several wrong ones the first is told.
    pub(super) fn decode(
        &self,
        records: &Records,
        range: Range<usize>,
    ) -> Result<RecordBatch, Wrong> {
        if range.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.table)));
        }
        let all = self.rows(records, range.clone());
        let first = range.start;
        all.map_err(|error| {
            for record in range {
                if let Err(error) = self.rows(records, record..record + 1) {
                    let why = reason(&error);
                    return Wrong { record, why };
                }
            }
            // Each is right and all together are not: nothing that one of them could tell.
            let (record, why) = (first, reason(&error));
            Wrong { record, why }
        })
    }

    fn rows(&self, records: &Records, range: Range<usize>) -> Result<RecordBatch, ArrowError> {
        let count = range.len();
        let rows = match &self.text {
            Text::Json => {
                let columns = to_read(&self.table, exact::Text::Json);
                let mut decoder = json::ReaderBuilder::new(columns)
                    .with_strict_mode(true)
                    .with_batch_size(count + 1)
                    .build_decoder()?;
                for (before, record) in range.enumerate() {
                    decoder.decode(records.bytes(record..record + 1))?;
                    if decoder.has_partial_record() || decoder.len() != before + 1 {
                        return Err(ArrowError::JsonError(
                            "each line must hold one object".to_owned(),
                        ));
                    }
                }
                decoder.flush()?
            }
            Text::Csv(columns) => {
                let columns = columns.as_ref().unwrap_or(&self.table);
                let columns = to_read(columns, exact::Text::Csv);
                let mut decoder = csv::ReaderBuilder::new(columns)
                    .with_batch_size(count + 1)
                    .build_decoder();
                let mut rest = records.bytes(range);
                while decoder.capacity() > 0 && !rest.is_empty() {
                    let read = decoder.decode(rest)?;
                    rest = &rest[read..];
                }
                // The last record may have no line end.
                decoder.decode(&[])?;
                decoder.flush()?
            }
        };
        let found = rows.as_ref().map_or(0, RecordBatch::num_rows);
        match rows {
            Some(rows) if found == count => self.of_table(&rows),
            _ => Err(ArrowError::JsonError(format!(
                "there are {found} rows in {count} records"
            ))),
        }
    }

    /// The rows with the columns of the table in its order.
    fn of_table(&self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let columns =
            self.table
                .fields()
                .iter()
                .map(|field| match rows.column_by_name(field.name()) {
                    Some(values) => exact::to_column(values, field),
                    None => Ok(new_null_array(field.data_type(), rows.num_rows())),
                });
        let columns = columns.collect::<Result<_, _>>()?;
        RecordBatch::try_new(Arc::clone(&self.table), columns)
    }
}

fn to_read(columns: &Schema, text: exact::Text) -> SchemaRef {
    let fields = columns.fields().iter().map(|field| {
        let data_type = exact::type_to_read(field.data_type(), text);
        // The table says which column a value is missing in.
        Field::clone(field)
            .with_data_type(data_type)
            .with_nullable(true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The message of an error without its kind, and without the line where it counted from the
/// record.
fn reason(error: &ArrowError) -> String {
    let text = match error {
        ArrowError::JsonError(text)
        | ArrowError::CsvError(text)
        | ArrowError::ParseError(text)
        | ArrowError::CastError(text)
        | ArrowError::InvalidArgumentError(text) => text.clone(),
        error => error.to_string(),
    };
    match text.split_once(" at line ") {
        Some((before, after)) => {
            let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{before}{after}")
        }
        None => text,
    }
}
