//! The commit record `metadata/v{N}.metadata.json`: creating it is the commit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::header::{Features, Header, Previous};
use super::operation::Operation;
use super::totals::Totals;
use crate::error::{Error, Result};
use crate::format::checksum::{ObjectRef, seal, verify_seal};
use crate::format::layout::{self, Kind};
use crate::format::limits::{self, MANIFESTS, NAME_BYTES};
use crate::format::{Txn, Version, to_json};

/// One committed version: names its state and says what it changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CommitRecord {
    pub version_id: Version,
    /// The snapshot for Python's eyes; None where Python must not read (A1, A4).
    pub snapshot_filename: Option<String>,
    pub format_version: u32,
    pub features: Features,
    pub table: Uuid,
    pub txn: Txn,
    /// The version before in the log; None for the first.
    pub previous: Option<Previous>,
    /// The version whose state this one continues.
    pub parent: Option<Version>,
    pub committed_at_us: i64,
    pub operation: Operation,
    /// The state; None only where the table was dropped.
    pub snapshot: Option<ObjectRef>,
    pub refs: Option<ObjectRef>,
    /// The newest expire record at or below this version (A5).
    pub last_expire: Option<Version>,
    pub changes: Changes,
    pub added: Totals,
    pub removed: Totals,
    pub message: Option<String>,
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    pub key: Option<String>,
    pub writer: String,
    /// Inclusive ranges of all versions expired so far; in expire and drop records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expired: Vec<(Version, Version)>,
    /// Transactions that may no longer commit; in expire and drop records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<Txn>,
}

/// The logical change of a version, whatever manifests were merged beside it (B1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Manifests that hold exactly the files that this version adds.
    pub added: Vec<ObjectRef>,
    /// A manifest-shaped list of the files that it removes.
    pub removed: Option<ObjectRef>,
    /// Manifests that the version before lists and this one does not.
    pub manifests_dropped: Vec<String>,
}

impl CommitRecord {
    /// The bytes to create, closed with their checksum.
    ///
    /// Fails where nobody could read them.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.check().map_err(limits::refused("commit record"))?;
        seal(to_json(self)?)
    }

    /// How the record one above names this one.
    pub fn as_previous(&self) -> Result<Previous> {
        let path = layout::record(self.version_id);
        Ok(Previous {
            version: self.version_id,
            txn: Some(self.txn),
            checksum: verify_seal(&path, &self.to_bytes()?)?,
        })
    }
}

impl CommitRecord {
    pub(super) fn check(&self) -> Result<()> {
        if self.previous.as_ref().map(|p| p.version) != self.version_id.previous() {
            return Err(Error::damaged(
                "the record does not continue the version before it",
            ));
        }
        Header {
            version: self.version_id,
            parent: self.parent,
            committed_at_us: self.committed_at_us,
            operation: &self.operation,
            features: &self.features,
            added: self.added,
            removed: self.removed,
            message: self.message.as_deref(),
            properties: &self.properties,
            key: self.key.as_deref(),
            last_expire: self.last_expire,
            revoked: &self.revoked,
            expired: &self.expired,
        }
        .check()?;
        NAME_BYTES.check(self.writer.len())?;
        self.check_names()
    }

    fn check_names(&self) -> Result<()> {
        if self.snapshot.is_none() && self.operation != Operation::Drop {
            return Err(Error::damaged("the record names no snapshot"));
        }
        let shown = self.snapshot_filename.as_ref();
        if shown.is_some() && shown != self.snapshot.as_ref().map(|object| &object.path) {
            return Err(Error::damaged(
                "the record names one snapshot to Python and another to everybody else",
            ));
        }
        let changes = &self.changes;
        MANIFESTS.check(changes.added.len())?;
        MANIFESTS.check(changes.manifests_dropped.len())?;
        let named = (self
            .snapshot
            .iter()
            .map(|object| (Kind::Snapshot, &object.path)))
        .chain(self.refs.iter().map(|object| (Kind::Refs, &object.path)))
        .chain((changes.added.iter()).map(|object| (Kind::Manifest, &object.path)))
        .chain((changes.removed.iter()).map(|object| (Kind::Removed, &object.path)))
        .chain((changes.manifests_dropped.iter()).map(|path| (Kind::Manifest, path)));
        for (kind, name) in named {
            let parsed = layout::parse(name);
            if parsed.is_none_or(|parsed| parsed.kind != kind || parsed.txn.is_none()) {
                return Err(Error::damaged(format!(
                    "the record names '{}', which is not a {} of this table",
                    name.escape_debug(),
                    kind.word()
                )));
            }
        }
        Ok(())
    }
}
