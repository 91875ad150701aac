//! The version that was the newest at a time.

use std::sync::Arc;

use chrono::Utc;

use crate::error::{Error, ErrorKind, Result};
use crate::format::{Record, Version};
use crate::log::python;
use crate::log::read::snapshot::Snapshot;
use crate::log::read::time::time_words;
use crate::log::table::Table;

impl Table {
    /// Loads the version that was the newest at `at_us` microseconds since 1970.
    ///
    /// Fails for a time in the future, of which that is not known yet.
    pub async fn as_of(&self, at_us: i64) -> Result<Arc<Snapshot>> {
        // Before the newest version is looked for: one that is committed after that has a later
        // time than any that is allowed. `now()` in the statement is earlier still.
        let now = Utc::now().timestamp_micros();
        let newest = self.newest().await?;
        if at_us > newest.committed_at_us {
            let instead = "leave as_of out to read the newest version";
            self.check_past(("as_of", instead), at_us, now)?;
        }
        match self.as_of_below(&newest, at_us).await {
            Err(error) => Err(self.or_gone(&newest, error).await),
            Ok(found) => self.check_same(&newest, found),
        }
    }

    async fn as_of_below(&self, newest: &Arc<Snapshot>, at_us: i64) -> Result<Arc<Snapshot>> {
        if at_us >= newest.committed_at_us {
            return Ok(Arc::clone(newest));
        }
        match self.newest_at(newest, at_us).await? {
            Some(found) => self.version(found).await,
            None => Err(Error::new(
                ErrorKind::VersionNotFound,
                format!(
                    "'{}' did not exist at that time; its first version was committed at {}",
                    self.name(),
                    time_words(self.committed_at_us(self.first_version().await?).await?)
                ),
            )),
        }
    }

    /// The number of the version up to `newest` that was the newest at `at_us`; None if none was
    /// committed by then. It may have expired.
    pub(in crate::log) async fn newest_at(
        &self,
        newest: &Snapshot,
        at_us: i64,
    ) -> Result<Option<Version>> {
        if at_us >= newest.committed_at_us {
            return Ok(Some(newest.version));
        }
        let first = self.first_version().await?;
        let (mut low, mut high) = (first.get(), newest.version.get());
        // The answer is the largest version that is not younger; `low - 1` may be it.
        while low < high {
            let middle = low + (high - low) / 2;
            let version = Version::new(middle).unwrap_or(newest.version);
            match self.committed_at_us(version).await? <= at_us {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let found = Version::new(low).and_then(Version::previous);
        Ok(found.filter(|found| *found >= first))
    }

    /// Fails if the time `what` is in the future; says what to do `instead`.
    pub(in crate::log) fn check_past(
        &self,
        (what, instead): (&str, &str),
        at_us: i64,
        now_us: i64,
    ) -> Result<()> {
        if at_us <= now_us {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "{what} {} of '{}' is in the future (the clock says {}): its answer could still change; {instead}",
            time_words(at_us),
            self.name(),
            time_words(now_us)
        )))
    }

    /// The commit time of `version`: from its record, or from Python's snapshot (C11).
    pub(in crate::log) async fn committed_at_us(&self, version: Version) -> Result<i64> {
        match self.record(version).await?.record {
            Record::Live(record) => Ok(record.committed_at_us),
            Record::Tombstone(tombstone) => Ok(tombstone.committed_at_us),
            Record::Python(_) => python::times(self, version)
                .await?
                .remove(&version)
                .ok_or_else(|| {
                    self.explain(Error::damaged(format!(
                        "the commit time of version {version} cannot be read"
                    )))
                }),
        }
    }
}
