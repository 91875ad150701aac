//! What a write came to, for who asks.

use std::sync::{Mutex, MutexGuard, PoisonError};

use atio_core::format::Version;

/// How many rows a statement changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    pub(crate) deleted: u64,
}

impl Counts {
    /// All of them together, as SQL has it.
    pub(super) fn sum(self) -> u64 {
        self.inserted + self.updated + self.deleted
    }
}

/// Asks what a write came to, as an extension of the session that it runs in: a plan gives only how
/// many rows there were.
#[derive(Debug, Default)]
pub(crate) struct Outcome(Mutex<(Option<Version>, Counts)>);

impl Outcome {
    /// The version that it made last; None if none was made.
    pub(crate) fn version(&self) -> Option<Version> {
        self.lock().0
    }

    /// What became of rows that were there, or came in their place.
    pub(crate) fn counts(&self) -> Counts {
        self.lock().1
    }

    pub(super) fn set_version(&self, version: Version) {
        self.lock().0 = Some(version);
    }

    pub(super) fn set_counts(&self, counts: Counts) {
        self.lock().1 = counts;
    }

    fn lock(&self) -> MutexGuard<'_, (Option<Version>, Counts)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
