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
            self.check_past(at_us, now)?;
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
        match Version::new(low)
            .and_then(Version::previous)
            .filter(|found| *found >= first)
        {
            Some(found) => self.version(found).await,
            None => Err(Error::new(
                ErrorKind::VersionNotFound,
                format!(
                    "'{}' did not exist at that time; its first version was committed at {}",
                    self.name(),
                    time_words(self.committed_at_us(first).await?)
                ),
            )),
        }
    }

    fn check_past(&self, at_us: i64, now_us: i64) -> Result<()> {
        if at_us <= now_us {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "as_of {} of '{}' is in the future (the clock says {}): its answer could still change; leave as_of out to read the newest version",
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
