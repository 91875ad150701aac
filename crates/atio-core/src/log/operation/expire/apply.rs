//! Carrying out an expiry: the fence first, deletes only once it is committed.

use std::collections::HashMap;
use std::sync::Arc;

use super::inventory::Inventory;
use super::plan::{ExpirePlan, ExpiryRow};
use crate::error::{ErrorKind, Result};
use crate::format::{CommitRecord, Operation, Version};
use crate::log::commit::record::RecordedChange;
use crate::log::commit::transaction::Transaction;
use crate::log::operation::tombstones;
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;
use crate::progress::{Listener, Reporter, Step};

/// The record of the fence one above `base`.
pub(super) async fn fence(
    table: &Table,
    txn: &Transaction,
    base: &Arc<Snapshot>,
    plan: &ExpirePlan,
    attempt: u32,
) -> Result<CommitRecord> {
    let recorded = RecordedChange::same_state(Operation::Expire);
    let mut record = table
        .record_of_same_state(txn, base, recorded, attempt)
        .await?;
    record.last_expire = Some(record.version_id);
    record.expired = plan.expired.clone();
    record.revoked = plan.revoked.clone();
    if plan.without_vectors {
        record.features = record.features.without_vectors();
    }
    ::log::info!("'{}': {}", table.name(), plan.words());
    Ok(record)
}

/// Deletes what the plan names, in an order that a crash at any point leaves to be finished:
/// pointer, data files, manifests, tombstones, snapshots (C3, C5).
///
/// What cannot be deleted now is told in its row, and the next expiry tries again.
///
/// Before the first delete every fence that justifies one is durable (A7).
pub(super) async fn delete(
    table: &Table,
    txn: &Transaction,
    inventory: &Inventory,
    plan: &ExpirePlan,
    fence: Option<&CommitRecord>,
    listener: Option<Arc<Listener>>,
) -> Result<Vec<ExpiryRow>> {
    // The fence of this run is, and the pointer with it.
    if fence.is_none() {
        txn.sync_records().await?;
    }
    let total = Some(plan.objects());
    let reporter = Reporter::begin_with(Step::Delete, listener, table.name(), total);
    let deleted = || reporter.advance(Step::Delete, 1);
    let mut outcomes = HashMap::new();
    for paths in plan.before_tombstones() {
        let gone = table.objects.delete_each(&paths, deleted).await;
        outcomes.extend(paths.into_iter().zip(gone));
        // What names a file that is still there must stay, so that it is found again.
        if outcomes.values().any(may_succeed_later) {
            break;
        }
    }
    if !outcomes.values().any(may_succeed_later) {
        bury(txn, inventory, plan, fence).await?;
        let paths = plan.after_tombstones();
        let gone = table.objects.delete_each(&paths, deleted).await;
        outcomes.extend(paths.into_iter().zip(gone));
    }
    let mut rows = plan.rows();
    for row in &mut rows {
        match outcomes.get(&row.path) {
            Some(Ok(())) => row.deleted = true,
            Some(Err(error)) => {
                row.reason = format!("{}; could not be deleted: {error}", row.reason)
            }
            None => row.reason = format!("{}; left for the next expiry", row.reason),
        }
    }
    rows.extend(plan.kept());
    Ok(rows)
}

/// A file behind a symbolic link is refused for ever; every other failure may pass.
fn may_succeed_later(outcome: &Result<()>) -> bool {
    matches!(outcome, Err(error) if error.kind() != ErrorKind::Damaged)
}

async fn bury(
    txn: &Transaction,
    inventory: &Inventory,
    plan: &ExpirePlan,
    fence: Option<&CommitRecord>,
) -> Result<()> {
    let by = fence
        .map(|fence| fence.version_id)
        .or(inventory.base.record.last_expire());
    let uuid = fence.map_or(inventory.base.table, |fence| fence.table);
    let tombstone = |version: &Version| {
        let at_us = inventory.times.get(version).copied().unwrap_or_default();
        let record = inventory.records.get(version)?;
        record.tombstone("expired", by?, uuid, at_us)
    };
    let (left, new): (Vec<_>, Vec<_>) =
        (plan.bury.iter()).partition(|version| inventory.base.has_expired(**version));
    // What an earlier fence left over is of several, perhaps: one after another.
    for tombstone in left.into_iter().filter_map(tombstone) {
        tombstones::set(txn, vec![tombstone]).await?;
    }
    tombstones::set(txn, new.into_iter().filter_map(tombstone).collect()).await
}
