//! What a check found.

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::format::Version;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Rows, versions or commits are lost, or refused, or wrong.
    Error,
    /// Nothing is lost: something is slower than it must be, or left over.
    Warning,
}

impl Severity {
    /// The word that people see.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One thing that is wrong with a table.
///
/// ```
/// fn show(finding: &atio_core::log::Finding) -> String {
///     format!("{}: {}. {}", finding.severity, finding.finding, finding.action)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The object concerned, relative to the root of the table.
    pub object: String,
    /// The newest readable version that needs the object; None if none does.
    pub version: Option<Version>,
    /// What is wrong.
    pub finding: String,
    /// What to do about it.
    pub action: String,
    pub(in crate::log) remedy: Remedy,
    pub(super) advice: Advice,
}

/// What is to be added to an action once it is known which versions are whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advice {
    /// What its object makes of it.
    OfObject,
    /// The rows of the data file, as its manifest counts them; None if rows are marked as deleted, or
    /// nobody counted them.
    Rows(Option<u64>),
    /// What is lost is not replaced: only its rows can be taken elsewhere.
    NewTable,
}

/// What a repair can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log) enum Remedy {
    /// Nothing.
    None,
    /// Write the pointer anew.
    Pointer,
    /// Write the marker anew.
    Marker,
    /// Occupy these numbers, whose records are lost.
    Fill(Version, Version),
    /// Commit a fence that says of this number that it is lost.
    Fence(Version),
    /// Commit a fence that says of this version, of which there is a tombstone, that it has expired.
    Expired(Version),
}

impl Finding {
    pub(super) fn error(
        object: impl Into<String>,
        version: impl Into<Option<Version>>,
        finding: impl Into<String>,
        action: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            object: object.into(),
            version: version.into(),
            finding: finding.into(),
            action: action.into(),
            remedy: Remedy::None,
            advice: Advice::OfObject,
        }
    }

    pub(super) fn warning(
        object: impl Into<String>,
        version: impl Into<Option<Version>>,
        finding: impl Into<String>,
        action: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(object, version, finding, action)
        }
    }

    /// One about an object that is damaged, or could not be read.
    pub(super) fn unreadable(
        object: impl Into<String>,
        version: impl Into<Option<Version>>,
        error: &Error,
    ) -> Self {
        Self::error(object, version, error.to_string(), what_now(error))
    }

    pub(super) fn with(self, remedy: Remedy) -> Self {
        Self { remedy, ..self }
    }

    pub(super) fn advised(self, advice: Advice) -> Self {
        Self { advice, ..self }
    }
}

/// So many numbers are looked for one by one where the records of many are missing, and so many
/// are filled at most.
pub(super) const MOST_LOST: u64 = 10_000;

fn what_now(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Unsupported => "Use a newer release.",
        ErrorKind::Storage => "Look after the storage, and check again.",
        _ => RESTORE,
    }
}

pub(super) const RESTORE: &str = "Restore it from a copy of the table.";
