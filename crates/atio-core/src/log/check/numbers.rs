//! Numbers of versions that have no record, or another one than they should have.

use super::finding::{Advice, Finding, MOST_LOST, Remedy};
use crate::error::Result;
use crate::format::{StoredRecord, Version, layout};
use crate::log::read::snapshot::words;
use crate::log::table::Table;

/// Numbers without a record.
#[derive(Clone, Copy)]
pub(super) struct Gap {
    pub(super) first: Version,
    pub(super) last: Version,
    /// Why they cannot be filled; None if they can.
    pub(super) stays: Option<Stays>,
}

/// Why numbers without a record cannot be filled.
#[derive(Clone, Copy)]
pub(super) enum Stays {
    /// What their neighbours say does not tell that no fence was among them.
    Fence,
    /// A record beside them is damaged, is of another table, or was not written by atio.
    Neighbour,
    /// There is no record below.
    Lowest,
    /// There are more than a repair fills.
    TooMany,
}

impl Stays {
    fn why(self) -> &'static str {
        match self {
            Self::Fence => "an expiry may be among what is lost: what it removed is not known",
            Self::Neighbour => "the records beside it do not tell what it was",
            Self::Lowest => "nothing tells how the table began",
            Self::TooMany => "too many are missing",
        }
    }
}

impl Gap {
    /// The numbers without a record between two that follow each other in the list of all; None if
    /// there are none. They can be filled if the records of both are whole and tell that no fence was
    /// among them, for what that revoked is lost, or if all of them are in `expired`, as the newest
    /// fence says.
    pub(super) fn between(
        (last, above): (Version, Option<&StoredRecord>),
        (version, below): (Version, Option<&StoredRecord>),
        expired: &[(Version, Version)],
    ) -> Option<Self> {
        let next = version.next().ok()?;
        let end = last.previous().filter(|end| next <= *end)?;
        let expired = expired
            .iter()
            .any(|(first, last)| *first <= next && end <= *last);
        let stays = |above: &StoredRecord, below: &StoredRecord| {
            let of_atio = !above.record.is_python() && !below.record.is_python();
            let lost = i64::try_from(end.get() - version.get()).unwrap_or(i64::MAX);
            let times = below.committed_at_us().zip(above.committed_at_us());
            let follow = times.is_some_and(|(below, above)| above.saturating_sub(below) > lost);
            if !of_atio || !follow || above.table() != below.table() {
                return Some(Stays::Neighbour);
            }
            let same_fence = above.last_expire() == below.last_expire();
            (!same_fence && !expired).then_some(Stays::Fence)
        };
        let stays = match above.zip(below) {
            Some((above, below)) => stays(above, below),
            None => Some(Stays::Neighbour),
        };
        Some(Self {
            first: next,
            last: end,
            stays,
        })
    }

    pub(super) fn holds(&self, version: Version) -> bool {
        (self.first..=self.last).contains(&version)
    }
}

/// The records of these numbers, as far as they are missing.
pub(super) async fn missing(table: &Table, gap: Gap) -> Result<Option<Finding>> {
    let Gap { first, last, stays } = gap;
    let count = last.get() - first.get() + 1;
    if count <= MOST_LOST {
        for version in first.through(last) {
            // Made while the records were listed.
            if table.objects.exists(&layout::record(version)).await? {
                return Ok(None);
            }
        }
    }
    let finding = match first == last {
        true => format!("the commit record of version {first} is missing"),
        false => format!("the commit records of versions {first} to {last} are missing"),
    };
    let too_many = (count > MOST_LOST).then_some(Stays::TooMany);
    let (it, it_is) = match first == last {
        true => ("it", "it is"),
        false => ("them", "they are"),
    };
    let finding = |action| Finding::error(layout::record(first), None, finding, action);
    Ok(Some(match stays.or(too_many) {
        None => finding(format!(
            "Restore {it} from a copy of the table. If there is none, a repair says that {it_is} lost, so \
             that the table can expire again."
        ))
        .with(Remedy::Fill(first, last)),
        Some(stays) => finding(format!(
            "Restore {it} from a copy of the table. A repair cannot go on without {it}, because {}.",
            stays.why()
        ))
        .advised(Advice::NewTable),
    }))
}

/// A tombstone of which no fence tells that can be read.
#[derive(Clone, Copy)]
pub(super) enum Unfenced {
    /// Of a lost version.
    Lost,
    /// Of one that expired, as the fence of this number said.
    Expired(Version),
    /// Of another table, or of one that was dropped, which this version did.
    Foreign(Version),
}

impl Unfenced {
    /// The version that made it, unless that told of it in another way.
    pub(super) fn by(self) -> Option<Version> {
        match self {
            Self::Lost => None,
            Self::Expired(by) | Self::Foreign(by) => Some(by),
        }
    }
}

pub(super) fn unfenced_tombstone(version: Version, what: Unfenced) -> Finding {
    let object = layout::record(version);
    match what {
        Unfenced::Lost => {
            let finding =
                format!("version {version} is lost, and the repair that found it has not ended");
            let action = "Run the repair again: it finishes the job.";
            Finding::error(object, None, finding, action).with(Remedy::Fence(version))
        }
        Unfenced::Expired(_) => Finding::error(
            object,
            None,
            unfenced(version),
            "The record of the expiry is lost. A repair says again what has expired: nothing else is lost by \
             that.",
        )
        .with(Remedy::Expired(version)),
        Unfenced::Foreign(_) => Finding::error(
            object,
            None,
            unfenced(version),
            "Restore all records from one copy of the table.",
        ),
    }
}

fn unfenced(version: Version) -> String {
    format!("version {version} is a tombstone, but no expiry says that it has expired")
}

/// A record under a number that the repair of version `by` gave up.
pub(super) fn put_back(version: Version, by: Version) -> Finding {
    let object = layout::record(version);
    let action = format!(
        "Move {object} away, and run a repair: the number stays taken. Do not expire before: that deletes the \
         files of version {version}. To read its rows, restore the whole copy in another place."
    );
    let finding = format!(
        "version {version} was given up by the repair that is version {by}, and its record was put back since: \
         no reader gets it"
    );
    Finding::error(object, None, finding, action)
}

/// Expired versions of which files are left.
pub(super) fn leftover(left: &[Version]) -> Option<Finding> {
    let last = left.first()?;
    let mut ranges: Vec<(Version, Version)> = Vec::new();
    for version in left.iter().rev() {
        match ranges.last_mut() {
            Some((_, end)) if end.next().ok() == Some(*version) => *end = *version,
            _ => ranges.push((*version, *version)),
        }
    }
    let (noun, verb) = match left {
        [_] => ("version", "has"),
        _ => ("versions", "have"),
    };
    Some(Finding::warning(
        layout::record(*last),
        None,
        format!(
            "{noun} {} {verb} expired, and files that only they need may still be there",
            words(&ranges)
        ),
        "An expiry is at work or was cut off. Expire again: that finishes the job.",
    ))
}
