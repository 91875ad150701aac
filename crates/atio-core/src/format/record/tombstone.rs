//! The tombstone that takes the place of a commit record (B7).
//!
//! The key stays occupied, so that a writer that stalled can never commit under it, and
//! everything later questions need stays: the chain, times, totals, revocations, keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::header::{Features, Header, Previous};
use super::live::CommitRecord;
use super::operation::Operation;
use super::totals::Totals;
use crate::error::{Error, Result};
use crate::format::checksum::{Checksum, seal};
use crate::format::limits::{self, NAME_BYTES};
use crate::format::{FORMAT_VERSION, Txn, Version, to_json};

/// What the tombstone of a number says whose record was lost.
const LOST: &str = "lost";

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
    /// The tombstone of `version`, whose record had the checksum `was`.
    pub(super) fn new(
        version: Version,
        was: Checksum,
        operation: Operation,
        (reason, by): (&str, Version),
        (table, committed_at_us): (Uuid, i64),
    ) -> Self {
        Self {
            version_id: version,
            snapshot_filename: None,
            tombstone: reason.to_owned(),
            by,
            was: Some(was),
            format_version: FORMAT_VERSION,
            features: Features::default(),
            table,
            txn: None,
            previous: None,
            parent: version.previous(),
            committed_at_us,
            operation,
            added: None,
            removed: None,
            message: None,
            properties: BTreeMap::new(),
            key: None,
            last_expire: None,
            revoked: Vec::new(),
            expired: Vec::new(),
        }
    }

    /// The tombstone of `version`, whose record is not there any more: `by` is the version of the
    /// repair, `committed_at_us` a time between those of its neighbours, and `last_expire` that of
    /// the record below, which whoever looks for fences goes on with (7.16).
    pub fn lost(
        version: Version,
        by: Version,
        table: Uuid,
        committed_at_us: i64,
        last_expire: Option<Version>,
    ) -> Self {
        Self {
            version_id: version,
            snapshot_filename: None,
            tombstone: LOST.to_owned(),
            by,
            was: None,
            format_version: FORMAT_VERSION,
            features: Features::default(),
            table,
            txn: None,
            previous: None,
            parent: None,
            committed_at_us,
            operation: Operation::Other(LOST.to_owned()),
            added: None,
            removed: None,
            message: None,
            properties: BTreeMap::new(),
            key: None,
            last_expire,
            revoked: Vec::new(),
            expired: Vec::new(),
        }
    }

    /// True if it occupies a number whose record was lost.
    pub fn is_lost(&self) -> bool {
        self.tombstone == LOST
    }

    /// The same with all that the record tells of itself.
    pub(super) fn of(self, live: &CommitRecord) -> Self {
        Self {
            table: live.table,
            txn: Some(live.txn),
            previous: live.previous.clone(),
            parent: live.parent,
            committed_at_us: live.committed_at_us,
            added: Some(live.added),
            removed: Some(live.removed),
            message: live.message.clone(),
            properties: live.properties.clone(),
            key: live.key.clone(),
            last_expire: live.last_expire,
            revoked: live.revoked.clone(),
            expired: live.expired.clone(),
            ..self
        }
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
        Header {
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
