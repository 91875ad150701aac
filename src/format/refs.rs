//! The refs of a table: names of versions, part of its state (B6).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::checksum::verify_seal;
use super::{Version, parse_json};
use crate::error::{Error, Result};

/// The names that a version of the table carries.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct RefsFile {
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, Tag>,
    #[serde(default)]
    branches: BTreeMap<String, serde_json::Value>,
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
        Ok(refs)
    }
}
