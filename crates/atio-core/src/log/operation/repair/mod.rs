//! Repair: what can be mended without losing anything that is still there.
//!
//! 1. The table is checked.
//! 2. Numbers whose records are lost are occupied by tombstones, from the lowest up, and a fence above
//!    them says so, and what has expired by a fence that is lost (7.16). Whoever takes one of them first has
//!    won: then again from 1.
//! 3. Pointer and marker are written anew.
//!
//! All else is told, with what a person can do about it.

mod fill;
mod options;

pub use options::{RepairOptions, RepairRow};

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::format::{Record, Version, layout, pointer};
use crate::log::check::{CheckOptions, Checked, Finding, Remedy};
use crate::log::commit::engine::pause;
use crate::log::commit::transaction::Transaction;
use crate::log::read::locate;
use crate::log::read::snapshot::words;
use crate::log::table::Table;

/// How often a repair begins anew because another writer came first.
const ATTEMPTS: u32 = 100;

impl Table {
    /// Mends the pointer and the marker, and occupies numbers whose records are lost, so that they are
    /// never used again.
    ///
    /// Gives one row for each problem; those that cannot be mended say what a person can do. With
    /// `dry_run` nothing is changed. Other writers may be at work. One that began before lost numbers
    /// were occupied fails with [`ErrorKind::Revoked`].
    ///
    /// Fails if there is no table, if its storage gives no answer, also with
    /// [`ErrorKind::CommitUnknown`], and with [`ErrorKind::Conflict`] if other writers kept coming first.
    /// Running it again finishes the job.
    pub async fn repair(&self, options: &RepairOptions) -> Result<Vec<RepairRow>> {
        for attempt in 1..=ATTEMPTS {
            let checked = self.checked(CheckOptions::default()).await?;
            if options.dry_run {
                let refusal = fill::refusal(self, &checked).await?;
                return Ok(rows(&checked, refusal.as_ref(), false));
            }
            let txn = Transaction::begin(self);
            let mended = self.mend(&txn, &checked).await;
            txn.end(&mended).await;
            if let Some(rows) = mended? {
                return Ok(rows);
            }
            pause(attempt, Duration::ZERO).await;
        }
        Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "cannot repair '{}': other writers kept coming first; run it again",
                self.name()
            ),
        ))
    }

    /// None if another writer came first.
    async fn mend(&self, txn: &Transaction, checked: &Checked) -> Result<Option<Vec<RepairRow>>> {
        let refusal = fill::refusal(self, checked).await?;
        let fills = fill::is_needed(checked) && refusal.is_none();
        if fills && !fill::fill(self, txn, checked).await? {
            return Ok(None);
        }
        let has = |remedy| {
            checked
                .findings
                .iter()
                .any(|finding| finding.remedy == remedy)
        };
        // What was filled is announced.
        let (pointer, marker) = (has(Remedy::Pointer), has(Remedy::Marker));
        let writes = (pointer || marker) && !fills && can_tell(checked, refusal.as_ref());
        if writes && !self.write_hints(txn, checked, (pointer, marker)).await? {
            return Ok(None);
        }
        Ok(Some(rows(checked, refusal.as_ref(), true)))
    }

    /// Writes pointer and marker for the version that is the newest at this moment; false if somebody
    /// has made it one that no hint may name.
    async fn write_hints(
        &self,
        txn: &Transaction,
        checked: &Checked,
        (pointer, marker): (bool, bool),
    ) -> Result<bool> {
        let Some((top, _)) = checked.newest else {
            return Ok(false);
        };
        txn.check_store().await?;
        // From here on nothing is written to a table that is made in the place of this one.
        txn.prepare().await?;
        let Some(found) = locate::read(&self.objects, top).await? else {
            return Err(self.not_found());
        };
        let (record, _, _) = locate::forward(&self.objects, found).await?.parse()?;
        let Record::Live(live) = &record.record else {
            return Ok(false);
        };
        // Others act on what the pointer names (A7).
        txn.sync_records().await?;
        if pointer {
            let bytes = pointer::pointer(live.version_id, live.table)?;
            txn.replace(layout::POINTER, bytes.into()).await?;
        }
        if marker {
            let bytes = pointer::success(live.version_id, live.txn, live.committed_at_us)?;
            txn.replace(layout::SUCCESS, bytes.into()).await?;
        }
        Ok(true)
    }
}

/// True if there is, or will be, a version that pointer and marker can name; `refusal` is why numbers
/// cannot be occupied.
fn can_tell(checked: &Checked, refusal: Option<&Error>) -> bool {
    match &checked.newest {
        Some((_, Some(newest))) => match newest.record {
            Record::Live(_) => true,
            _ => newest.is_lost() && refusal.is_none(),
        },
        _ => false,
    }
}

/// One row for each finding; `refusal` is why numbers cannot be occupied.
fn rows(checked: &Checked, refusal: Option<&Error>, ran: bool) -> Vec<RepairRow> {
    let tells = can_tell(checked, refusal);
    let rows = checked.findings.iter().map(|finding| {
        let (action, can_be_done) = action(finding, refusal, tells);
        RepairRow {
            object: finding.object.clone(),
            problem: finding.finding.clone(),
            action,
            done: ran && can_be_done,
        }
    });
    rows.collect()
}

/// What is done about a finding, and whether it can be; `tells` if pointer and marker can be written.
fn action(finding: &Finding, refusal: Option<&Error>, tells: bool) -> (String, bool) {
    let fill = |first: Version, last: Version, does: String| match refusal {
        None => (does, true),
        Some(refusal) => {
            let which = words(&[(first, last)]);
            let first = format!(
                "The number of version {which} cannot be occupied before another problem is mended: \
                 {refusal}"
            );
            (first, false)
        }
    };
    match finding.remedy {
        Remedy::None => (finding.action.clone(), false),
        Remedy::Pointer | Remedy::Marker if !tells => {
            let first = "It cannot be written before the newest commit record is mended.";
            (first.to_owned(), false)
        }
        Remedy::Pointer => ("Write the pointer anew.".to_owned(), true),
        Remedy::Marker => ("Write the marker anew.".to_owned(), true),
        Remedy::Fence(version) => {
            let does = format!("Commit a version that says that version {version} is lost.");
            fill(version, version, does)
        }
        Remedy::Expired(version) => {
            let does = format!("Commit a version that says that version {version} has expired.");
            match refusal {
                None => (does, true),
                Some(refusal) => (
                    format!(
                        "What has expired cannot be told before another problem is mended: {refusal}"
                    ),
                    false,
                ),
            }
        }
        Remedy::Fill(first, last) => {
            let which = words(&[(first, last)]);
            let noun = match first == last {
                true => "the number",
                false => "the numbers",
            };
            let does = format!(
                "Occupy {noun} {which} with tombstones, and commit a version that says what is lost. If \
                 there is a copy of what is missing, restore that instead: afterwards nothing of it may \
                 be put back."
            );
            fill(first, last, does)
        }
    }
}
