//! A stream of bytes cut into records: the lines of JSON, the rows of CSV.

use std::mem;
use std::ops::Range;

use csv_core::{ReadRecordResult, Reader};

/// A record that is longer is taken for one whose end is missing.
const RECORD_LIMIT: usize = 64 << 20;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Complete records, in order.
pub(super) struct Records {
    bytes: Vec<u8>,
    /// Where each ends. What precedes a record, such as empty lines, is part of it.
    ends: Vec<usize>,
    /// The line that `bytes` begin at, from 1.
    line: u64,
}

impl Records {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of some of the records.
    pub(super) fn bytes(&self, records: Range<usize>) -> &[u8] {
        &self.bytes[self.start(records.start)..self.start(records.end)]
    }

    /// The line at which a record begins.
    pub(super) fn line(&self, record: usize) -> u64 {
        let start = self.start(record);
        let blank = self.bytes[start..]
            .iter()
            .take_while(|b| b.is_ascii_whitespace());
        self.line + newlines(&self.bytes[..start]) + blank.filter(|b| **b == b'\n').count() as u64
    }

    fn start(&self, record: usize) -> usize {
        match record {
            0 => 0,
            record => self.ends[record - 1],
        }
    }
}

/// A record without an end, as by a missing quote, which begins at this line.
#[derive(Debug)]
pub(super) struct Endless {
    pub(super) line: u64,
}

/// Cuts bytes into records as they come.
pub(super) struct Splitter {
    ends: Ends,
    /// What has no end yet; all of it was looked at.
    unfinished: Vec<u8>,
    /// The line that it begins at.
    line: u64,
}

enum Ends {
    Lines,
    Rows(Box<Reader>),
}

/// What is behind the last line end.
enum Last {
    Nothing,
    Record,
    /// It begins, and a quote in it has no end.
    Endless,
}

impl Splitter {
    /// Every line is a record, unless it is empty.
    pub(super) fn lines() -> Self {
        Self::new(Ends::Lines)
    }

    /// A record of CSV can go on after a line's end that is in quotes.
    pub(super) fn rows() -> Self {
        Self::new(Ends::Rows(Box::new(Reader::new())))
    }

    fn new(ends: Ends) -> Self {
        Self {
            ends,
            unfinished: Vec::new(),
            line: 1,
        }
    }

    /// Takes further bytes; returns the records that have ended by then.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Records, Endless> {
        let from = self.unfinished.len();
        self.unfinished.extend_from_slice(bytes);
        let (ends, cut) = self.ends.find(&self.unfinished, from);
        let rest = self.unfinished.split_off(cut);
        if rest.len() > RECORD_LIMIT {
            let line = self.line + newlines(&self.unfinished);
            return Err(Endless { line });
        }
        let bytes = mem::replace(&mut self.unfinished, rest);
        Ok(self.records(bytes, ends))
    }

    /// Returns the record that ends where the bytes do, and has no line end, if there is one.
    pub(super) fn finish(&mut self) -> Result<Records, Endless> {
        let bytes = mem::take(&mut self.unfinished);
        let line = self.line;
        let ends = match self.ends.at_the_end(&bytes) {
            Last::Record => vec![bytes.len()],
            Last::Nothing => Vec::new(),
            Last::Endless => {
                let blank = bytes.iter().take_while(|byte| byte.is_ascii_whitespace());
                let line = line + blank.filter(|byte| **byte == b'\n').count() as u64;
                return Err(Endless { line });
            }
        };
        Ok(self.records(bytes, ends))
    }

    fn records(&mut self, mut bytes: Vec<u8>, mut ends: Vec<usize>) -> Records {
        let line = self.line;
        self.line += newlines(&bytes);
        // The reader of CSV passes over it by itself.
        if line == 1 && matches!(self.ends, Ends::Lines) && bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
            ends.iter_mut()
                .for_each(|end| *end -= BYTE_ORDER_MARK.len());
        }
        Records { bytes, ends, line }
    }
}

impl Ends {
    /// The ends of records in `bytes`, which are new at `from`; and how much of them is done
    /// with.
    fn find(&mut self, bytes: &[u8], from: usize) -> (Vec<usize>, usize) {
        let mut ends = Vec::new();
        let mut cut = 0;
        match self {
            Self::Lines => {
                let found = bytes[from..].iter().enumerate();
                for (at, _) in found.filter(|(_, byte)| **byte == b'\n') {
                    let end = from + at + 1;
                    if !bytes[cut..end].trim_ascii().is_empty() {
                        ends.push(end);
                    }
                    cut = end;
                }
            }
            Self::Rows(reader) => {
                let mut at = from;
                while at < bytes.len() {
                    let (result, read) = read(reader, &bytes[at..]);
                    at += read;
                    if matches!(result, ReadRecordResult::Record) {
                        ends.push(at);
                        cut = at;
                    }
                }
            }
        }
        (ends, cut)
    }

