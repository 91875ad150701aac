//! Which rows came and which went in all, from one version to another.

use crate::error::Result;
use crate::format::{Operation, Record, Version};
use crate::log::read::changes::VersionChanges;
use crate::log::read::difference::Difference;
use crate::log::read::snapshot::Snapshot;
use crate::log::read::undone::{Undone, without_compactions};
use crate::log::read::way::Way;
use crate::log::table::Table;

/// So many versions are read at the same time.
const AT_ONCE: usize = 32;
/// To look for compactions takes a request for each version on the way, and spares a comparison of rows:
/// it is done on a way of so many versions, and of one more for so many rows that went.
const VERSIONS_LOOKED_AT: u64 = 100;
const ROWS_OF_A_VERSION: u64 = 1000;
/// However many rows went.
const MOST_VERSIONS: u64 = 10_000;

impl Table {
    /// What has changed in all on the way: as if `to` were the version above the one that it begins with.
    ///
    /// Where all versions on the way can be read, files that a compaction made are taken for those that
    /// it replaced: rows that it only moved are in no file that came or went.
    pub async fn net_changes(&self, way: &Way, to: &Snapshot) -> Result<Option<VersionChanges>> {
        match self.net_changes_on(way, to).await {
            Err(error) => {
                let error = self.or_expired(to.version, to, error).await;
                Err(match way.after {
                    Some(after) => self.or_expired(after, to, error).await,
                    None => error,
                })
            }
            changes => changes,
        }
    }

    async fn net_changes_on(&self, way: &Way, to: &Snapshot) -> Result<Option<VersionChanges>> {
        let below = match way.after {
            Some(version) => Some(self.on_the_way(version, to).await?),
            None => None,
        };
        let difference = self.between(below.as_deref(), to).await?;
        if let Some(below) = &below {
            self.check_columns((to.version, &difference.went), below, to)
                .await?;
        }
        let of = (to.version, to.committed_at_us);
        if let Some(undone) = self.undone(way, to, &difference).await {
            let Undone {
                difference,
                listed_by,
            } = undone;
            match self.resolved(of, difference).await {
                Ok(changes) => {
                    return Ok(changes.map(|changes| VersionChanges {
                        listed_by,
                        ..changes
                    }));
                }
                // Of a version on the way, which may have expired meanwhile, and need not be read.
                Err(error) => ::log::debug!(
                    "'{}': compactions up to version {} are not left out: {error}",
                    self.name(),
                    to.version
                ),
            }
        }
        self.resolved(of, difference).await
    }

    /// The same difference without what compactions on the way moved; None if none did, or it is not
    /// known, or not worth a look.
    async fn undone(&self, way: &Way, to: &Snapshot, difference: &Difference) -> Option<Undone> {
        if !way.is_readable || to.python.is_some() || difference.came.is_empty() {
            return None;
        }
        let went = difference.went.iter().flat_map(|manifest| &manifest.files);
        let went: u64 = went.filter_map(|file| file.live_rows().ok()).sum();
        let most = (VERSIONS_LOOKED_AT + went / ROWS_OF_A_VERSION).min(MOST_VERSIONS);
        if went == 0 || way.versions.len() as u64 > most {
            return None;
        }
        match self.compactions(way, to).await {
            Ok(compactions) => without_compactions(difference, &compactions),
            Err(error) => {
                ::log::debug!(
                    "'{}': compactions up to version {} are not known: {error}",
                    self.name(),
                    to.version
                );
                None
            }
        }
    }

    /// The compactions on the way, the last one first.
    async fn compactions(&self, way: &Way, to: &Snapshot) -> Result<Vec<(Version, Difference)>> {
        let mut compactions = Vec::new();
        for versions in way.versions.rchunks(AT_ONCE) {
            let versions = versions.iter().rev();
            let read = versions.map(|version| Box::pin(self.compacted(*version, to)));
            let read = futures::future::try_join_all(read).await?;
            compactions.extend(read.into_iter().flatten());
        }
        Ok(compactions)
    }

    /// The files that `version` replaced, if it is a compaction of a table with the columns of `to`.
    async fn compacted(
        &self,
        version: Version,
        to: &Snapshot,
    ) -> Result<Option<(Version, Difference)>> {
        let record = match version == to.version {
            true => to.record.clone(),
            false => self.record(version).await?,
        };
        let live = match &record.record {
            Record::Live(live) if live.table == to.table => live,
            _ => return Ok(None),
        };
        if live.operation != Operation::Compact {
            return Ok(None);
        }
        let named = self.named(live).await?;
        let has_columns = |named: &Difference| {
            let mut came = named.came.iter();
            came.all(|manifest| manifest.schema == to.schema.id)
        };
        Ok(named.filter(has_columns).map(|named| (version, named)))
    }
}
