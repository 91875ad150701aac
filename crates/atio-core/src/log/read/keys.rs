//! Idempotency keys: what was committed under a key is not committed again (C7).

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};

use crate::error::{Error, Result};
use crate::format::{Operation, StoredRecord, Version};
use crate::lock::lock;
use crate::log::read::history::PARALLEL;
use crate::log::read::seen_keys::SeenKeys;
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;

/// So many records are searched; below them a key is forgotten.
pub(in crate::log) const SEARCHED: u64 = 1000;

impl Table {
    /// The version that was committed with `key`, among the last 1,000 up to `base`.
    ///
    /// A record that cannot be read may be the one, so it is an error.
    pub async fn committed_with(&self, base: &Snapshot, key: &str) -> Result<Option<Version>> {
        if base.python.is_some() {
            return Ok(None);
        }
        match self.search_keys(base, key).await {
            Err(error) => Err(self.or_dropped(base, error).await),
            found => found,
        }
    }

    async fn search_keys(&self, base: &Snapshot, key: &str) -> Result<Option<Version>> {
        let first = self.first_version().await?;
        let from = Version::new(base.version.get().saturating_sub(SEARCHED - 1));
        let from = from.unwrap_or(first).max(first);
        let unseen: Vec<_> = {
            let mut seen = lock(&self.keys);
            if seen.table != base.table {
                *seen = SeenKeys {
                    table: base.table,
                    keys: BTreeMap::new(),
                };
            }
            seen.keys.retain(|version, _| *version >= from);
            from.through(base.version)
                .filter(|version| !seen.keys.contains_key(version))
                .collect()
        };
        let read = futures::stream::iter(unseen).map(|version| async move {
            let record = self.record(version).await?;
            // A table that was dropped here had keys of its own.
            let ours = record.table() == Some(base.table);
            Ok::<_, Error>((version, record.key().filter(|_| ours).map(str::to_owned)))
        });
        let read: Vec<_> = read
            .buffer_unordered(PARALLEL)
            .try_collect()
            .await
            .map_err(|error: Error| {
                error.context(format!(
                    "it cannot be told whether the idempotency key '{}' was used before",
                    key.escape_debug()
                ))
            })?;
        let mut seen = lock(&self.keys);
        if seen.table == base.table {
            seen.keys.extend(read.iter().cloned());
        }
        let mut known = seen.keys.range(from..=base.version);
        let cached = known.find(|(_, found)| found.as_deref() == Some(key));
        let fresh = || {
            read.iter()
                .find(|(_, found)| found.as_deref() == Some(key))
                .map(|(version, _)| *version)
        };
        Ok(cached.map(|(version, _)| *version).or_else(fresh))
    }

    /// The record of `version`, which was committed with `key`, once it is durable: whoever hears
    /// that it is done counts on it, and its writer may not have come so far (A7).
    ///
    /// Fails if it is not of an `operation`: a statement of another kind was never done under
    /// this key, and to do nothing would lose it.
    pub async fn repeats(
        &self,
        version: Version,
        key: Option<&str>,
        operation: &Operation,
    ) -> Result<StoredRecord> {
        let record = self.record(version).await?;
        if record.operation() == *operation {
            self.sync_found(version).await?;
            return Ok(record);
        }
        let word = operation.word();
        let article = match word.starts_with(['a', 'e', 'i', 'o', 'u']) {
            true => "an",
            false => "a",
        };
        let done = format!("and this is {article} {word}: give it a key of its own");
        Err(self.of_other_work(&record, key, &done))
    }

    /// Makes `version` durable, which another may have committed, before it is acknowledged (A7).
    pub(in crate::log) async fn sync_found(&self, version: Version) -> Result<()> {
        let synced = self.objects.sync_records().await;
        synced.map_err(|error| {
            error.context(format!(
                "version {version} of '{}' is committed, but",
                self.name()
            ))
        })
    }

    /// The error of a key that was used for something else.
    pub(in crate::log) fn of_other_work(
        &self,
        record: &StoredRecord,
        key: Option<&str>,
        why: &str,
    ) -> Error {
        Error::invalid(format!(
            "idempotency key '{}' is that of version {} ({}) of '{}', {why}",
            key.unwrap_or_default().escape_debug(),
            record.version(),
            record.operation().word(),
            self.name()
        ))
    }

    /// Tells that nothing was done, because it was done before.
    pub fn say_repeated(&self, key: Option<&str>, version: Version) {
        ::log::info!(
            "'{}': nothing to do: version {version} was committed with the idempotency key '{}'",
            self.name(),
            key.unwrap_or_default().escape_debug()
        );
    }
}
