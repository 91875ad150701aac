//! What a person can say of a write besides from where and to where.

use clap::ValueEnum;

/// What to do with what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum IfExists {
    /// Put the new rows in the place of the old ones
    Replace,
    /// Leave everything as it is, and fail
    Fail,
    /// Leave everything as it is, and succeed
    Skip,
    /// Add the new rows to those of a table
    Append,
}

/// In place of the path of a marker.
pub(super) const NO_MARKER: &str = "none";

/// What there is to say about a write.
pub(super) struct Wishes<'a> {
    pub(super) if_exists: Option<IfExists>,
    pub(super) create: bool,
    pub(super) backup: bool,
    /// A path, or [`NO_MARKER`].
    pub(super) marker: Option<&'a str>,
    pub(super) message: Option<&'a str>,
    /// So many times after conflicts.
    pub(super) retries: u32,
}
