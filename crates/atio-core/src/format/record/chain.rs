//! A record as it lies on the store, and how it is chained to its neighbours.

use serde::Deserialize;
use serde::de::IgnoredAny;
use uuid::Uuid;

use super::header::{Features, Previous};
use super::live::CommitRecord;
use super::operation::Operation;
use super::tombstone::Tombstone;
use super::totals::Totals;
use crate::error::{Error, ErrorKind, Result};
use crate::format::checksum::{Checksum, has_seal, verify_seal};
use crate::format::{FORMAT_VERSION, Txn, Version, layout, parse_json};

/// What lies under the key of a version.
#[derive(Debug, Clone)]
pub enum Record {
    /// A version that atio committed.
    Live(Box<CommitRecord>),
    /// A version that has expired, was dropped or was declared lost.
    Tombstone(Box<Tombstone>),
    /// A version that Python atio committed.
    Python(PythonRecord),
}

/// A record of Python atio 2.0: three keys, no checksum, no time.
#[derive(Debug, Clone)]
pub struct PythonRecord {
    pub version: Version,
    pub snapshot: String,
}

/// A record and the checksum by which the next one names it.
#[derive(Debug, Clone)]
pub struct StoredRecord {
    pub record: Record,
    pub checksum: Checksum,
}

impl StoredRecord {
    /// The tombstone that takes its place, or None if it is one already.
    ///
    /// `committed_at_us` and `table` are used where Python wrote the record, which tells
    /// neither.
    pub fn tombstone(
        &self,
        reason: &str,
        by: Version,
        table: Uuid,
        committed_at_us: i64,
    ) -> Option<Tombstone> {
        let tombstone = || {
            let (made, of) = ((reason, by), (table, committed_at_us));
            Tombstone::new(self.version(), self.checksum, self.operation(), made, of)
        };
        match &self.record {
            Record::Tombstone(_) => None,
            Record::Python(_) => Some(tombstone()),
            Record::Live(live) => Some(tombstone().of(live)),
        }
    }

    /// The version whose record it is.
    pub fn version(&self) -> Version {
        match &self.record {
            Record::Live(record) => record.version_id,
            Record::Tombstone(tombstone) => tombstone.version_id,
            Record::Python(python) => python.version,
        }
    }

    /// The transaction that committed it; None for Python's.
    pub fn txn(&self) -> Option<Txn> {
        match &self.record {
            Record::Live(record) => Some(record.txn),
            Record::Tombstone(tombstone) => tombstone.txn,
            Record::Python(_) => None,
        }
    }

    /// The checksum that the record had when it was committed: a tombstone remembers it.
    pub fn original_checksum(&self) -> Option<Checksum> {
        match &self.record {
            Record::Tombstone(tombstone) => tombstone.was,
            _ => Some(self.checksum),
        }
    }

    /// The version whose state it continues.
    pub fn parent(&self) -> Option<Version> {
        match &self.record {
            Record::Live(record) => record.parent,
            Record::Tombstone(tombstone) => tombstone.parent,
            Record::Python(_) => None,
        }
    }

    /// The record that it was committed on.
    pub fn previous(&self) -> Option<&Previous> {
        match &self.record {
            Record::Live(record) => record.previous.as_ref(),
            Record::Tombstone(tombstone) => tombstone.previous.as_ref(),
            Record::Python(_) => None,
        }
    }

    /// The id of the table; None for Python's.
    pub fn table(&self) -> Option<Uuid> {
        match &self.record {
            Record::Live(record) => Some(record.table),
            Record::Tombstone(tombstone) => Some(tombstone.table),
            Record::Python(_) => None,
        }
    }

    /// The transactions that this version revoked.
    pub fn revoked(&self) -> &[Txn] {
        match &self.record {
            Record::Live(record) => &record.revoked,
            Record::Tombstone(tombstone) => &tombstone.revoked,
            Record::Python(_) => &[],
        }
    }

    /// The versions that had expired when it was committed, as inclusive ranges; empty but in a fence.
    pub fn expired(&self) -> &[(Version, Version)] {
        match &self.record {
            Record::Live(record) => &record.expired,
            Record::Tombstone(tombstone) => &tombstone.expired,
            Record::Python(_) => &[],
        }
    }

    /// What it adds; None where Python wrote it.
    pub fn added(&self) -> Option<Totals> {
        match &self.record {
            Record::Live(record) => Some(record.added),
            Record::Tombstone(tombstone) => tombstone.added,
            Record::Python(_) => None,
        }
    }

    /// What it removes; None where Python wrote it.
    pub fn removed(&self) -> Option<Totals> {
        match &self.record {
            Record::Live(record) => Some(record.removed),
            Record::Tombstone(tombstone) => tombstone.removed,
            Record::Python(_) => None,
        }
    }

    /// The idempotency key that it was committed with.
    pub fn key(&self) -> Option<&str> {
        match &self.record {
            Record::Live(record) => record.key.as_deref(),
            Record::Tombstone(tombstone) => tombstone.key.as_deref(),
            Record::Python(_) => None,
        }
    }

    /// The newest fence at or below it.
    pub fn last_expire(&self) -> Option<Version> {
        match &self.record {
            Record::Live(record) => record.last_expire,
            Record::Tombstone(tombstone) => tombstone.last_expire,
            Record::Python(_) => None,
        }
    }

    /// When it was committed, in microseconds since 1970; None where Python did.
    pub fn committed_at_us(&self) -> Option<i64> {
        match &self.record {
            Record::Live(record) => Some(record.committed_at_us),
            Record::Tombstone(tombstone) => Some(tombstone.committed_at_us),
            Record::Python(_) => None,
        }
    }