    fn at_the_end(&mut self, bytes: &[u8]) -> Last {
        match self {
            Self::Lines if bytes.trim_ascii().is_empty() => Last::Nothing,
            Self::Lines => Last::Record,
            Self::Rows(reader) => {
                // A line end ends every record that is not in the middle of a quote; the end of
                // the bytes would end that, too.
                let mut rest: &[u8] = b"\n";
                loop {
                    let (result, read) = read(reader, rest);
                    let ended = rest.is_empty();
                    rest = &rest[read..];
                    match result {
                        ReadRecordResult::Record if ended => return Last::Endless,
                        ReadRecordResult::Record => return Last::Record,
                        ReadRecordResult::End => return Last::Nothing,
                        ReadRecordResult::InputEmpty
                        | ReadRecordResult::OutputFull
                        | ReadRecordResult::OutputEndsFull => {}
                    }
                }
            }
        }
    }
}

/// The fields of a record of CSV.
pub(super) fn fields(record: &[u8]) -> Vec<String> {
    let mut reader = Reader::new();
    let mut text = vec![0; record.len() + 1];
    // Each field but the last has a comma behind it.
    let mut ends = vec![0; record.len() + 1];
    let (result, _, _, mut found) = reader.read_record(record, &mut text, &mut ends);
    if !matches!(result, ReadRecordResult::Record) {
        // It ends where the bytes do.
        found += reader.read_record(&[], &mut [], &mut ends[found..]).3;
    }
    let mut start = 0;
    let fields = ends[..found].iter().map(|end| {
        let field = String::from_utf8_lossy(&text[start..*end]).into_owned();
        start = *end;
        field
    });
    fields.collect()
}

/// Goes to the end of the record or of the bytes; its fields are of no interest.
fn read(reader: &mut Reader, bytes: &[u8]) -> (ReadRecordResult, usize) {
    let (mut text, mut ends) = ([0; 4096], [0; 64]);
    let (result, read, _, _) = reader.read_record(bytes, &mut text, &mut ends);
    (result, read)
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

// They run in the tests of the shell, which take this file in.
#[cfg(test)]
mod tests {
    use super::*;

    /// The records of `text` and the lines they begin at, when it comes in parts of this size.
    fn split(mut splitter: Splitter, text: &str, size: usize) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        let mut take = |records: Records| {
            for at in 0..records.len() {
                let text = str::from_utf8(records.bytes(at..at + 1)).unwrap().trim();
                found.push((text.to_owned(), records.line(at)));
            }
        };
        for part in text.as_bytes().chunks(size) {
            take(splitter.push(part).unwrap());
        }
        take(splitter.finish().unwrap());
        found
    }

    #[track_caller]
    fn check(splitter: fn() -> Splitter, text: &str, expected: &[(&str, u64)]) {
        for size in 1..=text.len() {
            let found = split(splitter(), text, size);
            let found: Vec<_> = found.iter().map(|(text, line)| (&**text, *line)).collect();
            assert_eq!(found, expected, "in parts of {size}");
        }
    }

    #[test]
    fn lines_are_records_unless_they_are_empty() {
        let text = "{\"a\":1}\n\n  \r\n{\"a\":2}\r\n{\"a\":3}";
        let expected = [("{\"a\":1}", 1), ("{\"a\":2}", 4), ("{\"a\":3}", 5)];
        check(Splitter::lines, text, &expected);
        check(Splitter::lines, "\n\n", &[]);
    }

    #[test]
    fn a_row_goes_on_after_a_line_end_in_quotes_and_not_after_a_quote_in_a_field() {
        let text = "a,b\r\n1,\"x\ny\"\r\n\r\n2,5\" pipe\n3,\"\"\"\n\"\n4,";
        let expected = [
            ("a,b", 1),
            ("1,\"x\ny\"", 2),
            ("2,5\" pipe", 5),
            ("3,\"\"\"\n\"", 6),
            ("4,", 8),
        ];
        check(Splitter::rows, text, &expected);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_record() {
        let mut splitter = Splitter::lines();
        let records = splitter.push("\u{feff}{}\n{}\n".as_bytes()).unwrap();
        assert_eq!(records.bytes(0..1), b"{}\n");
        assert_eq!(records.bytes(1..2), b"{}\n");
        assert_eq!(fields("\u{feff}a,b\n".as_bytes()), ["a", "b"]);
    }

    #[test]
    fn fields_are_taken_out_of_their_quotes() {
        assert_eq!(fields(b"\na,\"b \"\"c\"\"\",\n"), ["a", "b \"c\"", ""]);
        assert_eq!(fields(b"a,b"), ["a", "b"]);
        assert_eq!(fields(b"a"), ["a"]);
    }

    #[test]
    fn a_quote_that_the_end_of_the_input_leaves_open_makes_no_record() {
        let text = "a\n\n1,\"x\ny";
        for size in 1..=text.len() {
            let mut splitter = Splitter::rows();
            for part in text.as_bytes().chunks(size) {
                splitter.push(part).unwrap();
            }
            let endless = splitter.finish().map(drop).unwrap_err();
            assert_eq!(endless.line, 3, "in parts of {size}");
        }
        for text in ["", "\n\n", "\u{feff}", "a,\"b\"\n"] {
            let mut splitter = Splitter::rows();
            splitter.push(text.as_bytes()).unwrap();
            assert_eq!(splitter.finish().unwrap().len(), 0, "{text:?}");
        }
    }

    #[test]
    fn a_record_without_an_end_is_given_up() {
        let mut splitter = Splitter::rows();
        splitter.push(b"a\n\"").unwrap();
        let part = vec![b'x'; RECORD_LIMIT + 1];
        let endless = splitter.push(&part).map(drop).unwrap_err();
        assert_eq!(endless.line, 2);
    }
}
