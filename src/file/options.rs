//! Options of writing a file: what is not the format's.

use super::content::Hash;
use crate::error::{Error, Result};
use crate::log::{Durability, OpenOptions};

/// In SQL an option of atio may begin with this.
const PREFIX: &str = "atio.";
const NAMES: [&str; 5] = ["if_exists", "backup", "marker", "hash", "durability"];

/// What to do if the target is there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Existing {
    /// Replace it, in one step.
    #[default]
    Replace,
    /// Fail, and leave it as it is.
    Fail,
    /// Do nothing, and do not run the query.
    Skip,
}

/// How a target is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileOptions {
    /// None: replace it, but a directory only if all in it was written by atio.
    pub(crate) if_exists: Option<Existing>,
    pub(crate) backup: bool,
    pub(crate) marker: bool,
    pub(crate) hash: Hash,
    pub(crate) durability: Durability,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            if_exists: None,
            backup: false,
            marker: true,
            hash: Hash::default(),
            durability: Durability::default(),
        }
    }
}

impl FileOptions {
    /// The name of an option of atio, which may come with `format.` and `atio.` before it; what
    /// begins with `atio.` is one even if nobody knows it.
    pub(crate) fn name_of(key: &str) -> Option<&str> {
        let name = key.strip_prefix("format.").unwrap_or(key);
        name.strip_prefix(PREFIX)
            .or_else(|| NAMES.contains(&name).then_some(name))
    }

    /// Sets the option of this name.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let lower = value.to_ascii_lowercase();
        let wrong = |expected: &str| {
            Err(Error::invalid(format!(
                "option '{PREFIX}{name}': '{}' is not {expected}",
                value.escape_debug()
            )))
        };
        let flag = match lower.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        match (name, lower.as_str(), flag) {
            ("if_exists", "replace", _) => self.if_exists = Some(Existing::Replace),
            ("if_exists", "fail", _) => self.if_exists = Some(Existing::Fail),
            ("if_exists", "skip", _) => self.if_exists = Some(Existing::Skip),
            ("if_exists", ..) => return wrong("'replace', 'fail' or 'skip'"),
            ("backup", _, Some(flag)) => self.backup = flag,
            ("marker", _, Some(flag)) => self.marker = flag,
            ("backup" | "marker", ..) => return wrong("'true' or 'false'"),
            ("hash", "sha256", _) => self.hash = Hash::Sha256,
            ("hash", "crc32c", _) => self.hash = Hash::Crc32c,
            ("hash", ..) => return wrong("'sha256' or 'crc32c'"),
            ("durability", ..) => {
                let mut options = OpenOptions::default();
                options.set(name, value)?;
                self.durability = options.durability;
            }
            _ => return Err(unknown(name)),
        }
        Ok(())
    }

    pub(super) fn existing(&self) -> Existing {
        self.if_exists.unwrap_or_default()
    }
}

fn unknown(name: &str) -> Error {
    let names: Vec<_> = NAMES
        .iter()
        .map(|name| format!("'{PREFIX}{name}'"))
        .collect();
    Error::invalid(format!(
        "unknown option '{PREFIX}{}'; atio's options of COPY are {}",
        name.escape_debug(),
        names.join(", ")
    ))
}