    /// What made it.
    pub fn operation(&self) -> Operation {
        match &self.record {
            Record::Live(record) => record.operation.clone(),
            Record::Tombstone(tombstone) => tombstone.operation.clone(),
            Record::Python(_) => Operation::Other("python".to_owned()),
        }
    }

    /// True if it occupies a number whose record was lost.
    pub fn is_lost(&self) -> bool {
        match &self.record {
            Record::Tombstone(tombstone) => tombstone.is_lost(),
            _ => false,
        }
    }

    /// True if it stands for a version that has expired, was dropped or is lost.
    pub fn is_tombstone(&self) -> bool {
        matches!(self.record, Record::Tombstone(_))
    }

    /// Checks the chain: `self` must be the record that `next` was written on (A2, B4).
    pub fn check_next(&self, next: &StoredRecord) -> Result<()> {
        let (below, above) = (self.version(), next.version());
        let Some(link) = next.previous() else {
            return match (&self.record, &next.record) {
                // A tombstone of a Python record cannot tell what it followed.
                (_, Record::Tombstone(_)) => Ok(()),
                (below, Record::Python(_)) if below.is_python() => Ok(()),
                _ => Err(foreign_write(above)),
            };
        };
        let tables = self.table().zip(next.table());
        let dropped = self.operation() == Operation::Drop || self.record.is_python();
        if let (Some((ours, other)), false) = (tables, dropped)
            && ours != other
        {
            return Err(Error::damaged(format!(
                "version {above} belongs to another table ({other}) than version {below} ({ours})"
            )));
        }
        let same = link.version == below
            && (link.txn == self.txn() || self.original_checksum().is_none())
            && self
                .original_checksum()
                .is_none_or(|checksum| link.checksum == checksum);
        if !same {
            return Err(Error::damaged(format!(
                "the history is broken between version {below} and version {above}: version {above} was written on another version {below}"
            )));
        }
        let times = self.committed_at_us().zip(next.committed_at_us());
        if times.is_some_and(|(earlier, later)| earlier >= later) {
            return Err(Error::damaged(format!(
                "the commit time of version {above} is not after that of version {below}"
            )));
        }
        Ok(())
    }
}

/// The error of a table in which Python overwrote the work of atio at `version`.
pub fn foreign_write(version: Version) -> Error {
    Error::new(
        ErrorKind::ForeignWrite,
        format!(
            "version {version} was overwritten by a program that does not know this table's format (Python atio); older versions stay readable by number"
        ),
    )
}

impl Record {
    /// True for what Python wrote, and for what is left of it.
    pub fn is_python(&self) -> bool {
        match self {
            Record::Live(_) => false,
            Record::Tombstone(tombstone) => tombstone.txn.is_none() && !tombstone.is_lost(),
            Record::Python(_) => true,
        }
    }

    /// Parses what lies under the key of `version`.
    ///
    /// Fails as damaged where the bytes are not what was written, and as unsupported where
    /// a newer release wrote them.
    pub fn parse(version: Version, bytes: &[u8]) -> Result<StoredRecord> {
        #[derive(Deserialize)]
        struct Header {
            version_id: Version,
            format_version: Option<u64>,
            tombstone: Option<IgnoredAny>,
            features: Option<Features>,
        }
        let path = &layout::record(version);
        let header: Header = parse_json(path, bytes)?;
        if header.version_id != version {
            return Err(Error::damaged(format!(
                "{path} says that it is version {}",
                header.version_id
            )));
        }
        let Some(format) = header.format_version else {
            if header.tombstone.is_some() || has_seal(bytes) {
                verify_seal(path, bytes)?;
                return Err(Error::damaged(format!("{path} does not say its format")));
            }
            return PythonRecord::parse(version, path, bytes);
        };
        if format != u64::from(FORMAT_VERSION) {
            return Err(Error::unsupported(format!(
                "{path} was written by a newer atio in format {format}; this release reads format {FORMAT_VERSION}: upgrade to read it"
            )));
        }
        let checksum = verify_seal(path, bytes)?;
        if let Some(feature) = header.features.unwrap_or_default().unknown_to_reader() {
            return Err(Error::unsupported(format!(
                "{path} needs the feature '{}', which this release does not know: upgrade to read it",
                feature.escape_debug()
            )));
        }
        let record = if header.tombstone.is_some() {
            let tombstone: Tombstone = parse_json(path, bytes)?;
            tombstone.check().map_err(|error| error.context(path))?;
            Record::Tombstone(Box::new(tombstone))
        } else {
            let record: CommitRecord = parse_json(path, bytes)?;
            record.check().map_err(|error| error.context(path))?;
            Record::Live(Box::new(record))
        };
        Ok(StoredRecord { record, checksum })
    }
}

impl PythonRecord {
    fn parse(version: Version, path: &str, bytes: &[u8]) -> Result<StoredRecord> {
        #[derive(Deserialize)]
        struct Keys {
            snapshot_id: Option<IgnoredAny>,
            snapshot_filename: Option<String>,
        }
        let keys: Keys = parse_json(path, bytes)?;
        let snapshot = keys
            .snapshot_filename
            .filter(|_| keys.snapshot_id.is_some())
            .ok_or_else(|| {
                Error::unsupported(format!(
                    "{path} is neither a commit record of atio nor of Python atio 2.0"
                ))
            })?;
        let snapshot = layout::from_python(&snapshot);
        if layout::parse(&snapshot).is_none_or(|o| o.kind != layout::Kind::Snapshot) {
            return Err(Error::damaged(format!(
                "{path} names '{}', which is not a snapshot of this table",
                snapshot.escape_debug()
            )));
        }
        let record = Record::Python(PythonRecord { version, snapshot });
        // Nothing in the record says what it should be: the next one names all its bytes.
        Ok(StoredRecord {
            record,
            checksum: Checksum::of(bytes),
        })
    }
}
