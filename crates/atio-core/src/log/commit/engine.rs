//! The loop by which every statement makes its version.
//!
//! 1. The statement plans on a base: it stages what its record is to name, and gives the record.
//! 2. The record is created, and its [outcome](super::outcome) found out.
//! 3. Another version has the number: what was passed decides, by [`conflict`], whether what is
//!    staged stands, the statement is planned anew, or it fails. Then again from 1, on the winner.
//!
//! [`conflict`]: crate::format::conflict::conflict

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::announce::announce;
use super::does_select::DoesSelect;
use super::outcome::{Made, Outcome, create_record};
use super::rebase::{Below, Passed, Pending};
use super::transaction::Transaction;
use crate::error::{Error, ErrorKind, Result};
use crate::format::conflict::Verdict;
use crate::format::intent::Intent;
use crate::format::{CommitRecord, Txn, Version, layout};
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;

/// A statement that keeps losing races gives up so long after the first, and not before so many
/// attempts: one alone may take longer.
const RETRY_FOR: Duration = Duration::from_secs(120);
pub(in crate::log) const FEWEST_ATTEMPTS: u32 = 10;
/// Of one that is asked about each attempt, which may take as long as the checks like.
pub(in crate::log) const FEWEST_ASKED: u32 = 2;
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// A pause is at most as long as so many creations of a record.
const PAUSED_CREATIONS: u32 = 8;

/// A statement that makes a version.
pub(in crate::log) trait Statement: Send {
    /// What it counts on and what it changes.
    fn intent(&self) -> Intent;

    /// A version with this key did its work.
    fn key(&self) -> Option<&str> {
        None
    }

    /// Tells whether it would have selected rows that others added, where statistics do not.
    fn does_select(&self) -> Option<&DoesSelect> {
        None
    }

    /// True if it waits for the others of this process, instead of racing them.
    fn queues(&self) -> bool {
        true
    }

    /// Stages what the next version names, and gives its record; None if there is nothing to
    /// change.
    fn plan(&mut self, on: On<'_>) -> impl Future<Output = Result<Option<Planned>>> + Send;

    /// Fails if the version that `record` is about to make must not be. Then the statement ends: what
    /// it asks says nothing of the plan.
    fn ask(
        &mut self,
        _: On<'_>,
        _record: &CommitRecord,
    ) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Ok(()))
    }

    /// It does not give up before it has lost so often.
    fn fewest_attempts(&self) -> u32 {
        FEWEST_ATTEMPTS
    }

    /// The error where other versions came first again and again.
    fn gave_up(&self, table: &Table, attempts: u32) -> Error {
        table.gave_up(attempts)
    }
}

/// What an attempt is planned on.
#[derive(Clone, Copy)]
pub(in crate::log) struct On<'a> {
    pub(in crate::log) table: &'a Table,
    pub(in crate::log) txn: &'a Transaction,
    base: Option<&'a Arc<Snapshot>>,
    /// From 0.
    pub(in crate::log) attempt: u32,
    /// What earlier attempts staged does not stand on this base.
    pub(in crate::log) anew: bool,
}

impl<'a> On<'a> {
    /// The version below; fails if there is no table.
    pub(in crate::log) fn base(&self) -> Result<&'a Arc<Snapshot>> {
        self.base.ok_or_else(|| self.table.not_found())
    }
}

/// An attempt to make a version.
pub(in crate::log) struct Planned {
    pub(in crate::log) record: CommitRecord,
    /// What was staged for this attempt alone, of no use if it is lost.
    own: Vec<String>,
    /// What was staged and is of no use if it is not.
    spare: Vec<String>,
}

impl Planned {
    /// An attempt of which nothing that `txn` staged is used again.
    pub(in crate::log) fn alone(record: CommitRecord, txn: Txn) -> Self {
        Self {
            own: staged_names(&record, txn),
            spare: Vec::new(),
            record,
        }
    }

    /// An attempt of which its snapshot and `own` are its own; of what was staged for all
    /// attempts it leaves out `spare`.
    pub(in crate::log) fn sharing(
        record: CommitRecord,
        mut own: Vec<String>,
        spare: Vec<String>,
    ) -> Self {
        let snapshot = record.snapshot.iter();
        own.extend(snapshot.map(|object| object.path.clone()));
        Self { own, spare, record }
    }
}

/// How a statement ended that did not fail.
pub(in crate::log) enum Ended {
    /// This is its version, which others see.
    Committed(Box<CommitRecord>),
    /// This version did its work; the snapshot is of that or a newer one.
    Repeats(Version, Arc<Snapshot>),
    /// There was nothing to change.
    Unchanged,
}

