//! What lies under a table, read without atio: which names each version holds on to.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};

use datafusion::object_store::ObjectStore;
use datafusion::object_store::ObjectStoreExt;
use futures::TryStreamExt;
use serde_json::Value;

use super::invariants::Verdict;

/// The commit records of a table and the objects around them.
pub(super) struct Log {
    records: BTreeMap<u64, Value>,
    /// By their names relative to the root of the table.
    objects: BTreeMap<String, Vec<u8>>,
}

impl Log {
    /// Reads the table whose keys begin with `root`.
    pub(super) async fn read(store: &dyn ObjectStore, root: &str) -> Verdict<Self> {
        let mut objects = BTreeMap::new();
        let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
        for meta in listed {
            let Some(name) = meta.location.as_ref().strip_prefix(&format!("{root}/")) else {
                continue;
            };
            let bytes = store.get(&meta.location).await.unwrap().bytes().await;
            objects.insert(name.to_owned(), bytes.unwrap().to_vec());
        }
        let mut records = BTreeMap::new();
        for (name, bytes) in &objects {
            if let Some(version) = version_of(name) {
                let record = serde_json::from_slice(bytes)
                    .map_err(|error| format!("{name} is no record: {error}"))?;
                records.insert(version, record);
            }
        }
        Ok(Self { records, objects })
    }

    pub(super) fn newest(&self) -> Option<u64> {
        self.records.keys().next_back().copied()
    }

    /// Everything that can be said without a session: the numbers are contiguous, the times
    /// grow, and what a version names that has not expired is there in full length.
    pub(super) fn check(&self) -> Verdict<()> {
        let numbers: Vec<_> = self.records.keys().copied().collect();
        let wanted: Vec<_> = (0..numbers.len() as u64).collect();
        if numbers != wanted {
            return Err(format!("the versions are {numbers:?}"));
        }
        let times: Vec<_> = self.records.values().map(time).collect();
        if !times.is_sorted_by(|a, b| a < b) {
            return Err(format!("the commit times are {times:?}"));
        }
        let readable = self.readable();
        for version in &readable {
            self.names(*version)?;
        }
        let tags = self.tags()?;
        match tags.values().find(|version| !readable.contains(version)) {
            Some(version) => Err(format!("version {version} is tagged and cannot be read")),
            None => Ok(()),
        }
    }

    /// The tags of the newest version, and the versions that they are on.
    pub(super) fn tags(&self) -> Verdict<BTreeMap<String, u64>> {
        let Some(newest) = self.newest() else {
            return Ok(BTreeMap::new());
        };
        let Some(path) = self.records[&newest]["refs"]["path"].as_str() else {
            return Ok(BTreeMap::new());
        };
        let refs = self.json(newest, path)?;
        let tags = refs["tags"].as_object().unwrap().iter();
        Ok(tags
            .map(|(name, tag)| (name.clone(), tag["version"].as_u64().unwrap()))
            .collect())
    }

    /// The versions that have a state and have not expired.
    pub(super) fn readable(&self) -> Vec<u64> {
        let Some(newest) = self.newest() else {
            return Vec::new();
        };
        let fence = self.records[&newest]["last_expire"].as_u64();
        let expired = fence.map(|fence| &self.records[&fence]["expired"]);
        let has_expired = |version: u64| {
            let ranges = expired.and_then(Value::as_array).into_iter().flatten();
            ranges
                .map(|range| (range[0].as_u64().unwrap(), range[1].as_u64().unwrap()))
                .any(|(first, last)| (first..=last).contains(&version))
        };
        let live = |version: &u64| self.records[version]["snapshot"].is_object();
        let versions = self.records.keys().copied();
        versions
            .filter(live)
            .filter(|version| !has_expired(*version))
            .collect()
    }

    /// The versions that have expired, of a table that was never dropped.
    pub(super) fn unreadable(&self) -> Vec<u64> {
        if self
            .records
            .values()
            .any(|record| record["operation"] == "drop")
        {
            return Vec::new();
        }
        let readable = self.readable();
        let versions = self.records.keys().copied();
        versions
            .filter(|version| !readable.contains(version))
            .collect()
    }

