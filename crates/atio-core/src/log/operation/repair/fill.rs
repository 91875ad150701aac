//! Occupying the numbers of records that are lost, and saying again what has expired.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::format::record::Previous;
use crate::format::{CommitRecord, Operation, StoredRecord, Tombstone, Version};
use crate::log::check::{Checked, Remedy};
use crate::log::commit::announce::announce;
use crate::log::commit::options::CommitOptions;
use crate::log::commit::outcome::{
    Made, Occupied, Outcome, check_not_dropped, create_record, occupy,
};
use crate::log::commit::record::{RecordedChange, check_features};
use crate::log::commit::transaction::Transaction;
use crate::log::read::snapshot::{Snapshot, words};
use crate::log::table::Table;

/// Numbers without a version.
#[derive(Default)]
struct Lost {
    /// Ranges without a record, in order.
    free: Vec<(Version, Version)>,
    /// Those that are occupied, and that no fence names.
    occupied: Vec<(Version, Version)>,
    /// Versions that expired, of which there are tombstones, and that no fence names: its record is lost.
    expired: Vec<(Version, Version)>,
}

/// What the version above says, in order.
struct Told {
    lost: Vec<(Version, Version)>,
    expired: Vec<(Version, Version)>,
}

impl Lost {
    fn of(checked: &Checked) -> Self {
        let mut lost = Self::default();
        for finding in &checked.findings {
            match finding.remedy {
                Remedy::Fill(first, last) => lost.free.push((first, last)),
                Remedy::Fence(version) => lost.occupied.push((version, version)),
                _ => {}
            }
        }
        lost.free.sort_unstable();
        let expired = checked.unfenced.iter();
        lost.expired = expired.map(|version| (*version, *version)).collect();
        lost
    }
}

/// True if there are numbers to occupy, or to tell of.
pub(super) fn is_needed(checked: &Checked) -> bool {
    let mut findings = checked.findings.iter();
    findings.any(|finding| {
        matches!(
            finding.remedy,
            Remedy::Fill(..) | Remedy::Fence(_) | Remedy::Expired(_)
        )
    })
}

/// Why numbers cannot be occupied, if some are to be; None if they can.
pub(super) async fn refusal(table: &Table, checked: &Checked) -> Result<Option<Error>> {
    if !is_needed(checked) {
        return Ok(None);
    }
    match base(table, checked).await {
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::Storage => Err(error),
        Err(error) => Ok(Some(error)),
    }
}

/// The newest version that is not lost.
async fn base(table: &Table, checked: &Checked) -> Result<Arc<Snapshot>> {
    let Some((top, Some(newest))) = &checked.newest else {
        return Err(Error::damaged("the newest commit record cannot be read"));
    };
    let mut record = newest.clone();
    let mut version = *top;
    while record.is_lost() {
        version = version.previous().ok_or_else(|| table.not_found())?;
        record = table.record(version).await?;
    }
    let base = table.load(record).await?;
    check_features(&base)?;
    Ok(base)
}

/// Occupies all numbers and commits the fence above; false if another writer came first.
pub(super) async fn fill(table: &Table, txn: &Transaction, checked: &Checked) -> Result<bool> {
    let base = base(table, checked).await?;
    let Lost {
        free,
        occupied,
        expired,
    } = Lost::of(checked);
    let top = checked
        .newest
        .as_ref()
        .map_or(base.version, |(top, _)| *top);
    let end = free.last().map_or(top, |(_, last)| top.max(*last));
    let by = end.next()?;
    txn.check_store().await?;
    // No number of a table that is made in its place meanwhile.
    check_not_dropped(table, txn, (base.version, base.record.checksum)).await?;
    for (first, last) in &free {
        if !occupy_range(table, txn, &base, (*first, *last), by).await? {
            return Ok(false);
        }
    }
    let below = table.record(end).await?;
    let told = Told {
        lost: merged(free.into_iter().chain(occupied).collect()),
        expired: merged(expired),
    };
    let record = fence_above(table, txn, &base, &below, told).await?;
    match create_record(table, txn, &record).await? {
        Outcome::Committed(Made { bytes, stamp }) => {
            announce(table, txn, &record).await;
            table.remember_made(by, &bytes, stamp).await;
            Ok(true)
        }
        Outcome::Conflict(..) => Ok(false),
    }
}