/// Makes the version of `statement`, which is about to be planned on `base`; None where there is
/// no table.
///
/// The endings are those of [`create_record`].
pub(in crate::log) async fn commit(
    table: &Table,
    txn: &Transaction,
    base: Option<Arc<Snapshot>>,
    statement: &mut impl Statement,
) -> Result<Ended> {
    let _turn = match statement.queues() {
        true => Some(table.queue.lock().await),
        false => None,
    };
    let intent = statement.intent();
    let mut tries = Tries::new(statement.fewest_attempts());
    let (mut base, mut anew) = (base, false);
    let mut lost = Vec::new();
    // The base may have been passed while the data was written: look before trying.
    let mut newest = table.last_seen().filter(|seen| {
        base.as_ref()
            .is_some_and(|base| seen.table == base.table && seen.version > base.version)
    });
    loop {
        if let (Some(newest), Some(below)) = (newest.take(), &base) {
            let pending = Pending {
                txn: txn.id(),
                key: statement.key(),
                intent: &intent,
                does_select: statement.does_select(),
            };
            match table.passed(&pending, &Below::of(below), &newest).await? {
                Passed::Repeats(version) => return Ok(Ended::Repeats(version, newest)),
                Passed::On(verdict) => anew = verdict == Verdict::Replan,
            }
            base = Some(newest);
        }
        let on = On {
            table,
            txn,
            base: base.as_ref(),
            attempt: tries.attempt,
            anew,
        };
        let planned = match statement.plan(on).await {
            Ok(planned) => planned,
            Err(error) if intent.replans && may_be_stale(&error, &intent) && tries.goes_on() => {
                newest = newer_than(table, base.as_deref()).await;
                if newest.is_none() {
                    return Err(error);
                }
                tries.pause(Duration::ZERO).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        let Some(planned) = planned else {
            return Ok(Ended::Unchanged);
        };
        if let Err(error) = statement.ask(on, &planned.record).await {
            txn.discard(&planned.own).await;
            return Err(error);
        }
        let began = Instant::now();
        match create_record(table, txn, &planned.record).await? {
            Outcome::Committed(Made { bytes, stamp }) => {
                lost.extend(planned.spare);
                futures::join!(
                    announce(table, txn, &planned.record),
                    txn.discard(&lost),
                    table.remember_made(planned.record.version_id, &bytes, stamp),
                );
                return Ok(Ended::Committed(Box::new(planned.record)));
            }
            Outcome::Conflict(winner, by) => {
                ::log::debug!(
                    "'{}': version {} went to another writer ({by:?})",
                    table.name(),
                    planned.record.version_id,
                );
                if base.is_none() {
                    return Err(table.exists());
                }
                if !tries.goes_on() {
                    return Err(statement.gave_up(table, tries.attempt));
                }
                lost.extend(planned.own);
                txn.count_retry();
                let took = began.elapsed();
                tries.pause(took).await;
                newest = Some(table.newest_from(*winner).await?);
            }
        }
    }
}

/// True if a plan may have failed because what it read went with a newer version: for one that marks
/// rows that may be the vectors of its base, which expired.
fn may_be_stale(error: &Error, intent: &Intent) -> bool {
    match error.kind() {
        ErrorKind::Damaged | ErrorKind::Storage => true,
        ErrorKind::VersionExpired => !intent.change.marks.is_empty(),
        _ => false,
    }
}

/// The newest version if it is above `base`.
async fn newer_than(table: &Table, base: Option<&Snapshot>) -> Option<Arc<Snapshot>> {
    let newest = table.newest().await.ok()?;
    (newest.version > base?.version).then_some(newest)
}

/// How often a statement has tried, and since when.
struct Tries {
    attempt: u32,
    fewest: u32,
    /// When the first attempt was lost.
    lost: Option<Instant>,
}

impl Tries {
    fn new(fewest: u32) -> Self {
        Self {
            attempt: 0,
            fewest,
            lost: None,
        }
    }

    fn goes_on(&mut self) -> bool {
        let lost = *self.lost.get_or_insert_with(Instant::now);
        self.attempt < self.fewest || lost.elapsed() < RETRY_FOR
    }

    /// Waits at random for as long as the creation of some records takes, of which one `took` so
    /// long. What was planned before does not count: who plans for long loses to those who do not.
    async fn pause(&mut self, took: Duration) {
        self.attempt += 1;
        pause(self.attempt, took).await;
    }
}

/// Waits at random before a statement that lost so many `attempts` tries again, longer each time:
/// for as long as some take, of which one `took` so long, and half a second at most.
pub async fn pause(attempts: u32, took: Duration) {
    let most = (took * attempts.min(PAUSED_CREATIONS)).min(LONGEST_PAUSE);
    let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
    let most = u64::try_from(most.as_micros())
        .unwrap_or(u64::MAX)
        .max(1000);
    tokio::time::sleep(Duration::from_micros(1 + random % most)).await;
}

/// What `txn` staged of that which `record` names.
fn staged_names(record: &CommitRecord, txn: Txn) -> Vec<String> {
    let changes = &record.changes;
    let named = (record.snapshot.iter())
        .chain(&record.refs)
        .chain(&changes.added)
        .chain(&changes.removed);
    let ours = |path: &&String| layout::parse(path).is_some_and(|object| object.txn == Some(txn));
    named
        .map(|object| &object.path)
        .filter(ours)
        .cloned()
        .collect()
}

impl Table {
    /// Runs a commit to its end, whoever stops waiting for it. Only a gate may give up then.
    pub(in crate::log) async fn to_its_end<T: Send + 'static>(
        &self,
        id: Txn,
        commit: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        use tracing::Instrument;

        let name = self.name();
        match tokio::spawn(commit.in_current_span()).await {
            Ok(committed) => committed,
            Err(error) => Err(Error::new(
                ErrorKind::CommitUnknown,
                format!("the commit to '{name}' was cut off; look for transaction {id} in atio_history to see whether it happened"),
            )
            .with_source(error)),
        }
    }

    /// Why a statement on `base` failed, where that is not what `error` says: an expiry took its
    /// transaction for abandoned, or the table is gone.
    pub(in crate::log) async fn why_it_failed(
        &self,
        txn: &Transaction,
        base: &Snapshot,
        error: Error,
    ) -> Error {
        let perhaps = matches!(error.kind(), ErrorKind::Storage | ErrorKind::Conflict);
        match perhaps {
            true => txn.stopped(self, base).await.unwrap_or(error),
            false => error,
        }
    }
}
