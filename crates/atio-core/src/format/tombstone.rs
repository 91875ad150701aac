//! The tombstone that takes the place of a commit record (B7).
//!
//! The key stays occupied, so that a writer that stalled can never commit under it, and
//! everything later questions need stays: the chain, times, totals, revocations, keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::checksum::{Checksum, seal};
use super::kept::Kept;
use super::limits::{self, NAME_BYTES};
use super::record::{Features, Operation, Previous, Record};
use super::stored::StoredRecord;
use super::{FORMAT_VERSION, Totals, Txn, Version, to_json};
use crate::error::{Error, Result};

/// What is left of a version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tombstone {
    pub version_id: Version,
    /// Always null: Python reads it, finds no path and stops (A1).
    snapshot_filename: Option<String>,
    /// `expired`, `dropped` or `lost`.
    pub tombstone: String,
    /// The version whose commit made it so.
    pub by: Version,
    /// The checksum of the record that was here; null where it was lost.
    pub was: Option<Checksum>,
    format_version: u32,
    features: Features,
    pub table: Uuid,
    pub txn: Option<Txn>,
    pub previous: Option<Previous>,
    pub parent: Option<Version>,
    pub committed_at_us: i64,
    pub operation: Operation,
    /// Null where Python wrote the record, which counts nothing.
    pub added: Option<Totals>,
    pub removed: Option<Totals>,
    pub message: Option<String>,
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    pub key: Option<String>,
    pub last_expire: Option<Version>,
    #[serde(default)]
    pub revoked: Vec<Txn>,
    #[serde(default)]
    pub expired: Vec<(Version, Version)>,
}

impl Tombstone {
    /// The tombstone for `record`, or None if one is there already.
    ///
    /// `committed_at_us` and `table` are used where Python wrote the record, which tells
    /// neither.
    pub fn replacing(
        record: &StoredRecord,
        reason: &str,
        by: Version,
        table: Uuid,
        committed_at_us: i64,
    ) -> Option<Self> {
        let mut tombstone = Self {
            version_id: record.version(),
            snapshot_filename: None,
            tombstone: reason.to_owned(),
            by,
            was: Some(record.checksum),
            format_version: FORMAT_VERSION,
            features: Features::default(),
            table,
            txn: None,
            previous: None,
            parent: record.version().previous(),
            committed_at_us,
            operation: record.operation(),
            added: None,
            removed: None,
            message: None,
            properties: BTreeMap::new(),
            key: None,
            last_expire: None,
            revoked: Vec::new(),
            expired: Vec::new(),
        };
        match &record.record {
            Record::Tombstone(_) => return None,
            Record::Python(_) => {}
            Record::Live(live) => {
                tombstone.table = live.table;
                tombstone.txn = Some(live.txn);
                tombstone.previous = live.previous.clone();
                tombstone.parent = live.parent;
                tombstone.committed_at_us = live.committed_at_us;
                tombstone.added = Some(live.added);
                tombstone.removed = Some(live.removed);
                tombstone.message = live.message.clone();
                tombstone.properties = live.properties.clone();
                tombstone.key = live.key.clone();
                tombstone.last_expire = live.last_expire;
                tombstone.revoked = live.revoked.clone();
                tombstone.expired = live.expired.clone();
            }
        }
        Some(tombstone)
    }

    /// The bytes to put in the record's place, closed with their checksum.
    ///
    /// Fails where nobody could read them.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.check().map_err(limits::refused("tombstone"))?;
        seal(to_json(self)?)
    }

    pub(super) fn check(&self) -> Result<()> {
        let previous = self.previous.as_ref().map(|previous| previous.version);
        // What Python wrote and what was lost does not tell what it followed.
        if previous.is_some() && previous != self.version_id.previous() {
            return Err(Error::damaged(
                "the tombstone does not continue the version before it",
            ));
        }
        if self.snapshot_filename.is_some() {
            return Err(Error::damaged("the tombstone names a snapshot"));
        }
        NAME_BYTES.check(self.tombstone.len())?;
        Kept {
            version: self.version_id,
            parent: self.parent,
            committed_at_us: self.committed_at_us,
            operation: &self.operation,
            features: &self.features,
            added: self.added.unwrap_or_default(),
            removed: self.removed.unwrap_or_default(),
            message: self.message.as_deref(),
            properties: &self.properties,
            key: self.key.as_deref(),
            last_expire: self.last_expire,
            revoked: &self.revoked,
            expired: &self.expired,
        }
        .check()
    }
}
