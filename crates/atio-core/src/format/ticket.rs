//! A write that several processes prepare and one commits: what they hand to each other.
//!
//! None of it is stored in the table, so none of it is a part of the format: the same release
//! writes and reads it. Bytes may come from anywhere, so all that they say is checked.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::checksum::{has_seal, seal, verify_seal};
use super::layout::{self, Kind};
use super::limits::FILES;
use super::{Checksum, FileEntry, Manifest, Operation, Txn, Version, parse_json, to_json};
use crate::error::{Error, ErrorKind, Result};

/// How messages call the bytes of a ticket, and those of a part.
const TICKET: &str = "the ticket";
const PART: &str = "the part";

/// A write that several processes prepare and one commits: its transaction, and the version that
/// it was begun on.
///
/// It goes to other processes as bytes, which the same release of this library reads. It holds no
/// rows and no credentials.
///
/// ```
/// use atio_core::format::ticket::Ticket;
///
/// fn hand_on(ticket: &Ticket) -> atio_core::Result<Vec<u8>> {
///     println!("transaction {} on version {}", ticket.txn(), ticket.base());
///     ticket.to_bytes()
/// }
///
/// let cut = Ticket::from_bytes(b"{}").unwrap_err();
/// assert_eq!(cut.kind(), atio_core::ErrorKind::InvalidInput);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The id of the table.
    pub(crate) table: Uuid,
    /// All that is prepared for it is staged under this id.
    pub(crate) txn: Txn,
    /// The newest version when it was begun.
    pub(crate) base: Version,
    /// The record of that version, by its checksum.
    pub(crate) record: Checksum,
    /// The columns of its rows, by the id of their schema.
    pub(crate) schema: u32,
    /// In place of all rows, not beside them.
    pub(crate) overwrite: bool,
}

impl Ticket {
    /// The bytes that hand it to another process.
    ///
    /// # Errors
    ///
    /// None in practice: all that it holds can be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        seal(to_json(self)?)
    }

    /// The ticket in `bytes`.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) if they are not all that
    /// [`to_bytes`](Self::to_bytes) gave.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        parse(TICKET, bytes)
    }

    /// The id of its transaction, by which `atio_history` shows its version.
    pub fn txn(&self) -> Txn {
        self.txn
    }

    /// The newest version when it was begun.
    pub fn base(&self) -> Version {
        self.base
    }

    /// True if its rows take the place of all others.
    pub fn is_overwrite(&self) -> bool {
        self.overwrite
    }

    /// What its version does.
    pub fn operation(&self) -> Operation {
        match self.overwrite {
            true => Operation::Overwrite,
            false => Operation::Append,
        }
    }

    /// The data files of `parts`, each of which was prepared for this ticket.
    ///
    /// Fails if one is of another ticket, was cut or changed, or names what is not a data file of
    /// this transaction; or if a file comes twice.
    pub fn files(&self, parts: &[impl AsRef<[u8]>]) -> Result<Vec<FileEntry>> {
        let mut files = Vec::new();
        let mut seen = HashSet::new();
        for (at, bytes) in parts.iter().enumerate() {
            let part = self.part(bytes.as_ref());
            let part = part.map_err(|error| error.context(format!("part {at} of the write")))?;
            files.extend(part.files);
        }
        FILES.check(files.len()).map_err(refused)?;
        match files.iter().find(|file| !seen.insert(&file.path)) {
            None => Ok(files),
            Some(file) => Err(Error::invalid(format!(
                "the data file {} comes twice: give each part once",
                file.path
            ))),
        }
    }

    fn part(&self, bytes: &[u8]) -> Result<Manifest> {
        let part: Part = parse(PART, bytes)?;
        if part.txn != self.txn || part.table != self.table {
            return Err(Error::invalid(format!(
                "it was prepared for another ticket (transaction {}, and this is {})",
                part.txn, self.txn
            )));
        }
        if part.files.schema != self.schema {
            return Err(Error::invalid("it has other columns than the ticket"));
        }
        let json = part.files.to_bytes()?;
        // With all checks of a manifest.
        let files = Manifest::parse(PART, &json, false).map_err(refused)?;
        for file in &files.files {
            let parsed = layout::parse(&file.path);
            let ours = parsed
                .is_some_and(|object| object.kind == Kind::Data && object.txn == Some(self.txn));
            if !ours {
                return Err(Error::invalid(format!(
                    "'{}' is no data file of its transaction",
                    file.path.escape_debug()
                )));
            }
            if file.dv.is_some() {
                return Err(Error::invalid(format!(
                    "{} has rows that are marked as deleted",
                    file.path
                )));
            }
        }
        Ok(files)
    }

    /// The bytes that say that `files` were prepared for it.
    pub fn prepared(&self, stats_ids: Vec<i32>, files: Vec<FileEntry>) -> Result<Vec<u8>> {
        let part = Part {
            table: self.table,
            txn: self.txn,
            files: Manifest::new(self.schema, stats_ids, files),
        };
        seal(to_json(&part)?)
    }
}

