//! Options of writing a file: what is not the format's.

use std::path::PathBuf;

use atio_core::log::OpenOptions;
use atio_core::storage::Durability;

use super::content::Hash;
use super::shape::Shape;
use crate::error::{Error, Result};
use crate::spelling::is_close;

/// In SQL an option of atio may begin with this.
const PREFIX: &str = "atio.";
const NAMES: [&str; 5] = ["if_exists", "backup", "marker", "hash", "durability"];

/// What to do if the target is there already.
///
/// ```
/// use atio::{Existing, WriteOptions};
///
/// let options = WriteOptions { if_exists: Some(Existing::Fail), ..WriteOptions::default() };
/// # assert_ne!(options.if_exists, Some(Existing::default()));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Existing {
    /// Replace it, in one step.
    #[default]
    Replace,
    /// Leave the files of a directory where they are, and add to them. A single file cannot be
    /// added to.
    Append,
    /// Fail, and leave it as it is.
    Fail,
    /// Do nothing, and do not run the query.
    Skip,
}

/// Whether a marker is written, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Marking {
    #[default]
    Off,
    /// Beside the target, where programs that read its directory find it.
    Beside,
    /// At a path of its own on the local disk.
    At(PathBuf),
}

/// How a target is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileOptions {
    /// None: replace a file. Of a directory [`appends`](Self::appends) says it.
    pub(crate) if_exists: Option<Existing>,
    /// Whether a directory that is there is added to, or is replaced if atio wrote all in it.
    pub(crate) appends: bool,
    pub(crate) backup: bool,
    pub(crate) marker: Marking,
    pub(crate) hash: Hash,
    pub(crate) durability: Durability,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            if_exists: None,
            appends: true,
            backup: false,
            marker: Marking::Off,
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

    /// True if an option is one of atio whatever the format is.
    pub(crate) fn is_ours(key: &str) -> bool {
        key.strip_prefix("format.")
            .unwrap_or(key)
            .starts_with(PREFIX)
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
            ("if_exists", "append", _) => self.if_exists = Some(Existing::Append),
            ("if_exists", ..) => return wrong("'replace', 'append', 'fail' or 'skip'"),
            ("backup", _, Some(flag)) => self.backup = flag,
            ("backup", ..) => return wrong("'true' or 'false'"),
            ("marker", _, Some(true)) => self.marker = Marking::Beside,
            ("marker", _, Some(false)) => self.marker = Marking::Off,
            // More likely meant as a flag; a path can begin with './'.
            ("marker", "" | "yes" | "no" | "on" | "off" | "none" | "0" | "1", _) => {
                return wrong("'true', 'false' or a path");
            }
            ("marker", ..) if value.contains("://") => {
                return wrong("'true', 'false' or a path on the local disk");
            }
            ("marker", ..) => self.marker = Marking::At(PathBuf::from(value)),
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

    /// What to do if a target of this shape is there.
    pub(crate) fn existing(&self, shape: Shape) -> Existing {
        self.if_exists.unwrap_or(match shape {
            Shape::Folder if self.appends => Existing::Append,
            _ => Existing::Replace,
        })
    }

    /// Fails if these options do not go together for a target of this shape.
    pub(crate) fn check(&self, shape: Shape) -> Result<()> {
        let refused = match (self.existing(shape), shape) {
            (Existing::Append, Shape::File) => {
                "'atio.if_exists' 'append' is for directories: a file is replaced as a whole"
            }
            (Existing::Append, Shape::Folder) if self.backup => {
                "'atio.backup' keeps what is replaced, and files are added to a directory: give 'atio.if_exists' 'replace', too"
            }
            _ => return Ok(()),
        };
        Err(Error::invalid(refused))
    }
}

fn unknown(name: &str) -> Error {
    let meant = NAMES.iter().find(|known| is_close(name, known));
    let meant = meant.map_or("; the".to_owned(), |known| {
        format!(": did you mean '{PREFIX}{known}'? The")
    });
    let names = NAMES.map(|name| format!("'{PREFIX}{name}'"));
    Error::invalid(format!(
        "unknown option '{PREFIX}{}'{meant} options of COPY are {}",
        name.escape_debug(),
        names.join(", ")
    ))
}
