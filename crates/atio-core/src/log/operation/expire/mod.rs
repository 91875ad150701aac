//! Expiry: plan, fence, delete. No clock decides whether it is safe.
//!
//! The fence is a commit that names every version that has expired and every transaction
//! whose staged files are about to go. A writer that was slow must pass over the fence to
//! commit, finds itself revoked there, and fails cleanly (A5, C2). Ages only decide whom
//! to disturb.

mod apply;
mod inventory;
mod options;
mod plan;

pub use options::Expiry;
pub use plan::ExpiryRow;

use std::sync::Arc;

use bytes::Bytes;
use chrono::Utc;
use tracing::Instrument;

use self::inventory::Inventory;
use self::plan::ExpirePlan;
use crate::error::{Error, ErrorKind, Result};
use crate::format::Operation;
use crate::format::intent::Intent;
use crate::format::layout;
use crate::log::commit::engine::{self, Ended, On, Planned, Statement};
use crate::log::commit::transaction::Transaction;
use crate::log::table::Table;
use crate::progress::Listener;
use crate::storage::Listed;

/// How often an expiry begins anew that another took for abandoned.
const ATTEMPTS: u32 = 1000;

/// The version that names what has expired and whom it revokes.
struct Fence<'a> {
    expiry: &'a Expiry,
    listing: &'a [Listed],
    /// What it is planned by, on the base of the last attempt.
    taken: Option<(Inventory, ExpirePlan)>,
}

impl Statement for Fence<'_> {
    fn intent(&self) -> Intent {
        Intent::of(&Operation::Expire)
    }

    fn queues(&self) -> bool {
        false
    }

    async fn plan(&mut self, on: On<'_>) -> Result<Option<Planned>> {
        let (table, base) = (on.table, on.base()?);
        crate::log::commit::record::check_features(base)?;
        let earlier = self.taken.take().map(|(inventory, _)| inventory);
        let taken = async {
            match earlier.filter(|earlier| earlier.leads_to(base)) {
                Some(earlier) => earlier.advance(table, base).await,
                None => inventory::take(table, base, self.expiry).await,
            }
        };
        let taken = taken.instrument(tracing::info_span!("plan", table = table.name()));
        let inventory = match taken.await {
            Ok(inventory) => inventory,
            Err(error) => return Err(table.or_gone(base, error).await),
        };
        let plan = ExpirePlan::new(&inventory, self.listing, self.expiry);
        let needs_fence = plan.needs_fence() && !self.expiry.dry_run;
        let (_, plan) = self.taken.insert((inventory, plan));
        match needs_fence {
            true => {
                let record = apply::fence(table, on.txn, base, plan, on.attempt);
                Ok(Some(Planned::alone(record.await?, on.txn.id())))
            }
            false => Ok(None),
        }
    }

    fn gave_up(&self, table: &Table, _attempts: u32) -> Error {
        Error::new(
            ErrorKind::Conflict,
            format!(
                "cannot expire '{}': other writers kept coming first; nothing was deleted",
                table.name()
            ),
        )
    }
}

impl Table {
    /// Makes old versions unreadable and deletes every file that only they needed.
    ///
    /// Gives one row for each file, deleted or, with `dry_run`, to be deleted, and one for each
    /// version that stays only because it is tagged. The newest version always stays. Refuses, before anything is deleted, if a
    /// version that stays cannot be read. Running it again after a crash finishes the job.
    /// `listener` is told how many files are deleted.
    pub async fn expire(
        &self,
        expiry: &Expiry,
        listener: Option<Arc<Listener>>,
    ) -> Result<Vec<ExpiryRow>> {
        if expiry.dry_run {
            let txn = Transaction::begin(self);
            return self.expire_in(&txn, expiry, listener).await;
        }
        // A full disk must not keep expiry from making room.
        self.objects.release_reserve().await;
        let mut rows = self.expire_once(expiry, listener.clone()).await;
        for _ in 1..ATTEMPTS {
            match &rows {
                // Another expiry took it for abandoned: it works as well from the beginning.
                Err(error) if error.kind() == ErrorKind::Revoked => {
                    rows = self.expire_once(expiry, listener.clone()).await;
                }
                _ => break,
            }
        }
        self.objects.keep_reserve().await;
        rows
    }

    async fn expire_once(
        &self,
        expiry: &Expiry,
        listener: Option<Arc<Listener>>,
    ) -> Result<Vec<ExpiryRow>> {
        let base = self.newest().await?;
        let txn = Transaction::begin(self);
        let mut rows = self.expire_in(&txn, expiry, listener).await;
        if let Err(error) = rows {
            let error = self.why_it_failed(&txn, &base, error).await;
            rows = Err(self.or_gone(&base, error).await);
        }
        txn.end(&rows).await;
        rows
    }

    async fn expire_in(
        &self,
        txn: &Transaction,
        expiry: &Expiry,
        listener: Option<Arc<Listener>>,
    ) -> Result<Vec<ExpiryRow>> {
        // Listed once: what is staged later is younger than any orphan (C2).
        let listing = self.list_staged().await?;
        let mut expiry = *expiry;
        // The statement was planned a moment ago; what was listed may be younger.
        expiry.now_us = expiry.now_us.max(Utc::now().timestamp_micros());
        if !expiry.dry_run {
            expiry.now_us = expiry.now_us.min(self.store_now_us(txn).await);
        }
        let mut fence = Fence {
            expiry: &expiry,
            listing: &listing,
            taken: None,
        };
        // After the listing, so that what it found of newer versions is known.
        let base = Some(self.newest().await?);
        let record = match engine::commit(self, txn, base, &mut fence)
            .instrument(tracing::info_span!("commit", table = self.name()))
            .await?
        {
            Ended::Committed(record) => Some(record),
            _ => None,
        };
        let Some((inventory, plan)) = fence.taken else {
            return Ok(Vec::new());
        };
        if expiry.dry_run {
            return Ok(plan.rows().into_iter().chain(plan.kept()).collect());
        }
        apply::delete(self, txn, &inventory, &plan, record.as_deref(), listener)
            .instrument(tracing::info_span!("delete", table = self.name()))
            .await
    }

    /// The store's present time, by which it dates objects; the end of time if it does not
    /// tell. Of two clocks that disagree the earlier one expires less (C11).
    async fn store_now_us(&self, txn: &Transaction) -> i64 {
        let probe = layout::staged(txn.id(), "clock");
        let stamp = async {
            txn.stage(probe.clone(), Bytes::from_static(b"clock"))
                .await?;
            let stamp = self.objects.stamp(&probe).await?;
            // On a local disk it goes with the directory of the transaction, which is needed.
            if self.objects.disk().is_none() {
                txn.discard(&[probe]).await;
            }
            Ok::<_, Error>(stamp.and_then(|stamp| stamp.modified()))
        };
        match stamp.await {
            Ok(Some(at)) => latest_us(at.timestamp_micros()),
            _ => i64::MAX,
        }
    }
}

/// The latest time that is dated `at_us`: stores cut to seconds, file systems to the tick of
/// the system, which is at most 10 ms.
fn latest_us(at_us: i64) -> i64 {
    match at_us % 1_000_000 {
        0 => at_us.saturating_add(999_999),
        _ => at_us.saturating_add(10_000),
    }
}
