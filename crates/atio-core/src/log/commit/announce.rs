//! Telling others of a version, by hints.

use super::transaction::Transaction;
use crate::error::Result;
use crate::format::{CommitRecord, Operation, layout, pointer};

/// Moves the pointer and the marker, which are hints: failing costs others a look-up.
pub(in crate::log) async fn announce(txn: &Transaction, record: &CommitRecord) {
    // Python goes by the pointer: it is durable in a new table, and before files are deleted.
    let durable = matches!(record.operation, Operation::Create | Operation::Expire);
    let write = |name: &'static str, bytes: Result<Vec<u8>>| async move {
        let written = match bytes {
            Ok(bytes) if durable => txn.replace(name, bytes.into()).await,
            Ok(bytes) => txn.replace_hint(name, bytes.into()).await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            ::log::warn!(
                "version {} is committed, but {name} could not be written: {error}",
                record.version_id
            );
        }
    };
    let version = record.version_id;
    futures::join!(
        write(layout::POINTER, pointer::pointer(version, record.table)),
        write(
            layout::SUCCESS,
            pointer::success(version, record.txn, record.committed_at_us)
        ),
    );
}