    /// What nothing holds on to: neither a version nor a reader of the directory.
    pub(super) fn leftovers(&self) -> Verdict<Vec<String>> {
        let mut held = BTreeSet::new();
        for version in self.readable() {
            held.extend(self.names(version)?);
        }
        let hints = ["_current_version.json", "_SUCCESS"];
        let hint = |name: &str| hints.contains(&name) || name.starts_with("_atio_tmp/store/");
        let left = self
            .objects
            .keys()
            .filter(|name| !held.contains(*name) && version_of(name).is_none() && !hint(name));
        Ok(left.cloned().collect())
    }

    /// Versions that are unreadable and not yet tombstones.
    pub(super) fn unburied(&self) -> Vec<u64> {
        let readable = self.readable();
        let records = self.records.iter();
        let live = records.filter(|(version, record)| {
            !readable.contains(version) && record.get("tombstone").is_none()
        });
        live.map(|(version, _)| *version).collect()
    }

    /// All names that `version` needs; fails if one is missing or of another size.
    fn names(&self, version: u64) -> Verdict<BTreeSet<String>> {
        let record = &self.records[&version];
        let mut named = vec![object(&record["snapshot"])];
        named.extend(record["refs"].as_object().map(|_| object(&record["refs"])));
        let changes = &record["changes"];
        let added = changes["added"].as_array().into_iter().flatten();
        named.extend(added.map(object));
        named.extend(
            changes["removed"]
                .as_object()
                .map(|_| object(&changes["removed"])),
        );

        let mut vectors = Vec::new();
        let (path, _) = object(&record["snapshot"]);
        let state = self.json(version, &path)?;
        named.push(object(&state["schema"]));
        let manifests = state["manifests"].as_array().unwrap();
        let infos = state["manifest_info"].as_array().unwrap();
        for (manifest, info) in manifests.iter().zip(infos) {
            let path = manifest.as_str().unwrap().to_owned();
            let files = self.json(version, &path)?;
            named.push((path, info["size"].as_u64().unwrap()));
            let files = files["files"].as_array().unwrap();
            named.extend(files.iter().map(object));
            vectors.extend(files.iter().filter_map(|file| vector(&file["dv"])));
        }
        for (path, end) in &vectors {
            let found = self.objects.get(path).map(|bytes| bytes.len() as u64);
            if found.is_none_or(|found| found < *end) {
                return Err(format!(
                    "version {version} names {path} up to byte {end}; found: {found:?}"
                ));
            }
        }
        for (path, size) in &named {
            let found = self.objects.get(path).map(|bytes| bytes.len() as u64);
            if found != Some(*size) {
                return Err(format!(
                    "version {version} names {path} with {size} bytes; found: {found:?}"
                ));
            }
        }
        let names = named.into_iter().chain(vectors);
        Ok(names.map(|(path, _)| path).collect())
    }

    fn json(&self, version: u64, path: &str) -> Verdict<Value> {
        let bytes = self
            .objects
            .get(path)
            .ok_or(format!("version {version} names {path}, which is missing"))?;
        serde_json::from_slice(bytes).map_err(|error| format!("{path}: {error}"))
    }
}

fn version_of(name: &str) -> Option<u64> {
    let number = name.strip_prefix("metadata/v")?;
    number.strip_suffix(".metadata.json")?.parse().ok()
}

fn time(record: &Value) -> i64 {
    record["committed_at_us"].as_i64().unwrap()
}

/// Where the deletion vector of a file is, and where in that object it ends.
fn vector(dv: &Value) -> Option<(String, u64)> {
    let (path, size) = dv.is_object().then(|| object(dv))?;
    Some((path, dv["offset"].as_u64().unwrap_or(0) + size))
}

fn object(named: &Value) -> (String, u64) {
    let path = named["path"].as_str().unwrap().to_owned();
    (path, named["size"].as_u64().unwrap())
}
