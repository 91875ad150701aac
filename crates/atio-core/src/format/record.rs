//! The commit record `metadata/v{N}.metadata.json`: creating it is the commit.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::checksum::{Checksum, ObjectRef, has_seal, seal, verify_seal};
use super::kept::Kept;
use super::layout::Kind;
use super::limits::{self, MANIFESTS, NAME_BYTES};
use super::stored::StoredRecord;
use super::tombstone::Tombstone;
use super::{FORMAT_VERSION, Txn, Version, layout, parse_json, to_json};
use crate::error::{Error, Result};

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

/// A record of Python atio 2.0: three keys, no checksum, no time.
#[derive(Debug, Clone)]
pub struct PythonRecord {
    pub version: Version,
    pub snapshot: String,
}

/// What a program must know to read, and to write; unknown ones are refused by name (B2).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    pub read: Vec<String>,
    pub write: Vec<String>,
}

/// The link to the record one below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    pub version: Version,
    /// None where Python wrote it.
    pub txn: Option<Txn>,
    pub checksum: Checksum,
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

/// Sums over data files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
}

impl Totals {
    /// The sum; fails where it is beyond what can be counted.
    pub fn plus(self, other: Totals) -> Result<Totals> {
        let add = |what: &str, a: u64, b: u64| {
            a.checked_add(b)
                .filter(|sum| *sum <= limits::SUM)
                .ok_or_else(|| Error::damaged(format!("the {what} count overflows")))
        };
        Ok(Totals {
            files: add("file", self.files, other.files)?,
            rows: add("row", self.rows, other.rows)?,
            bytes: add("byte", self.bytes, other.bytes)?,
        })
    }

    /// Checks that each number is one that sums can be made of.
    pub(super) fn check(self) -> Result<()> {
        self.plus(Totals::default()).map(drop)
    }
}

/// What kind of statement made a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    Create,
    Append,
    Overwrite,
    Schema,
    Rollback,
    Tag,
    Untag,
    Expire,
    Drop,
    /// Any other, known or not: it may have changed everything.
    Other(String),
}

impl Operation {
    /// What a record calls it.
    pub fn word(&self) -> &str {
        match self {
            Operation::Create => "create",
            Operation::Append => "append",
            Operation::Overwrite => "overwrite",
            Operation::Schema => "schema",
            Operation::Rollback => "rollback",
            Operation::Tag => "tag",
            Operation::Untag => "untag",
            Operation::Expire => "expire",
            Operation::Drop => "drop",
            Operation::Other(word) => word,
        }
    }

    /// False where the rows are those of the version before: fences, names.
    pub fn changes_state(&self) -> bool {
        !matches!(self.word(), "expire" | "tag" | "untag" | "resolve")
    }
}

impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for Operation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Ok(match word.as_str() {
            "create" => Operation::Create,
            "append" => Operation::Append,
            "overwrite" => Operation::Overwrite,
            "schema" => Operation::Schema,
            "rollback" => Operation::Rollback,
            "tag" => Operation::Tag,
            "untag" => Operation::Untag,
            "expire" => Operation::Expire,
            "drop" => Operation::Drop,
            _ => Operation::Other(word),
        })
    }
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

impl Record {
    /// True for what Python wrote, and for what is left of it.
    pub fn is_python(&self) -> bool {
        match self {
            Record::Live(_) => false,
            Record::Tombstone(tombstone) => tombstone.txn.is_none(),
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
        if let Some(feature) = header.features.unwrap_or_default().read.first() {
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

impl CommitRecord {
    fn check(&self) -> Result<()> {
        if self.previous.as_ref().map(|p| p.version) != self.version_id.previous() {
            return Err(Error::damaged(
                "the record does not continue the version before it",
            ));
        }
        Kept {
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