/// Data files that were prepared for a ticket.
#[derive(Serialize, Deserialize)]
struct Part {
    table: Uuid,
    txn: Txn,
    files: Manifest,
}

fn parse<'a, T: Deserialize<'a>>(what: &str, bytes: &'a [u8]) -> Result<T> {
    if !has_seal(bytes) {
        return Err(Error::invalid(format!(
            "{what} ({} bytes) was cut, or is none: hand on all bytes as they were given",
            bytes.len()
        )));
    }
    verify_seal(what, bytes).map_err(refused)?;
    parse_json(what, bytes).map_err(refused)
}

/// What is wrong is what was given, and nothing of the table.
fn refused(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Damaged => Error::invalid(error.to_string()),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::VectorRef;

    fn ticket() -> Ticket {
        Ticket {
            table: Uuid::from_u128(7),
            txn: Txn::new(Uuid::from_u128(9)),
            base: Version::new(3).unwrap(),
            record: Checksum::of(b"record"),
            schema: 1,
            overwrite: false,
        }
    }

    fn file(path: String) -> FileEntry {
        FileEntry {
            path,
            format: "parquet".to_owned(),
            size: Some(5),
            rows: Some(2),
            checksum: Some(Checksum::of(b"x")),
            stats: Vec::new(),
            dv: None,
            column_bytes: Vec::new(),
        }
    }

    fn part(ticket: &Ticket, seq: u32) -> Vec<u8> {
        let path = layout::data_file(ticket.txn, seq, 1);
        ticket.prepared(Vec::new(), vec![file(path)]).unwrap()
    }

    #[test]
    fn a_ticket_and_its_parts_come_back_as_they_were() {
        let ticket = ticket();
        assert_eq!(
            Ticket::from_bytes(&ticket.to_bytes().unwrap()).unwrap(),
            ticket
        );
        let files = ticket.files(&[part(&ticket, 0), part(&ticket, 1)]).unwrap();
        let path = |seq| layout::data_file(ticket.txn, seq, 1);
        assert_eq!(files, [file(path(0)), file(path(1))]);
        assert_eq!(ticket.files(&[] as &[Vec<u8>]).unwrap(), []);
    }

    #[test]
    fn each_byte_that_is_cut_or_changed_is_seen() {
        let ticket = ticket();
        let whole = part(&ticket, 0);
        for at in 0..whole.len() {
            let error = ticket.files(&[&whole[..at]]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            let mut changed = whole.clone();
            changed[at] ^= 1;
            let error = ticket.files(&[changed]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        }
    }

    #[test]
    fn what_is_not_of_the_ticket_is_refused() {
        let mine = ticket();
        let other = Ticket {
            txn: Txn::new(Uuid::from_u128(10)),
            ..ticket()
        };
        let said = |parts: &[Vec<u8>]| mine.files(parts).unwrap_err().to_string();
        let twice = said(&[part(&mine, 0), part(&mine, 0)]);
        assert!(twice.contains("comes twice"), "{twice}");
        let others = said(&[part(&other, 0)]);
        assert!(others.contains("another ticket"), "{others}");
        let marked = FileEntry {
            rows: Some(9),
            dv: Some(VectorRef {
                path: layout::vectors(mine.txn, 1, 1),
                offset: 0,
                size: 30,
                checksum: Checksum::of(b"x"),
                rows: 1,
            }),
            ..file(layout::data_file(mine.txn, 0, 1))
        };
        let marked = said(&[mine.prepared(Vec::new(), vec![marked]).unwrap()]);
        assert!(
            marked.ends_with("has rows that are marked as deleted"),
            "{marked}"
        );
        for path in [
            "../x",
            "metadata/v1.metadata.json",
            &layout::data_file(other.txn, 0, 1),
        ] {
            let forged = mine.prepared(Vec::new(), vec![file(path.to_owned())]);
            let error = said(&[forged.unwrap()]);
            assert!(
                error.contains("data file") || error.contains("path"),
                "{path}: {error}"
            );
        }
    }
}
