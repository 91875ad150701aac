//! What a statement meets whose table is dropped meanwhile: not damage, and no failure of the
//! storage.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::log::commit::transaction::Transaction;
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;

/// What became of a table.
enum Gone {
    Dropped,
    MadeAgain,
}

/// True if `error` tells a reader that its table is gone.
pub(in crate::log) fn says_gone(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::TableNotFound | ErrorKind::SchemaChanged
    )
}

impl Table {
    /// What a reader met, or why: the table of which it saw the version `seen` is not there
    /// any more.
    pub(in crate::log) async fn or_gone(&self, seen: &Snapshot, error: Error) -> Error {
        match self.is_gone(seen, &error).await {
            Some(Gone::Dropped) => self.was_dropped(),
            Some(Gone::MadeAgain) => self.was_made_again(),
            None => error,
        }
    }

    /// The same for a writer of which nothing was committed.
    pub(in crate::log) async fn or_dropped(&self, base: &Snapshot, error: Error) -> Error {
        match self.is_gone(base, &error).await {
            Some(_) => self.dropped_meanwhile(),
            None => error,
        }
    }

    /// Why the files of a statement on `base` could not be staged, if that is not what `error`
    /// says.
    pub async fn why_not_staged(
        &self,
        txn: &Transaction,
        base: &Snapshot,
        error: Option<&Error>,
    ) -> Option<Error> {
        if let Some(stopped) = txn.stopped(self, base).await {
            return Some(stopped);
        }
        let gone = self.is_gone(base, error?).await;
        gone.map(|_| self.dropped_meanwhile())
    }

    /// What was read of a version belongs together with `seen`, or the table was made again.
    pub(in crate::log) fn check_same(
        &self,
        seen: &Snapshot,
        found: Arc<Snapshot>,
    ) -> Result<Arc<Snapshot>> {
        let python = seen.python.is_some() || found.python.is_some();
        match python || seen.table == found.table {
            true => Ok(found),
            false => Err(self.was_made_again()),
        }
    }

    async fn is_gone(&self, seen: &Snapshot, error: &Error) -> Option<Gone> {
        let perhaps = match error.kind() {
            // A store whose object was just dropped looks as if it lost it.
            ErrorKind::Damaged | ErrorKind::UnsafeStore | ErrorKind::VersionNotFound => true,
            // Elsewhere what is missing is told apart from what failed.
            ErrorKind::Storage => self.objects.disk().is_some(),
            _ => false,
        };
        if !perhaps {
            return None;
        }
        match self.newest().await {
            Err(now) if now.kind() == ErrorKind::TableNotFound => Some(Gone::Dropped),
            // atio gives a table of Python's its id.
            Ok(newest) if newest.table != seen.table && seen.python.is_none() => {
                Some(Gone::MadeAgain)
            }
            _ => None,
        }
    }

    pub(in crate::log) fn was_dropped(&self) -> Error {
        Error::new(
            ErrorKind::TableNotFound,
            format!(
                "table '{}' was dropped while this statement ran",
                self.name()
            ),
        )
    }

    pub(in crate::log) fn was_made_again(&self) -> Error {
        Error::new(
            ErrorKind::SchemaChanged,
            format!(
                "table '{}' was dropped and created again while this statement ran: run it again",
                self.name()
            ),
        )
    }
}
