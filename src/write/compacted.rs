//! What a compaction came to.

use std::fmt;

use atio_core::format::{FileEntry, Version};

use super::file_groups::FileGroup;

/// Data files whose rows a compaction writes into others, all in one version.
///
/// ```
/// fn show(group: &atio::CompactedGroup) -> String {
///     format!("{} files of {} rows: {}", group.files_before, group.rows, group.outcome)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactedGroup {
    /// How many files there were.
    pub files_before: u64,
    /// How many there are then; an estimate in a dry run. None if the group gave way.
    pub files_after: Option<u64>,
    /// The bytes of the files that there were.
    pub bytes_before: u64,
    /// Those of the new ones; None unless they were committed.
    pub bytes_after: Option<u64>,
    /// The rows, which are the same before and after.
    pub rows: u64,
    /// How many rows were marked as deleted in the old files. The new ones do not have them.
    pub deleted_rows: u64,
    /// The version that has the new files.
    pub version: Option<Version>,
    /// What became of it.
    pub outcome: CompactOutcome,
}

/// What became of a group of files.
///
/// ```
/// assert_eq!(atio::CompactOutcome::Compacted.to_string(), "compacted");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompactOutcome {
    /// It would be compacted: this is a dry run.
    Planned,
    /// It is compacted.
    Compacted,
    /// Another statement changed its files first, as the text says, also when they were chosen anew,
    /// and nothing became of it: the next compaction takes what is left.
    GaveWay(String),
}

impl fmt::Display for CompactOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Planned => f.write_str("would compact"),
            Self::Compacted => f.write_str("compacted"),
            Self::GaveWay(to) => write!(f, "gave way to {to}"),
        }
    }
}

impl CompactedGroup {
    /// Of `group`, of which nothing is written.
    pub(super) fn new(group: &FileGroup, outcome: CompactOutcome) -> Self {
        let planned = outcome == CompactOutcome::Planned;
        Self {
            files_before: group.files.len() as u64,
            files_after: planned.then_some(group.into),
            bytes_before: group.bytes(),
            bytes_after: None,
            rows: group.rows,
            deleted_rows: group.marked_rows(),
            version: None,
            outcome,
        }
    }

    /// Of `group`, whose rows are in `files` from this version on.
    pub(super) fn committed(group: &FileGroup, files: &[FileEntry], version: Version) -> Self {
        let bytes = files.iter().filter_map(|file| file.size);
        Self {
            files_after: Some(files.len() as u64),
            bytes_after: Some(bytes.fold(0, u64::saturating_add)),
            version: Some(version),
            ..Self::new(group, CompactOutcome::Compacted)
        }
    }
}
