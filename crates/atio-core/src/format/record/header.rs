//! The header of a record: what a commit record has in common with the tombstone that takes its
//! place, and what must hold of it in both.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::operation::Operation;
use super::totals::Totals;
use crate::error::{Error, Result};
use crate::format::checksum::Checksum;
use crate::format::limits::{self, ENTRIES, NAME_BYTES, RANGES, REVOKED, TEXT_BYTES};
use crate::format::{Txn, Version};

/// What a program must know to read, and to write; unknown ones are refused by name (B2).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    pub read: Vec<String>,
    pub write: Vec<String>,
}

/// Rows are marked as deleted. It is in `read` of a version that has deletion vectors, and in `write`
/// while one that is not expired may have some: whoever does not know them would delete them.
pub const DELETION_VECTORS: &str = "dv";

/// All that this release knows.
const KNOWN: [&str; 1] = [DELETION_VECTORS];

impl Features {
    /// The first one that a reader needs and this release does not know.
    pub fn unknown_to_reader(&self) -> Option<&str> {
        unknown(&self.read)
    }

    /// The first one that a writer needs and this release does not know.
    pub fn unknown_to_writer(&self) -> Option<&str> {
        unknown(&self.write)
    }

    /// Those of a version on one with these, whose files have deletion vectors if `has_vectors`.
    #[must_use]
    pub fn followed_by(mut self, has_vectors: bool) -> Self {
        set(&mut self.read, DELETION_VECTORS, has_vectors);
        if has_vectors {
            set(&mut self.write, DELETION_VECTORS, true);
        }
        self
    }

    /// The same for writers of a table of which no version has deletion vectors any more.
    #[must_use]
    pub fn without_vectors(mut self) -> Self {
        set(&mut self.write, DELETION_VECTORS, false);
        self
    }

    /// True if the version has deletion vectors.
    pub fn has_vectors(&self) -> bool {
        self.read.iter().any(|name| name == DELETION_VECTORS)
    }
}

fn unknown(names: &[String]) -> Option<&str> {
    let mut names = names.iter().map(String::as_str);
    names.find(|name| !KNOWN.contains(name))
}

fn set(names: &mut Vec<String>, feature: &str, is_there: bool) {
    names.retain(|name| name != feature);
    if is_there {
        names.push(feature.to_owned());
    }
}

/// The link to the record one below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    pub version: Version,
    /// None where Python wrote it.
    pub txn: Option<Txn>,
    pub checksum: Checksum,
}

/// The members that both have, borrowed from either.
pub(super) struct Header<'a> {
    pub(super) version: Version,
    pub(super) parent: Option<Version>,
    pub(super) committed_at_us: i64,
    pub(super) operation: &'a Operation,
    pub(super) features: &'a Features,
    pub(super) added: Totals,
    pub(super) removed: Totals,
    pub(super) message: Option<&'a str>,
    pub(super) properties: &'a BTreeMap<String, String>,
    pub(super) key: Option<&'a str>,
    pub(super) last_expire: Option<Version>,
    pub(super) revoked: &'a [Txn],
    pub(super) expired: &'a [(Version, Version)],
}

