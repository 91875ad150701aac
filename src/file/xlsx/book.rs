//! A workbook that grows by batches of rows and is packed at the end.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use rust_xlsxwriter::{Format, Workbook, Worksheet, XlsxError};
use tokio::sync::mpsc;

use super::column::{Cell, Column};
use super::options::XlsxOptions;
use crate::error::{Error, ErrorKind};

/// Excel's limit for the rows of a sheet, its header included.
pub(super) const SHEET_ROWS: u32 = 1_048_576;
/// The packed bytes are handed on in pieces of this size.
const PIECE: usize = 256 * 1024;
/// More than any cell needs beside its text.
const AROUND_CELL: u64 = 80;
/// More than a character needs that has to be written in another way.
const ESCAPED: u64 = 7;

/// The rows so far, in temporary files without names that go with it.
pub(super) struct Book {
    workbook: Workbook,
    columns: Arc<[Column]>,
    options: Arc<XlsxOptions>,
    looks: Vec<Option<(Format, Option<f64>)>>,
    bold: Format,
    sheets: usize,
    /// Of a sheet, at most.
    sheet_rows: u32,
    /// Where the next row goes in the newest sheet.
    next: u32,
    rows: u64,
    /// No fewer than are on disk.
    bytes: u64,
}

impl Book {
    /// Makes a workbook with one sheet that holds no more than the header.
    pub(super) fn new(
        columns: Arc<[Column]>,
        options: Arc<XlsxOptions>,
        temporary: PathBuf,
        sheet_rows: u32,
    ) -> Result<Self> {
        let mut workbook = Workbook::new();
        // The crate opens a file in each of the two directories, and panics later where it cannot.
        for directory in [std::env::temp_dir(), temporary] {
            workbook.set_tempdir(&directory).map_err(|error| {
                failed(error).context(format!("temporary directory {}", directory.display()))
            })?;
        }
        let look = |column: &Column| {
            let look = column.look()?;
            Some((Format::new().set_num_format(look.format), look.width))
        };
        let mut book = Self {
            workbook,
            looks: columns.iter().map(look).collect(),
            bold: Format::new().set_bold(),
            columns,
            options,
            sheets: 0,
            sheet_rows,
            next: 0,
            rows: 0,
            bytes: 0,
        };
        book.begin_sheet()?;
        Ok(book)
    }

    /// How many rows it has, without headers.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds the rows of a batch below those that are there.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let (columns, options) = (Arc::clone(&self.columns), Arc::clone(&self.options));
        let arrays = columns.iter().zip(batch.columns());
        let arrays = arrays.map(|(column, array)| column.plain(array));
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        let cells = columns.iter().zip(&arrays);
        let cells = cells.map(|(column, array)| column.cells(array, &options));
        let cells = cells.collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            if self.next == self.sheet_rows {
                self.end_sheet()?;
                self.begin_sheet()?;
            }
            self.rows += 1;
            let (at, rows) = (self.next, self.rows);
            let mut bytes = 0;
            let sheet = self.sheet()?;
            for ((number, cell), column) in (0..).zip(&cells).zip(columns.iter()) {
                let cell = cell(row).map_err(|why| {
                    Error::invalid(format!("row {rows}, column '{}': {why}", column.name))
                })?;
                bytes += put(sheet, at, number, cell)?;
            }
            self.bytes += bytes;
            self.next += 1;
        }
        Ok(())
    }

    /// Packs the workbook and sends it off piece by piece.
    pub(super) fn pack(mut self, pieces: mpsc::Sender<Bytes>) -> Result<()> {
        self.finish_sheet()?;
        // Otherwise packing fails at 4 GiB; not every program reads what it takes.
        self.workbook
            .use_zip_large_file(self.bytes >= u64::from(u32::MAX));
        let mut out = BufWriter::with_capacity(PIECE, Pieces(pieces));
        self.workbook.save_to_writer(&mut out).map_err(failed)?;
        out.flush()
            .map_err(|error| failed(XlsxError::IoError(error)).into())
    }

    fn begin_sheet(&mut self) -> Result<()> {
        self.sheets += 1;
        let name = self.options.name_of_sheet(self.sheets);
        let sheet = self.workbook.add_worksheet_with_constant_memory();
        sheet.set_name(name).map_err(failed)?;
        for (number, look) in (0..).zip(&self.looks) {
            let Some((format, width)) = look else {
                continue;
            };
            sheet.set_column_format(number, format).map_err(failed)?;
            if let Some(width) = width {
                sheet.set_column_width(number, *width).map_err(failed)?;
            }
        }
        self.next = 0;
        if self.options.header {
            for (number, column) in (0..).zip(self.columns.iter()) {
                match self.options.bold_header {
                    true => sheet.write_string_with_format(0, number, &column.name, &self.bold),
                    false => sheet.write_string(0, number, &column.name),
                }
                .map_err(failed)?;
            }
            if self.options.freeze_header {
                sheet.set_freeze_panes(1, 0).map_err(failed)?;
            }
            self.next = 1;
        }
        Ok(())
    }

    /// Makes way for another sheet.
    fn end_sheet(&mut self) -> Result<()> {
        if !self.options.split_sheets {
            return Err(Error::invalid(format!(
                "there are more rows than the {} that a sheet holds: go on in further sheets with OPTIONS (split_sheets 'true'), or write CSV or Parquet",
                self.sheet_rows - u32::from(self.options.header)
            ))
            .into());
        }
        self.finish_sheet()
    }

    fn finish_sheet(&mut self) -> Result<()> {
        let last_row = self.next.saturating_sub(1);
        let last_column = u16::try_from(self.columns.len().saturating_sub(1)).unwrap_or(u16::MAX);
        if self.options.autofilter {
            let sheet = self.sheet()?;
            let filtered = sheet.autofilter(0, 0, last_row, last_column);
            filtered.map_err(failed)?;
        }
        Ok(())
    }

    /// The newest sheet.
    fn sheet(&mut self) -> Result<&mut Worksheet> {
        let newest = self.sheets.saturating_sub(1);
        Ok(self.workbook.worksheet_from_index(newest).map_err(failed)?)
    }
}

