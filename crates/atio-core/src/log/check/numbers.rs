//! Numbers of versions that have no record, or another one than they should have.

use super::finding::{Finding, MOST_LOST, Remedy};
use crate::error::Result;
use crate::format::{Version, layout};
use crate::log::read::snapshot::words;
use crate::log::table::Table;

/// The records of these numbers, as far as they are missing.
pub(super) async fn missing(
    table: &Table,
    (first, last): (Version, Version),
    can_fill: bool,
) -> Result<Option<Finding>> {
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
    let can_fill = can_fill && count <= MOST_LOST;
    let (it, it_is) = match first == last {
        true => ("it", "it is"),
        false => ("them", "they are"),
    };
    let action = match can_fill {
        true => format!(
            "Restore {it} from a copy of the table. If there is none, a repair says that {it_is} lost, so \
             that the table can expire again."
        ),
        false => format!("Restore {it} from a copy of the table."),
    };
    let finding = Finding::error(layout::record(first), None, finding, action);
    Ok(Some(match can_fill {
        true => finding.with(Remedy::Fill(first, last)),
        false => finding,
    }))
}

/// A tombstone of which no fence tells that can be read; `by` made it, unless it is of a lost version.
pub(super) fn unfenced_tombstone(version: Version, by: Option<Version>) -> Finding {
    let object = layout::record(version);
    match by {
        None => {
            let finding =
                format!("version {version} is lost, and the repair that found it has not ended");
            let action = "Run the repair again: it finishes the job.";
            Finding::error(object, None, finding, action).with(Remedy::Fence(version))
        }
        Some(_) => Finding::error(
            object,
            None,
            format!("version {version} is a tombstone, but no expiry says that it has expired"),
            "Restore all records from one copy of the table.",
        ),
    }
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
