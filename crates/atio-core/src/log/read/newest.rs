//! Loading the newest version, and remembering it.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::{ErrorKind, Result};
use crate::format::{Record, StoredRecord, Version, layout};
use crate::lock::lock;
use crate::log::known::Known;
use crate::log::read::locate::{self, Found};
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;
use crate::storage::Stamp;

/// How often a newest version that cannot be loaded because it is not the newest any more is
/// looked for again.
const NEWEST_ATTEMPTS: u32 = 100;

/// What the newest version is looked for.
#[derive(Clone, Copy)]
enum Look {
    /// It is what a statement runs on.
    Runs,
    /// It is looked for again before the statement runs.
    Plans,
}

impl Table {
    /// Loads the newest version.
    ///
    /// Costs two requests, at once, where nothing changed since the last call. Fails if there is no
    /// table, or if the newest version is damaged: older ones are then readable by number,
    /// never instead of it.
    pub async fn newest(&self) -> Result<Arc<Snapshot>> {
        match self.look_for_newest(Look::Runs).await {
            // The table may have been dropped between two looks: what was found is gone.
            Err(error) if error.kind() == ErrorKind::Damaged => {
                self.look_for_newest(Look::Runs).await
            }
            found => found,
        }
    }

    /// The same for who plans a statement and calls [`newest`](Self::newest) again before it runs:
    /// one request less, on a store, as nobody takes records away there by DROP.
    pub async fn newest_for_planning(&self) -> Result<Arc<Snapshot>> {
        match self.look_for_newest(Look::Plans).await {
            Err(error) if error.kind() == ErrorKind::Damaged => self.newest().await,
            found => found,
        }
    }

    async fn look_for_newest(&self, look: Look) -> Result<Arc<Snapshot>> {
        let known = lock(&self.newest).clone();
        if let Some(known) = known {
            let version = known.snapshot.version;
            let next = locate::read(&self.objects, version.next()?);
            let unchanged = async {
                match look {
                    Look::Plans if self.objects.disk().is_none() => Ok(true),
                    _ => self.is_unchanged(&known).await,
                }
            };
            let (unchanged, next) = futures::try_join!(unchanged, next)?;
            match (unchanged, next) {
                (true, None) => return Ok(known.snapshot),
                (true, Some(next)) => {
                    let newest = locate::forward(&self.objects, next).await?;
                    return self.load_still_newest(newest, Some(&known.snapshot)).await;
                }
                (false, _) => {}
            }
        }
        let newest = locate::newest(&self.objects)
            .await
            .map_err(|error| self.explain(error))?;
        match newest {
            Some(newest) => self.load_still_newest(newest, None).await,
            None => Err(self.not_found()),
        }
    }

    /// Loads the newest version, of which `found` is known to exist.
    pub(in crate::log) async fn newest_from(&self, found: Found) -> Result<Arc<Snapshot>> {
        let known = lock(&self.newest).clone().map(|known| known.snapshot);
        let loaded = async {
            let newest = locate::forward(&self.objects, found).await?;
            self.load_still_newest(newest, known.as_deref()).await
        };
        match loaded.await {
            // As in `newest`.
            Err(error) if error.kind() == ErrorKind::Damaged => self.newest().await,
            found => found,
        }
    }

    /// True if the record of `known` is still what it was.
    async fn is_unchanged(&self, known: &Known) -> Result<bool> {
        let record = layout::record(known.snapshot.version);
        let stamp = self.objects.stamp(&record).await?;
        Ok(stamp.is_some_and(|stamp| stamp.is_same(&known.stamp)))
    }

    /// Loads `newest`, or what has become the newest since it was found: it may have expired.
    ///
    /// `known` is a version below it.
    async fn load_still_newest(
        &self,
        newest: Found,
        known: Option<&Snapshot>,
    ) -> Result<Arc<Snapshot>> {
        let mut newest = newest;
        for _ in 1..NEWEST_ATTEMPTS {
            let next = newest.version.next()?;
            let error = match self.load_newest(newest, known).await {
                Ok(loaded) => return Ok(loaded),
                Err(error) => error,
            };
            newest = match locate::read(&self.objects, next).await? {
                Some(next) => locate::forward(&self.objects, next).await?,
                None => return Err(error),
            };
        }
        self.load_newest(newest, known).await
    }

    async fn load_newest(&self, found: Found, known: Option<&Snapshot>) -> Result<Arc<Snapshot>> {
        let (record, stamp, below) = found.parse().map_err(|error| self.explain(error))?;
        match (known, record.version().previous()) {
            (Some(known), Some(previous)) if known.version == previous => known
                .record
                .check_next(&record)
                .map_err(|error| self.explain(error))?,
            _ => self.check_below(&record, below)?,
        }
        let snapshot = self.load(record).await?;
        self.remember(Arc::clone(&snapshot), stamp);
        Ok(snapshot)
    }

    /// Fails if `record` was not written on the one below it, which has these bytes: then either
    /// is not of this table. One that cannot be read is no reason not to read this one.
    pub(in crate::log) fn check_below(
        &self,
        record: &StoredRecord,
        below: Option<Bytes>,
    ) -> Result<()> {
        let below = record.version().previous().zip(below);
        let below = below.and_then(|(below, bytes)| Record::parse(below, &bytes).ok());
        match below {
            Some(below) => below
                .check_next(record)
                .map_err(|error| self.explain(error)),
            None => Ok(()),
        }
    }

    fn remember(&self, snapshot: Arc<Snapshot>, stamp: Stamp) {
        let mut known = lock(&self.newest);
        let replaced = known.as_ref().is_none_or(|known| {
            known.snapshot.table != snapshot.table || known.snapshot.version <= snapshot.version
        });
        if replaced {
            *known = Some(Known { snapshot, stamp });
        }
    }

    /// Keeps the version that this process has just made, so that the next look knows it.
    ///
    /// `bytes` are those of its record, and `stamp` what a store answered.
    pub(in crate::log) async fn remember_made(
        &self,
        version: Version,
        bytes: &Bytes,
        stamp: Option<Stamp>,
    ) {
        let stamp = match (stamp, self.objects.disk()) {
            (Some(stamp), _) => Some(stamp),
            (None, None) => None,
            // The table may have been dropped already, and made again.
            (None, Some(_)) => match locate::read(&self.objects, version).await {
                Ok(Some(found)) => found
                    .content
                    .ok()
                    .filter(|(found, _)| found == bytes)
                    .map(|(_, stamp)| stamp),
                _ => None,
            },
        };
        let record = Record::parse(version, bytes);
        if let (Some(stamp), Ok(record)) = (stamp, record)
            && let Ok(snapshot) = self.load(record).await
        {
            self.remember(snapshot, stamp);
        }
    }
}