/// From the lowest up: whoever wants to commit on the version below the first finds it taken.
async fn occupy_range(
    table: &Table,
    txn: &Transaction,
    base: &Snapshot,
    (first, last): (Version, Version),
    by: Version,
) -> Result<bool> {
    let below = first.previous().ok_or_else(|| table.not_found())?;
    let below = table.record(below).await?;
    let mut at_us = below.committed_at_us().unwrap_or(base.committed_at_us);
    for version in first.through(last) {
        at_us = at_us.saturating_add(1);
        let tombstone = Tombstone::lost(version, by, base.table, at_us, below.last_expire());
        match occupy(table, txn, version, tombstone.to_bytes()?).await? {
            Occupied::Ours => {}
            // Another repair is at it, too.
            Occupied::Taken(record) if record.is_lost() => {}
            Occupied::Taken(_) => return Ok(false),
        }
    }
    Ok(true)
}

/// The record of the version that has the rows of `base` and says what is lost, and what has expired.
async fn fence_above(
    table: &Table,
    txn: &Transaction,
    base: &Arc<Snapshot>,
    below: &StoredRecord,
    Told { lost, expired }: Told,
) -> Result<CommitRecord> {
    let recorded = RecordedChange {
        options: CommitOptions {
            message: Some(message(&lost, &expired)),
            ..CommitOptions::default()
        },
        ..RecordedChange::same_state(Operation::Repair)
    };
    let mut record = table.record_of_same_state(txn, base, recorded, 0).await?;
    record.version_id = below.version().next()?;
    record.previous = Some(Previous {
        version: below.version(),
        txn: below.txn(),
        checksum: below.checksum,
    });
    if let Some(after) = below
        .committed_at_us()
        .and_then(|at_us| at_us.checked_add(1))
    {
        record.committed_at_us = record.committed_at_us.max(after);
    }
    record.last_expire = Some(record.version_id);
    let all = base.expired.iter().copied().chain(lost).chain(expired);
    record.expired = merged(all.collect());
    Ok(record)
}

fn message(lost: &[(Version, Version)], expired: &[(Version, Version)]) -> String {
    let noun = |ranges: &[(Version, Version)]| match ranges {
        [(first, last)] if first == last => "version",
        _ => "versions",
    };
    let of_lost = format!("the records of {} {} are lost", noun(lost), words(lost));
    let verb = match noun(expired) {
        "version" => "has",
        _ => "have",
    };
    let of_expired = format!("{} {} {verb} expired", noun(expired), words(expired));
    match (lost.is_empty(), expired.is_empty()) {
        (false, true) => of_lost,
        (true, _) => of_expired,
        (false, false) => format!("{of_lost}; {of_expired}"),
    }
}

/// The same numbers as ranges in order that do not touch.
fn merged(mut ranges: Vec<(Version, Version)>) -> Vec<(Version, Version)> {
    ranges.sort_unstable();
    let mut merged: Vec<(Version, Version)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if first.get() <= end.get() + 1 => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_are_one() {
        let version = |number| Version::new(number).unwrap();
        let ranges = |ranges: &[(u64, u64)]| -> Vec<_> {
            let ranges = ranges.iter().map(|(a, b)| (version(*a), version(*b)));
            ranges.collect()
        };
        let of = |some: &[(u64, u64)]| merged(ranges(some));
        assert_eq!(of(&[]), []);
        assert_eq!(of(&[(5, 7), (0, 2)]), ranges(&[(0, 2), (5, 7)]));
        assert_eq!(
            of(&[(3, 4), (0, 2), (4, 4), (6, 6)]),
            ranges(&[(0, 4), (6, 6)])
        );
        assert_eq!(of(&[(0, 9), (2, 3)]), ranges(&[(0, 9)]));
    }
}