/// Writes a cell and returns no fewer bytes than it takes.
fn put(sheet: &mut Worksheet, row: u32, column: u16, cell: Cell<'_>) -> Result<u64> {
    let mut bytes = AROUND_CELL;
    match cell {
        Cell::Empty => return Ok(0),
        Cell::Boolean(value) => sheet.write_boolean(row, column, value),
        Cell::Number(value) => {
            // A number is written without an exponent.
            bytes += match value == 0.0 {
                true => 0,
                false => value.abs().log10().abs() as u64,
            };
            sheet.write_number(row, column, value)
        }
        Cell::Text(text) => {
            let escaped = |byte: &&u8| matches!(byte, 0..0x20 | b'&' | b'<' | b'>' | b'_' | 0xef);
            bytes +=
                text.len() as u64 + ESCAPED * text.as_bytes().iter().filter(escaped).count() as u64;
            sheet.write_string(row, column, text)
        }
    }
    .map_err(failed)?;
    Ok(bytes)
}

fn failed(error: XlsxError) -> Error {
    Error::new(ErrorKind::Storage, "cannot write the workbook").with_source(error)
}

/// Sends what is written to it.
struct Pieces(mpsc::Sender<Bytes>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes);
        let sent = self.0.blocking_send(piece);
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::io::Cursor;

    use calamine::{Reader, Xlsx};
    use datafusion::arrow::array::Int32Array;
    use datafusion::arrow::datatypes::{DataType, Field};

    use super::*;

    /// A workbook of `rows` rows, in batches of two, whose sheets hold three.
    fn book_of(rows: i32, options: &[(&str, &str)]) -> Result<Vec<u8>> {
        let options: HashMap<_, _> = options
            .iter()
            .map(|(name, value)| (format!("format.{name}"), (*value).to_owned()))
            .collect();
        let options = Arc::new(XlsxOptions::of_statement(&options)?);
        let column = Column::new(&Field::new("a", DataType::Int32, false))?;
        let mut book = Book::new([column].into(), options, std::env::temp_dir(), 3)?;
        let all: Vec<_> = (0..rows).collect();
        for two in all.chunks(2) {
            let array = Arc::new(Int32Array::from(two.to_vec())) as _;
            book.write(&RecordBatch::try_from_iter([("a", array)])?)?;
        }
        assert_eq!(book.rows(), rows as u64);
        let (sender, mut pieces) = mpsc::channel(1);
        let packing = std::thread::spawn(move || book.pack(sender));
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.blocking_recv() {
            bytes.extend_from_slice(&piece);
        }
        packing.join().unwrap()?;
        Ok(bytes)
    }

    fn sheets(bytes: Vec<u8>) -> Vec<(String, Vec<String>)> {
        let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).unwrap();
        let sheets = book.worksheets().into_iter();
        sheets
            .map(|(name, range)| {
                let rows = range.rows().map(|row| row[0].to_string());
                (name, rows.collect())
            })
            .collect()
    }

    #[test]
    fn rows_beyond_the_limit_go_to_further_sheets_each_with_a_header() {
        let found =
            sheets(book_of(5, &[("split_sheets", "true"), ("autofilter", "true")]).unwrap());
        let expected = [
            ("Sheet1", vec!["a", "0", "1"]),
            ("Sheet1 (2)", vec!["a", "2", "3"]),
            ("Sheet1 (3)", vec!["a", "4"]),
        ];
        let found: Vec<_> = found
            .iter()
            .map(|(name, rows)| (name.as_str(), rows.iter().map(String::as_str).collect()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn sheet_that_is_full_needs_no_further_one() {
        for (rows, header) in [(2, "true"), (3, "false")] {
            let options = [("split_sheets", "true"), ("header", header)];
            assert_eq!(sheets(book_of(rows, &options).unwrap()).len(), 1);
            let options = [("header", header)];
            assert_eq!(sheets(book_of(rows, &options).unwrap()).len(), 1);
        }
    }

    #[test]
    fn rows_beyond_the_limit_are_refused_unless_they_may_be_split() {
        let error = book_of(3, &[]).unwrap_err().to_string();
        assert!(
            error.contains("there are more rows than the 2 that a sheet holds"),
            "{error}"
        );
    }
}
