//! What a commit that lost the race finds in its way.

use super::snapshot::Snapshot;
use super::table::Table;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Operation, Txn, Version};

/// A commit that is under way, as far as others' commits concern it.
pub(super) struct Pending<'a> {
    pub(super) txn: Txn,
    pub(super) key: Option<&'a str>,
    /// True if only a version of the same rows may come between.
    pub(super) needs_same_state: bool,
}

impl Table {
    /// Looks at every version that was committed on `base`, up to `newest`.
    ///
    /// Gives the one that did the same work under the same key; None if there is none and
    /// nothing stands against committing on `newest`.
    pub(super) async fn check_passed(
        &self,
        pending: &Pending<'_>,
        base: &Snapshot,
        newest: &Snapshot,
    ) -> Result<Option<Version>> {
        if newest.table != base.table && base.python.is_none() {
            return Err(self.conflict("the table was dropped and created again", newest.version));
        }
        let passed = base.version.next()?.through(newest.version);
        let mut below = base.record.clone();
        for version in passed {
            let record = self.record(version).await?;
            below
                .check_next(&record)
                .map_err(|error| self.explain(error))?;
            if pending.key.is_some() && record.key() == pending.key {
                return Ok(Some(version));
            }
            if record.revoked().contains(&pending.txn) {
                return Err(self.revoked(&format!("the expiry of version {version}")));
            }
            let operation = record.operation();
            if operation == Operation::Drop || record.table().is_none() {
                return Err(
                    self.conflict(&format!("it was changed by {}", operation.word()), version)
                );
            }
            if pending.needs_same_state && operation.changes_state() {
                let what = format!(
                    "it was changed ({}) by transaction {}",
                    operation.word(),
                    words(record.txn())
                );
                return Err(self.conflict(&what, version));
            }
            below = record;
        }
        Ok(None)
    }

    pub(super) fn revoked(&self, by: &str) -> Error {
        Error::new(
            ErrorKind::Revoked,
            format!(
                "this write to '{}' was revoked by {by}, which took its files for abandoned; nothing was written: run it again",
                self.name()
            ),
        )
    }

    pub(super) fn conflict(&self, what: &str, version: Version) -> Error {
        Error::new(
            ErrorKind::Conflict,
            format!(
                "cannot commit to '{}': {what} in version {version}, after this statement started; nothing was written: run it again",
                self.name()
            ),
        )
    }

    pub(super) fn gave_up(&self, attempts: u32) -> Error {
        Error::new(
            ErrorKind::Conflict,
            format!(
                "gave up after {attempts} attempts to commit to '{}': other writers kept coming first; nothing was written",
                self.name()
            ),
        )
    }
}

fn words(txn: Option<Txn>) -> String {
    txn.map_or("of Python".to_owned(), |txn| txn.to_string())
}