impl Header<'_> {
    pub(super) fn check(&self) -> Result<()> {
        limits::check_time(self.committed_at_us)?;
        self.added.check()?;
        self.removed.check()?;
        TEXT_BYTES.check(self.message.map_or(0, str::len))?;
        NAME_BYTES.check(self.key.map_or(0, str::len))?;
        NAME_BYTES.check(self.operation.word().len())?;
        limits::check_entries(self.properties.iter())?;
        for features in [&self.features.read, &self.features.write] {
            ENTRIES.check(features.len())?;
            (features.iter()).try_for_each(|name| NAME_BYTES.check(name.len()))?;
        }
        REVOKED.check(self.revoked.len())?;
        RANGES.check(self.expired.len())?;
        if self.parent.is_some_and(|parent| parent >= self.version) {
            return Err(Error::damaged(
                "the record continues a version that is not below it",
            ));
        }
        if self.last_expire.is_some_and(|fence| fence > self.version) {
            return Err(Error::damaged("the record names an expiry above it"));
        }
        let mut above = Some(Version::ZERO);
        for (first, last) in self.expired {
            let in_order = above.is_some_and(|above| above <= *first) && first <= last;
            if !in_order || *last > self.version {
                return Err(Error::damaged(format!(
                    "the range {first} to {last} of expired versions is out of order or above the record"
                )));
            }
            above = last.next().ok();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::error::ErrorKind;
    use crate::format::checksum::seal;
    use crate::format::{Record, StoredRecord, to_json};

    const RECORD: &str = include_str!("../../../../../fuzz/seeds/record/everything.json");
    const TOMBSTONE: &str = include_str!("../../../../../fuzz/seeds/record/tombstone.json");

    /// Parses the file with one member of it changed and the checksum made right.
    fn read(file: &str, member: &str, value: Value) -> Result<StoredRecord> {
        let mut json: Value = serde_json::from_str(file).unwrap();
        json.as_object_mut().unwrap().remove("checksum");
        *json.pointer_mut(member).unwrap() = value;
        let version = serde_json::from_value(json["version_id"].clone()).unwrap();
        Record::parse(version, &seal(to_json(&json).unwrap()).unwrap())
    }

    fn features(read: &[&str], write: &[&str]) -> Features {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Features {
            read: names(read),
            write: names(write),
        }
    }

    #[test]
    fn vectors_are_needed_to_read_where_they_are_and_to_write_from_then_on() {
        let none = features(&[], &[]);
        assert_eq!(none.clone().followed_by(false), none);
        let marked = none.clone().followed_by(true);
        assert_eq!(marked, features(&["dv"], &["dv"]));
        assert!(marked.has_vectors() && !none.has_vectors());
        assert_eq!(marked.clone().followed_by(true), marked);
        let replaced = marked.clone().followed_by(false);
        assert_eq!(replaced, features(&[], &["dv"]));
        assert!(!replaced.has_vectors());
        assert_eq!(replaced.clone().followed_by(true), marked);
        assert_eq!(replaced.without_vectors(), none);
        // A version that has some is still not to be read without.
        assert_eq!(marked.without_vectors(), features(&["dv"], &[]));
        let others = features(&["a", "dv", "b"], &["dv", "c"]).followed_by(false);
        assert_eq!(others.without_vectors(), features(&["a", "b"], &["c"]));
    }

    #[test]
    fn feature_that_is_not_known_is_refused_by_its_name() {
        let known = features(&["dv"], &["dv"]);
        assert_eq!(known.unknown_to_reader(), None);
        assert_eq!(known.unknown_to_writer(), None);
        let newer = features(&["dv", "x"], &["y", "dv", "z"]);
        assert_eq!(newer.unknown_to_reader(), Some("x"));
        assert_eq!(newer.unknown_to_writer(), Some("y"));
        let error = read(RECORD, "/features/read", json!(["dv", "x"])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("needs the feature 'x'"), "{error}");
        read(RECORD, "/features/read", json!(["dv"])).unwrap();
        // What only writers need to know hinders no reader.
        read(RECORD, "/features/write", json!(["dv", "y"])).unwrap();
    }

    #[test]
    fn a_record_or_tombstone_beyond_its_limits_is_damaged() {
        let txn = "018f0000000070008000000000000001";
        let strings = |count: usize| json!(vec![txn; count]);
        let entries = |count: usize| {
            let entries = (0..count).map(|i| (i.to_string(), json!("")));
            Value::Object(entries.collect())
        };
        let long = |bytes: usize| json!("x".repeat(bytes));
        let ranges: Vec<_> = (0..200_001).map(|_| [0, 0]).collect();
        for (member, value, says) in [
            (
                "/revoked",
                strings(100_001),
                "100001 revoked transactions are more than",
            ),
            (
                "/expired",
                json!(ranges),
                "200001 ranges of expired versions are more",
            ),
            ("/properties", entries(1001), "1001 entries are more than"),
            (
                "/features/write",
                strings(1001),
                "1001 entries are more than",
            ),
            (
                "/message",
                long(1024 * 1024 + 1),
                "1048577 bytes of text are more than",
            ),
            (
                "/key",
                long(64 * 1024 + 1),
                "65537 bytes of a name are more than",
            ),
            (
                "/operation",
                long(64 * 1024 + 1),
                "65537 bytes of a name are more than",
            ),
            ("/added/rows", json!(1_u64 << 63), "the row count overflows"),
            (
                "/added/bytes",
                json!(1_u64 << 63),
                "the byte count overflows",
            ),
            (
                "/committed_at_us",
                json!(-1),
                "not in the years 1970 to 9999",
            ),
            (
                "/committed_at_us",
                json!(i64::MAX),
                "not in the years 1970 to 9999",
            ),
            ("/parent", json!(9), "not below it"),
            ("/last_expire", json!(10), "an expiry above it"),
            (
                "/expired",
                json!([[0, 10]]),
                "0 to 10 of expired versions is out of order or",
            ),
            ("/expired", json!([[2, 1]]), "2 to 1 of expired"),
            ("/expired", json!([[1, 2], [2, 3]]), "2 to 3 of expired"),
        ] {
            for file in [RECORD, TOMBSTONE] {
                let error = read(file, member, value.clone()).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Damaged, "{member}");
                assert!(error.message().starts_with("metadata/v"), "{error}");
                assert!(
                    error.message().contains(says),
                    "{error} does not say {says}"
                );
            }
        }
    }

    #[test]
    fn what_a_record_names_is_of_its_table_and_the_same_for_python() {
        let other = "metadata/snapshot-1-018f0000000070008000000000000001-0.json";
        for (member, value, says) in [
            (
                "/changes/manifests_dropped/0",
                json!("../x"),
                "'../x', which is not a manifest",
            ),
            (
                "/changes/added/0/path",
                json!("data/x"),
                "'data/x', which is not a manifest",
            ),
            (
                "/snapshot_filename",
                json!(other),
                "names one snapshot to Python and another",
            ),
            (
                "/writer",
                json!("x".repeat(64 * 1024 + 1)),
                "bytes of a name are more than",
            ),
        ] {
            let error = read(RECORD, member, value).unwrap_err();
            assert!(
                error.message().contains(says),
                "{error} does not say {says}"
            );
        }
        let error = read(TOMBSTONE, "/snapshot_filename", json!(other)).unwrap_err();
        assert!(
            error.message().ends_with("the tombstone names a snapshot"),
            "{error}"
        );
        let error = read(TOMBSTONE, "/previous/version", json!(1)).unwrap_err();
        assert!(
            error
                .message()
                .contains("does not continue the version before it"),
            "{error}"
        );
    }

    #[test]
    fn a_record_that_could_not_be_read_again_is_not_written() {
        let stored = read(RECORD, "/message", json!("fine")).unwrap();
        let Record::Live(mut record) = stored.record else {
            panic!()
        };
        record.revoked = vec![record.txn; 100_000];
        record.to_bytes().unwrap();
        record.revoked.push(record.txn);
        let error = record.to_bytes().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(
            error.message(),
            "the commit record cannot be stored: 100001 revoked transactions are more than the limit of 100000"
        );
    }
}
