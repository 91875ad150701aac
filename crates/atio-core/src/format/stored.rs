//! A record as it lies on the store, and how it is chained to its neighbours.

use uuid::Uuid;

use super::checksum::Checksum;
use super::record::{Operation, Previous, Record};
use super::{Txn, Version};
use crate::error::{Error, ErrorKind, Result};

/// A record and the checksum by which the next one names it.
#[derive(Debug, Clone)]
pub struct StoredRecord {
    pub record: Record,
    pub checksum: Checksum,
}

impl StoredRecord {
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
    fn committed_at_us(&self) -> Option<i64> {
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

    /// True if it stands for a version that has expired or was dropped.
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
