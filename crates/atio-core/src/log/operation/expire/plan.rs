//! The plan of an expiry: a value, and what a dry run prints.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};

use super::inventory::Inventory;
use super::options::Expiry;
use crate::format::layout::{self, Kind};
use crate::format::limits::REVOKED;
use crate::format::{Txn, Version};
use crate::log::read::snapshot::{in_ranges, words};
use crate::storage::Listed;

/// One file that goes, or one version that does not because of its tags.
///
/// ```
/// fn show(row: &atio_core::log::ExpiryRow) -> String {
///     format!("{} ({}): {}", row.path, row.kind, row.reason)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiryRow {
    /// Relative to the root of the table.
    pub path: String,
    /// What sort of object it is.
    pub kind: &'static str,
    /// None where nobody wrote the size down and the file is gone.
    pub bytes: Option<u64>,
    /// Why it goes, or stays.
    pub reason: String,
    /// False if it stays, or is still to go.
    pub deleted: bool,
}

/// What to fence and what to delete.
pub(super) struct ExpirePlan {
    /// All expired versions so far, those of this expiry included.
    pub(super) expired: Vec<(Version, Version)>,
    pub(super) revoked: Vec<Txn>,
    /// Versions whose records become tombstones.
    pub(super) bury: BTreeSet<Version>,
    doomed: BTreeMap<String, Doomed>,
    /// No version that can still be read has deletion vectors.
    pub(super) without_vectors: bool,
    /// Versions that would have expired without these tags.
    tagged: BTreeMap<Version, Vec<String>>,
    fence: bool,
}

struct Doomed {
    kind: Kind,
    bytes: Option<u64>,
    reason: String,
}

/// True for what manifests name, and for what is of one transaction alone.
fn holds_rows(kind: Kind) -> bool {
    matches!(kind, Kind::Data | Kind::Vector | Kind::Staging)
}

impl ExpirePlan {
    pub(super) fn new(inventory: &Inventory, listing: &[Listed], expiry: &Expiry) -> Self {
        let mut plan = Self {
            expired: inventory.base.expired.to_vec(),
            revoked: Vec::new(),
            bury: BTreeSet::new(),
            doomed: BTreeMap::new(),
            without_vectors: false,
            tagged: inventory.tagged.clone(),
            fence: false,
        };
        plan.add_expired(inventory);
        plan.add_orphans(inventory, listing, expiry);
        plan.without_vectors = !inventory.has_vectors(&plan.expired);
        plan
    }

    fn add_expired(&mut self, inventory: &Inventory) {
        let mut frees = false;
        for (path, need) in &inventory.needed {
            let Some(object) = layout::parse(path) else {
                continue;
            };
            let doomed = Doomed {
                kind: object.kind,
                bytes: need.bytes,
                reason: format!("last needed by version {}, which has expired", need.last),
            };
            self.doomed.insert(path.clone(), doomed);
            frees |= need.new;
        }
        // Versions that share everything with one that stays cost nothing: leave them.
        let new = |version: &Version| !in_ranges(&inventory.base.expired, *version);
        let buried = (inventory.expired.iter()).filter(|version| frees || !new(version));
        self.bury = buried.copied().collect();
        if frees {
            let gone = |version: Version| {
                version < inventory.first
                    || self.bury.contains(&version)
                    || in_ranges(&inventory.base.expired, version)
            };
            self.expired = crate::log::read::snapshot::without(inventory.base.version, |version| {
                !gone(version)
            });
            self.fence = true;
        }
    }

    /// Objects of our making that no version names and that no version will.
    fn add_orphans(&mut self, inventory: &Inventory, listing: &[Listed], expiry: &Expiry) {
        let mut abandoned: HashMap<Txn, (DateTime<Utc>, Vec<&Listed>)> = HashMap::new();
        for object in listing {
            let Some(Some(txn)) = layout::parse(&object.path).map(|object| object.txn) else {
                continue;
            };
            if inventory.live.contains(&object.path) || self.doomed.contains_key(&object.path) {
                continue;
            }
            if inventory.committed.contains(&txn) {
                let reason = "left over by a committed transaction; no version names it";
                self.doom(object, reason.to_owned());
                continue;
            }
            let (youngest, objects) = abandoned
                .entry(txn)
                .or_insert((object.modified, Vec::new()));
            *youngest = object.modified.max(*youngest);
            objects.push(object);
        }
        let mut abandoned: Vec<_> = abandoned.into_iter().collect();
        abandoned.sort_by_key(|(txn, _)| *txn);
        for (txn, (youngest, objects)) in abandoned {
            let idle_us = expiry.now_us.saturating_sub(youngest.timestamp_micros());
            if idle_us < expiry.orphan_age_us || self.revoked.len() == REVOKED.most {
                continue;
            }
            self.revoked.push(txn);
            self.fence = true;
            for object in objects {
                self.doom(
                    object,
                    format!("no version names it; its transaction {txn} never committed"),
                );
            }
        }
    }

    fn doom(&mut self, object: &Listed, reason: String) {
        let Some(parsed) = layout::parse(&object.path) else {
            return;
        };
        let doomed = Doomed {
            kind: parsed.kind,
            bytes: Some(object.size),
            reason,
        };
        self.doomed.insert(object.path.clone(), doomed);
    }

    /// True if files go that a reader or a writer could still count on.
    pub(super) fn needs_fence(&self) -> bool {
        self.fence
    }

    /// Files to delete before the tombstones are set: data first, then what names it.
    pub(super) fn before_tombstones(&self) -> [Vec<String>; 2] {
        let of = |wanted: fn(Kind) -> bool| {
            let doomed = self.doomed.iter().filter(|(_, doomed)| wanted(doomed.kind));
            doomed.map(|(path, _)| path.clone()).collect()
        };
        [
            of(holds_rows),
            of(|kind| !holds_rows(kind) && kind != Kind::Snapshot),
        ]
    }

    /// Snapshots go last: until then a crashed expiry finds the rest through them.
    pub(super) fn after_tombstones(&self) -> Vec<String> {
        let snapshots = self
            .doomed
            .iter()
            .filter(|(_, doomed)| doomed.kind == Kind::Snapshot);
        snapshots.map(|(path, _)| path.clone()).collect()
    }

    /// How many files there are to delete.
    pub(super) fn objects(&self) -> u64 {
        self.doomed.len() as u64
    }

    /// One row for each file, none deleted yet.
    pub(super) fn rows(&self) -> Vec<ExpiryRow> {
        let rows = self.doomed.iter().map(|(path, doomed)| ExpiryRow {
            path: path.clone(),
            kind: doomed.kind.word(),
            bytes: doomed.bytes,
            reason: doomed.reason.clone(),
            deleted: false,
        });
        rows.collect()
    }

    /// One row for each version that stays only because it is tagged.
    pub(super) fn kept(&self) -> impl Iterator<Item = ExpiryRow> {
        let rows = self.tagged.iter().map(|(version, tags)| {
            let tags: Vec<_> = (tags.iter())
                .map(|tag| format!("'{}'", tag.escape_debug()))
                .collect();
            ExpiryRow {
                path: layout::record(*version),
                kind: "tagged version",
                bytes: None,
                reason: format!("version {version} stays: it is tagged {}", tags.join(", ")),
                deleted: false,
            }
        });
        rows.collect::<Vec<_>>().into_iter()
    }

    /// What this expiry does, for the log.
    pub(super) fn words(&self) -> String {
        format!(
            "versions {} have expired; {} transactions revoked; {} files to delete",
            words(&self.expired),
            self.revoked.len(),
            self.doomed.len()
        )
    }
}
