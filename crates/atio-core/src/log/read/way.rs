//! The way from one version to a later one, if it can be read.

use std::sync::Arc;

use chrono::Utc;

use crate::error::{Error, ErrorKind, Result};
use crate::format::{Operation, Version};
use crate::log::read::snapshot::{Snapshot, complement, in_ranges, words};
use crate::log::table::Table;

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
            self.check_readable(after, (first, last), to, &expired)?;
        }
        let versions = match after {
            Some(_) => first.through(to.version).skip(1).collect(),
            None => first.through(to.version).collect(),
        };
        Ok(Way { after, versions })
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
    fn check_readable(
        &self,
        after: Option<Version>,
        (first, last): (Version, Version),
        to: &Snapshot,
        expired: &[(Version, Version)],
    ) -> Result<()> {
        let gaps = expired.iter().filter_map(|(start, end)| {
            let (start, end) = (*start.max(&first), *end.min(&last));
            (start <= end).then_some((start, end))
        });
        let gaps: Vec<_> = gaps.collect();
        let Some((_, end)) = gaps.last() else {
            return Ok(());
        };
        let (noun, verb) = match gaps.as_slice() {
            [(start, end)] if start == end => ("version", "has"),
            _ => ("versions", "have"),
        };
        let from = after.map_or_else(String::new, |after| format!("from version {after} "));
        let net = match after {
            Some(after) if !in_ranges(expired, after) => {
                "; net => true gives the difference of both versions"
            }
            _ => "",
        };
        Err(Error::new(
            ErrorKind::VersionExpired,
            format!(
                "{noun} {} of '{}' {verb} expired, so the changes {from}to version {} are not known; those from version {} on can be read{net}",
                words(&gaps),
                self.name(),
                to.version,
                end.next()?
            ),
        ))
    }
}
