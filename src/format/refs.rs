//! The refs of a table: names of versions, part of its state (B6).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::checksum::verify_seal;
use super::limits::{NAME_BYTES, TAGS};
use super::{Version, parse_json};
use crate::error::{Error, Result};

/// The names that a version of the table carries.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct RefsFile {
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, Tag>,
    #[serde(default)]
    branches: BTreeMap<String, IgnoredAny>,
}

/// A name for a version, which keeps it from expiring.
#[derive(Debug, Deserialize)]
pub(crate) struct Tag {
    pub(crate) version: Version,
}

impl RefsFile {
    pub(crate) fn parse(path: &str, bytes: &[u8]) -> Result<Self> {
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

    fn check(&self) -> Result<()> {
        TAGS.check(self.tags.len())?;
        (self.tags.keys()).try_for_each(|tag| NAME_BYTES.check(tag.len()))
    }
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
    fn branches_are_refused_by_name() {
        let bytes = seal(br#"{"tags":{},"branches":{"a":1}}"#.to_vec()).unwrap();
        let error = RefsFile::parse("r", &bytes).unwrap_err();
        assert!(error.message().contains("branches"), "{error}");
    }
}
