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

use super::table::Table;
use super::transaction::Transaction;
use crate::error::{Error, ErrorKind, Result};
use crate::format::layout;
use crate::progress::Listener;

/// How often an expiry that loses the race plans anew.
const ATTEMPTS: u32 = 1000;

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
        if let Err(error) = &rows
            && matches!(error.kind(), ErrorKind::Storage | ErrorKind::Conflict)
            && let Some(stopped) = txn.stopped(self, &base).await
        {
            rows = Err(stopped);
        }
        if let Err(error) = rows {
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
        let expiry = &expiry;
        for attempt in 0..ATTEMPTS {
            let base = self.newest().await?;
            super::draft::check_features(&base)?;
            let taken = inventory::take(self, &base, expiry)
                .instrument(tracing::info_span!("plan", table = self.name()));
            let inventory = match taken.await {
                Ok(inventory) => inventory,
                // Another expiry may have taken away what was just being read.
                Err(_) if self.newest().await?.version > base.version => continue,
                Err(error) => return Err(self.or_gone(&base, error).await),
            };
            let plan = plan::ExpirePlan::new(&inventory, &listing, expiry);
            if expiry.dry_run {
                return Ok(plan.rows().into_iter().chain(plan.kept()).collect());
            }
            if !plan.needs_fence() {
                let delete = apply::delete(self, txn, &inventory, &plan, None, listener);
                return delete
                    .instrument(tracing::info_span!("delete", table = self.name()))
                    .await;
            }
            let fence = apply::fence(self, txn, &base, &plan, attempt);
            match fence
                .instrument(tracing::info_span!("commit", table = self.name()))
                .await?
            {
                Some(fence) => {
                    let fence = Some(&fence);
                    let delete = apply::delete(self, txn, &inventory, &plan, fence, listener);
                    return delete
                        .instrument(tracing::info_span!("delete", table = self.name()))
                        .await;
                }
                None => tokio::time::sleep(super::commit::pause(attempt)).await,
            }
        }
        Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "cannot expire '{}': other writers kept coming first; nothing was deleted",
                self.name()
            ),
        ))
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
            Ok::<_, Error>(stamp)
        };
        match stamp.await {
            Ok(Some(stamp)) => latest_us(stamp.modified().timestamp_micros()),
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
