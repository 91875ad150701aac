//! Telling others of a version, by hints: failing costs them a look-up.

use super::announcer::Hints;
use super::transaction::Transaction;
use crate::format::CommitRecord;
use crate::log::table::Table;

/// Moves the pointer and the marker.
pub(in crate::log) async fn announce(table: &Table, txn: &Transaction, record: &CommitRecord) {
    let hints = Hints::of(txn.output(), record);
    match (hints, &table.announcer) {
        (Err(error), _) => ::log::warn!(
            "version {} is committed, but others are not told of it: {error}",
            record.version_id
        ),
        (Ok(hints), None) => hints.write().await,
        (Ok(hints), Some(announcer)) if hints.waits() => announcer.now(hints).await,
        (Ok(hints), Some(announcer)) => announcer.later(hints),
    }
}
