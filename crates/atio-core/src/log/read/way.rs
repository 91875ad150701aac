//! The way from one version to a later one, if it can be read.

use std::sync::Arc;

use chrono::Utc;
use futures::StreamExt;

use crate::error::{Error, ErrorKind, Result};
use crate::format::{Operation, Record, Version};
use crate::log::read::snapshot::{Snapshot, complement, in_ranges, words};
use crate::log::table::Table;

/// Of so many versions that cannot be read an error tells which were lost, and it asks for so many at the
/// same time.
const LOOKED_AT: usize = 100;
const AT_ONCE: usize = 32;

/// Where changes begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangesAfter {
    /// Before the first version: all that the table has ever had came since.
    Nothing,
    /// After this version.
    Version(Version),
    /// After the version that was the newest at this time, in microseconds since 1970.
    Time(i64),
}

/// The way from one version of a table to a later one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The version that it begins with; None where it begins before the first one.
    pub after: Option<Version>,
    /// The versions on it, the oldest first, without that one.
    pub versions: Vec<Version>,
    /// True if all of them can be read, as far as this is known.
    pub is_readable: bool,
}

impl Table {
    /// The versions on the way from `after` to `to`.
    ///
    /// Fails with [`VersionExpired`](ErrorKind::VersionExpired) if one of them has expired that must be
    /// read: with `net` these are `after` and `to`, otherwise all between them, too. Fails with
    /// [`VersionNotFound`](ErrorKind::VersionNotFound) if `after` never existed; with
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is above `to`, or a time in the future.
    pub async fn way(&self, after: ChangesAfter, to: &Snapshot, net: bool) -> Result<Way> {
        let after = match after {
            ChangesAfter::Nothing => None,
            ChangesAfter::Version(version) => {
                self.check_order(version, to)?;
                Some(version)
            }
            ChangesAfter::Time(at_us) => {
                if at_us > to.committed_at_us {
                    let since = ("since", "give a time that has passed");
                    self.check_past(since, at_us, Utc::now().timestamp_micros())?;
                }
                self.newest_at(to, at_us).await?
            }
        };
        let seen = self.last_seen();
        let seen = seen.filter(|seen| seen.table == to.table && seen.version > to.version);
        let expired = seen.map_or(Arc::clone(&to.expired), |seen| Arc::clone(&seen.expired));
        let first = match after {
            Some(version) => version,
            None => self.beginning(to, &expired).await?,
        };
        let last = match net {
            true => first,
            false => to.version,
        };
        // The difference from nothing is what `to` has.
        if after.is_some() || !net {
            self.check_readable(after, (first, last), to, &expired)
                .await?;
        }
        let versions = match after {
            Some(_) => first.through(to.version).skip(1).collect(),
            None => first.through(to.version).collect(),
        };
        let is_readable = gaps(&expired, first, to.version).is_empty();
        Ok(Way {
            after,
            versions,
            is_readable,
        })
    }

    /// Fails if there is no way from the version `from` to `to`, because it is above it.
    pub fn check_order(&self, from: Version, to: &Snapshot) -> Result<()> {
        if from <= to.version {
            return Ok(());
        }
        let newest = self.last_seen().map(|seen| seen.version);
        let newest = newest.unwrap_or(to.version).max(to.version);
        if from > newest {
            return Err(self.never_existed(from, newest));
        }
        Err(Error::invalid(format!(
            "changes of '{}' from version {from} to {}: the first must not be above the second",
            self.name(),
            to.version
        )))
    }

    /// The version with which the table began that `to` is of; the very first one if that is not
    /// known.
    async fn beginning(&self, to: &Snapshot, expired: &[(Version, Version)]) -> Result<Version> {
        let first = self.first_version().await?;
        let readable = complement(expired, first, to.version);
        let Some((readable, _)) = readable.first().copied() else {
            return Ok(first);
        };
        if readable == first {
            return Ok(first);
        }
        // It was dropped before, and created again.
        let record = match readable == to.version {
            true => to.record.clone(),
            false => self.record(readable).await?,
        };
        Ok(match record.operation() {
            Operation::Create => readable,
            _ => first,
        })
    }

    /// Fails if one of the versions from `first` to `last` has expired.
    async fn check_readable(
        &self,
        after: Option<Version>,
        (first, last): (Version, Version),
        to: &Snapshot,
        expired: &[(Version, Version)],
    ) -> Result<()> {
        let gaps = gaps(expired, first, last);
        let Some((_, end)) = gaps.last() else {
            return Ok(());
        };
        let from = after.map_or_else(String::new, |after| format!("from version {after} "));
        let readable = match last == to.version {
            true => format!("those from version {} on can be read", end.next()?),
            // With net => true
            false => {
                let expired = self::gaps(expired, Version::ZERO, to.version);
                let readable = complement(&expired, Version::ZERO, to.version);
                format!("a version that can be read is one of {}", words(&readable))
            }
        };
        let net = match after {
            Some(after) if !in_ranges(expired, after) => {
                "; net => true gives the difference of both versions"
            }
            _ => "",
        };
        Err(Error::new(
            ErrorKind::VersionExpired,
            format!(
                "{}, so the changes {from}to version {} are not known; {readable}{net}",
                self.what_became_of(&gaps).await,
                to.version,
            ),
        ))
    }

    /// Says of these versions whether they have expired, or were lost.
    async fn what_became_of(&self, gaps: &[(Version, Version)]) -> String {
        let versions = gaps.iter().flat_map(|(start, end)| start.through(*end));
        let records = versions.take(LOOKED_AT).map(|version| async move {
            let record = self.record(version).await.ok()?;
            let is_lost = matches!(&record.record, Record::Tombstone(of) if of.is_lost());
            is_lost.then_some((version, version))
        });
        let records: Vec<_> = records.map(Box::pin).collect();
        let records = futures::stream::iter(records).buffered(AT_ONCE);
        let found: Vec<_> = records.filter_map(std::future::ready).collect().await;
        let (mut expired, mut lost) = (Vec::new(), Vec::new());
        for (start, end) in gaps {
            let rest = complement(&self::gaps(&found, *start, *end), *start, *end);
            lost.extend(complement(&rest, *start, *end));
            expired.extend(rest);
        }
        let name = self.name();
        match (expired.as_slice(), lost.as_slice()) {
            (expired, []) => {
                let (versions, verb) = numbered(expired, ["has", "have"]);
                format!("{versions} of '{name}' {verb} expired")
            }
            ([], lost) => {
                let (versions, verb) = numbered(lost, ["is", "are"]);
                format!("{versions} of '{name}' {verb} lost")
            }
            (expired, lost) => {
                let (expired, have) = numbered(expired, ["has", "have"]);
                let (lost, are) = numbered(lost, ["is", "are"]);
                format!("{expired} of '{name}' {have} expired and {lost} {are} lost")
            }
        }
    }
}

/// Versions as people name them, and which of two verbs is theirs: that of one, or that of many.
fn numbered<'a>(ranges: &[(Version, Version)], verbs: [&'a str; 2]) -> (String, &'a str) {
    let (noun, verb) = match ranges {
        [(start, end)] if start == end => ("version", verbs[0]),
        _ => ("versions", verbs[1]),
    };
    (format!("{noun} {}", words(ranges)), verb)
}

/// Those of `ranges` that are between two versions.
fn gaps(ranges: &[(Version, Version)], first: Version, last: Version) -> Vec<(Version, Version)> {
    let gaps = ranges.iter().filter_map(|(start, end)| {
        let (start, end) = (*start.max(&first), *end.min(&last));
        (start <= end).then_some((start, end))
    });
    gaps.collect()
}
