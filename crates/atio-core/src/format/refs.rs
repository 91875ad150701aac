//! The refs of a table: names of versions, part of its state (B6).

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::checksum::{seal, verify_seal};
use super::limits::{self, NAME_BYTES, TAGS, TEXT_BYTES};
use super::{Txn, Version, parse_json, to_json};
use crate::error::{Error, Result};

/// The longest name that is written, in bytes; longer ones are read.
const TAG_BYTES: usize = 256;
/// Words that people and programs take for something else than a tag.
const RESERVED: [&str; 5] = ["latest", "newest", "current", "main", "head"];

/// The names that a version of the table carries.
#[derive(Debug, Default, Deserialize)]
pub struct RefsFile {
    #[serde(default)]
    pub tags: BTreeMap<String, Tag>,
    #[serde(default)]
    branches: BTreeMap<String, IgnoredAny>,
}

/// A name for a version, which keeps it from expiring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    pub version: Version,
    /// The transaction that made the version; None where Python did.
    #[serde(default)]
    pub txn: Option<Txn>,
    /// When the tag was made, in microseconds since 1970.
    #[serde(default)]
    pub at_us: Option<i64>,
    #[serde(default)]
    pub message: Option<String>,
}

impl RefsFile {
    /// Reads the object called `path`; fails with [`ErrorKind::Damaged`](crate::ErrorKind::Damaged).
    pub fn parse(path: &str, bytes: &[u8]) -> Result<Self> {
        verify_seal(path, bytes)?;
        let refs: Self = parse_json(path, bytes)?;
        if !refs.branches.is_empty() {
            return Err(Error::unsupported(format!(
                "{path} holds branches, which this release does not know"
            )));
        }
        refs.check().map_err(|error| error.context(path))?;
        Ok(refs)
    }

    /// The bytes to write, closed with their checksum; fails where nobody could read them.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        #[derive(Serialize)]
        struct Written<'a> {
            tags: &'a BTreeMap<String, Tag>,
            branches: BTreeMap<(), ()>,
        }
        self.check().map_err(limits::refused("list of tags"))?;
        seal(to_json(&Written {
            tags: &self.tags,
            branches: BTreeMap::new(),
        })?)
    }

    fn check(&self) -> Result<()> {
        TAGS.check(self.tags.len())?;
        for (name, tag) in &self.tags {
            NAME_BYTES.check(name.len())?;
            TEXT_BYTES.check(tag.message.as_ref().map_or(0, String::len))?;
            tag.at_us.map_or(Ok(()), limits::check_time)?;
        }
        Ok(())
    }
}

/// Fails unless `name` can name a version wherever people write it: in SQL, as an argument of
/// a program, in a path or a message.
pub fn check_tag_name(name: &str) -> Result<()> {
    let wrong = if name.is_empty() {
        Some("it is empty")
    } else if name.len() > TAG_BYTES {
        Some("it is longer than 256 bytes")
    } else if name.contains(['/', '\\']) {
        Some("it holds a slash")
    } else if name.contains(char::is_control) {
        Some("it holds a control character")
    } else if name.trim() != name {
        Some("it begins or ends with a space")
    } else if name.bytes().all(|byte| byte.is_ascii_digit()) {
        Some("it looks like the number of a version")
    } else if RESERVED.contains(&name.to_lowercase().as_str()) {
        Some("the word is reserved")
    } else {
        None
    };
    let shown: String = name.escape_debug().take(64).collect();
    wrong.map_or(Ok(()), |wrong| {
        Err(Error::invalid(format!(
            "'{shown}' cannot be a tag: {wrong}"
        )))
    })
}

#[cfg(test)]
mod tests {
    use super::super::checksum::seal;
    use super::*;

    fn refs(tags: usize, name: &str) -> Result<RefsFile> {
        let tags: Vec<_> = (0..tags)
            .map(|i| format!(r#""{name}{i}":{{"version":1}}"#))
            .collect();
        let json = format!(r#"{{"tags":{{{}}},"branches":{{}}}}"#, tags.join(","));
        RefsFile::parse("r", &seal(json.into_bytes())?)
    }

    #[test]
    fn tags_and_their_names_are_limited() {
        assert_eq!(refs(100_000, "").unwrap().tags.len(), 100_000);
        assert_eq!(
            refs(100_001, "").unwrap_err().message(),
            "r: 100001 tags are more than the limit of 100000"
        );
        let error = refs(1, &"x".repeat(64 * 1024)).unwrap_err();
        assert!(
            error.message().contains("bytes of a name are more"),
            "{error}"
        );
    }

    #[test]
    fn tags_are_read_as_they_were_written() {
        let seed = include_bytes!("../../../../fuzz/seeds/refs/tags.json");
        let refs = RefsFile::parse("r", seed).unwrap();
        let tag = &refs.tags["best"];
        assert_eq!(tag.version.get(), 3);
        assert_eq!(tag.at_us, Some(1_795_333_112_500_000));
        assert_eq!(
            tag.txn.unwrap().to_string(),
            "018f0000000070008000000000000001"
        );
        let bytes = refs.to_bytes().unwrap();
        assert_eq!(bytes.trim_ascii_end(), seed.trim_ascii_end());
    }

    #[test]
    fn a_list_of_tags_that_could_not_be_read_again_is_not_written() {
        let mut refs = refs(1, "a").unwrap();
        let tag = refs.tags["a0"].clone();
        let message = Some("x".repeat(1024 * 1024 + 1));
        refs.tags.insert("b".to_owned(), Tag { message, ..tag });
        assert_eq!(
            refs.to_bytes().unwrap_err().message(),
            "the list of tags cannot be stored: 1048577 bytes of text are more than the limit of 1048576"
        );
    }

    #[test]
    fn names_that_mean_something_else_are_refused() {
        for name in [
            "best-model",
            "Größe v1.2",
            "2026-05",
            "v3",
            "heads",
            "a'b\"c",
            "%",
            &"x".repeat(256),
        ] {
            check_tag_name(name).unwrap();
        }
        for (name, wrong) in [
            ("", "it is empty"),
            (&"x".repeat(257), "longer than 256 bytes"),
            ("a/b", "slash"),
            ("..\\b", "slash"),
            ("a\n", "control character"),
            ("\u{9b}", "control character"),
            (" a", "space"),
            ("a\u{a0}", "space"),
            ("17", "number of a version"),
            ("Latest", "reserved"),
            ("HEAD", "reserved"),
        ] {
            let error = check_tag_name(name).unwrap_err().to_string();
            assert!(error.contains(wrong), "{error} does not say {wrong}");
            assert!(!error.contains(char::is_control) && error.len() < 150);
        }
    }

    #[test]
    fn branches_are_refused_by_name() {
        let bytes = seal(br#"{"tags":{},"branches":{"a":1}}"#.to_vec()).unwrap();
        let error = RefsFile::parse("r", &bytes).unwrap_err();
        assert!(error.message().contains("branches"), "{error}");
    }
}
