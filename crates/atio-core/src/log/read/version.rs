//! A version by its number, or why it cannot be read.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::format::{Record, StoredRecord, Version, layout};
use crate::lock::lock;
use crate::log::read::locate;
use crate::log::read::snapshot::{Snapshot, complement, in_ranges, words};
use crate::log::table::Table;

/// Up to so many versions nobody counts the records.
const COUNTED_VERSIONS: u64 = 100_000;

impl Table {
    /// Loads `version`, or says why it cannot be read: it never existed, or has expired.
    pub async fn version(&self, version: Version) -> Result<Arc<Snapshot>> {
        match self.newest().await {
            Ok(newest) if newest.version == version => Ok(newest),
            Ok(newest) if newest.version < version => {
                Err(self.never_existed(version, newest.version))
            }
            Ok(newest) => match self.older(version, newest.version, &newest.expired).await {
                Err(error) => Err(self.or_expired(version, &newest, error).await),
                found => found,
            },
            Err(error) if error.kind() == ErrorKind::TableNotFound => Err(error),
            // The newest is damaged: what is intact stays readable by number.
            Err(error) => {
                let Some((above, expired)) = self.nearest_fence(version).await? else {
                    return Err(error);
                };
                self.older(version, above, &expired).await
            }
        }
    }

    /// What a reader of `version` found missing may have expired while it read (A5), or may
    /// have gone with the table. `seen` is a version of the table that it read.
    pub(in crate::log) async fn or_expired(
        &self,
        version: Version,
        seen: &Snapshot,
        error: Error,
    ) -> Error {
        let error = self.or_gone(seen, error).await;
        if error.kind() != ErrorKind::Damaged {
            return error;
        }
        match self.newest().await {
            Ok(newest) if newest.has_expired(version) => {
                self.has_expired(version, newest.version, &newest.expired)
            }
            _ => error,
        }
    }

    /// Reads the record of `version`; its absence is damage.
    pub(in crate::log) async fn record(&self, version: Version) -> Result<StoredRecord> {
        let path = layout::record(version);
        match self.objects.get(&path).await? {
            Some(bytes) => Record::parse(version, &bytes),
            None => Err(self.missing(version)),
        }
        .map_err(|error| self.explain(error))
    }

    fn missing(&self, version: Version) -> Error {
        Error::damaged(format!(
            "{} is missing: version {version} has not expired, so the table is damaged",
            layout::record(version)
        ))
    }

    /// 0, or for a table that Python made the first of those that its own expiry left: there
    /// may be gaps below (C14).
    pub(in crate::log) async fn first_version(&self) -> Result<Version> {
        let seen = self.last_seen().map(|seen| seen.table);
        let seen = seen.filter(|table| !table.is_nil());
        if seen.is_some() && *lock(&self.begins_at_zero) == seen {
            return Ok(Version::ZERO);
        }
        if self.objects.exists(&layout::record(Version::ZERO)).await? {
            *lock(&self.begins_at_zero) = seen;
            return Ok(Version::ZERO);
        }
        let first = locate::start_of_run(&self.objects).await?;
        let first = first.ok_or_else(|| self.not_found())?;
        // Only Python leaves gaps: below a record of atio's every number is taken.
        match self.record(first).await?.record.is_python() {
            true => Ok(first),
            false => Err(self.explain(Error::damaged(format!(
                "the commit records below version {first} are missing: restore them from a copy"
            )))),
        }
    }

    /// How many versions can be read where `newest` is the newest: those that have not expired.
    pub async fn readable_versions(&self, newest: &Snapshot) -> Result<u64> {
        let first = self.first_version().await?;
        let readable = complement(&newest.expired, first, newest.version);
        let counts = readable
            .iter()
            .map(|(first, last)| last.get() - first.get() + 1);
        Ok(counts.sum())
    }

    /// Every version up to `newest`; fails if a number is so large that most are missing.
    pub(in crate::log) async fn versions(
        &self,
        newest: Version,
    ) -> Result<impl Iterator<Item = Version> + use<>> {
        let first = self.first_version().await?;
        let count = newest.get().saturating_sub(first.get());
        if count > COUNTED_VERSIONS {
            let listed = locate::listed(&self.objects).await?.len() as u64;
            if listed < count {
                return Err(self.explain(Error::damaged(format!(
                    "the newest commit record says that it is version {newest}, but there are only {listed} records"
                ))));
            }
        }
        Ok(first.through(newest))
    }

    /// Loads a version below `newest`, at which `expired` has expired.
    pub(in crate::log) async fn older(
        &self,
        version: Version,
        newest: Version,
        expired: &[(Version, Version)],
    ) -> Result<Arc<Snapshot>> {
        let found = locate::read_with_below(&self.objects, version).await?;
        // Where Python began there may be no version 0, and gaps that its own expiry left.
        if found.is_none() && !self.objects.exists(&layout::record(Version::ZERO)).await? {
            return Err(self.never_existed(version, newest));
        }
        if in_ranges(expired, version) {
            return Err(self.has_expired(version, newest, expired));
        }
        let Some(found) = found else {
            return Err(self.explain(self.missing(version)));
        };
        let (record, _, below) = found.parse().map_err(|error| self.explain(error))?;
        self.check_below(&record, below)?;
        self.load(record).await
    }

    /// Where the newest version cannot be loaded: the newest record from `version` up that
    /// can, and what it says has expired.
    async fn nearest_fence(
        &self,
        version: Version,
    ) -> Result<Option<(Version, Arc<[(Version, Version)]>)>> {
        let mut versions = locate::listed(&self.objects).await?;
        versions.retain(|found| *found >= version);
        versions.sort_unstable();
        for found in versions.into_iter().rev() {
            let Ok(record) = self.record(found).await else {
                continue;
            };
            match self.expired_at(&record).await {
                Ok(expired) => return Ok(Some((found, expired))),
                Err(error) if error.kind() == ErrorKind::Storage => return Err(error),
                // The fence that it goes by is lost: one below may go by another.
                Err(_) => {}
            }
        }
        Ok(None)
    }

    pub(in crate::log) fn never_existed(&self, version: Version, newest: Version) -> Error {
        Error::new(
            ErrorKind::VersionNotFound,
            format!(
                "'{}' has no version {version}; its newest version is {newest}",
                self.name()
            ),
        )
    }

    /// The error for a version that readers asked for too late.
    pub fn has_expired(
        &self,
        version: Version,
        newest: Version,
        expired: &[(Version, Version)],
    ) -> Error {
        let readable = complement(expired, Version::ZERO, newest);
        let (noun, verb) = match readable.as_slice() {
            [(first, last)] if first == last => ("version", "is"),
            _ => ("versions", "are"),
        };
        Error::new(
            ErrorKind::VersionExpired,
            format!(
                "version {version} of '{}' has expired; readable {noun} {verb} {}",
                self.name(),
                words(&readable)
            ),
        )
    }
}
