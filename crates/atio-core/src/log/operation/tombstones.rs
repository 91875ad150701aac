//! Tombstones: what takes the place of the records of versions that nobody can read any more.

use futures::TryStreamExt;
use futures::stream;

use crate::error::Result;
use crate::format::{Tombstone, layout};
use crate::log::commit::transaction::Transaction;

/// How many are set at once.
const PARALLEL: usize = 32;

/// Sets the tombstones of one fence, which are in order: the one of the highest version last, so
/// that it tells of all (X8).
pub(super) async fn set(txn: &Transaction, mut tombstones: Vec<Tombstone>) -> Result<()> {
    let last = tombstones.pop();
    stream::iter(tombstones.into_iter().map(Ok))
        .try_for_each_concurrent(PARALLEL, |tombstone| set_one(txn, tombstone))
        .await?;
    match last {
        Some(last) => set_one(txn, last).await,
        None => Ok(()),
    }
}

async fn set_one(txn: &Transaction, tombstone: Tombstone) -> Result<()> {
    let path = layout::record(tombstone.version_id);
    txn.replace(&path, tombstone.to_bytes()?.into()).await
}
