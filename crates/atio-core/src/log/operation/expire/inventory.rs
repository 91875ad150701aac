//! What every version names, read before anything is decided.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};

use super::options::Expiry;
use crate::error::{Error, ErrorKind, Result};
use crate::format::StoredRecord;
use crate::format::change::Change;
use crate::format::python_snapshot::PythonSnapshot;
use crate::format::snapshot::SnapshotFile;
use crate::format::{FileEntry, Manifest, Operation, Record, Txn, Version, layout};
use crate::log::python;
use crate::log::read::history::PARALLEL;
use crate::log::read::snapshot::{Snapshot, in_ranges};
use crate::log::table::Table;
use crate::storage::Listed;

/// The versions of a table and the objects that they name.
pub(super) struct Inventory {
    pub(super) base: Arc<Snapshot>,
    pub(super) first: Version,
    /// Records that could be read; one that stays is always here.
    pub(super) records: BTreeMap<Version, StoredRecord>,
    pub(super) times: HashMap<Version, i64>,
    /// Versions that stay readable.
    pub(super) retained: BTreeSet<Version>,
    /// Those of them that stay only because of these tags.
    pub(super) tagged: BTreeMap<Version, Vec<String>>,
    /// What they need.
    pub(super) live: HashSet<String>,
    /// The manifests among it, whose files are, too.
    manifests: HashSet<String>,
    /// Versions that have expired or expire now and have no tombstone.
    pub(super) expired: BTreeSet<Version>,
    /// What they named and no version that stays needs.
    pub(super) needed: BTreeMap<String, Need>,
    /// Every transaction that made a version.
    pub(super) committed: HashSet<Txn>,
}

/// What an object was needed for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need {
    /// The last of the versions that needed it.
    pub(super) last: Version,
    /// One of them expires only now.
    pub(super) new: bool,
    /// Its size; None where nobody wrote it down and the object is gone.
    pub(super) bytes: Option<u64>,
}

impl Table {
    /// All objects under names that a transaction can have staged.
    pub(in crate::log) async fn list_staged(&self) -> Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for folder in [layout::DATA, layout::METADATA, layout::STAGING] {
            listed.extend(self.objects.list(folder).await?);
        }
        Ok(listed)
    }
}

/// Reads all versions up to `base`, decides which stay, and collects what each names.
pub(super) async fn take(
    table: &Table,
    base: &Arc<Snapshot>,
    expiry: &Expiry,
) -> Result<Inventory> {
    let first = table.first_version().await?;
    let mut inventory = Inventory {
        base: Arc::clone(base),
        first,
        records: BTreeMap::new(),
        times: HashMap::new(),
        retained: BTreeSet::new(),
        tagged: BTreeMap::new(),
        live: HashSet::new(),
        manifests: HashSet::new(),
        expired: BTreeSet::new(),
        needed: BTreeMap::new(),
        committed: HashSet::new(),
    };
    let versions = table.versions(base.version).await?;
    let python = python::python_times(table, base.version).await?;
    inventory.read_records(table, versions, &python).await?;
    let mut tagged: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (name, tag) in table.refs(base).await?.tags {
        tagged.entry(tag.version).or_default().push(name);
    }
    inventory.decide(expiry, tagged);
    let retained = inventory.retained.iter().copied().collect();
    inventory.collect_live(table, retained).await?;
    inventory.collect_expired(table).await?;
    Ok(inventory)
}

/// The tags of a version, as far as it matters whether two versions have the same.
fn refs(version: &Snapshot) -> Option<&str> {
    match &version.record.record {
        Record::Live(live) => live.refs.as_ref().map(|object| object.path.as_str()),
        _ => None,
    }
}

impl Inventory {
    /// True if it can [`advance`](Self::advance) to `base`: no other expiry has come since, and no
    /// tag, and the table is the same.
    pub(super) fn leads_to(&self, base: &Snapshot) -> bool {
        let old = &self.base;
        let same_fence = old.record.last_expire() == base.record.last_expire();
        let same_table = old.table == base.table && old.python.is_none() && base.python.is_none();
        same_fence && same_table && refs(old) == refs(base) && old.version < base.version
    }

    /// The same on a version above, for which only those on the way are read: an expiry that reads
    /// everything anew never wins against busy writers. All of these versions stay, and what
    /// stayed before.
    pub(super) async fn advance(mut self, table: &Table, base: &Arc<Snapshot>) -> Result<Self> {
        let first = self.base.version.next()?;
        self.base = Arc::clone(base);
        let versions: Vec<_> = first.through(base.version).collect();
        self.read_records(table, versions.clone(), &BTreeMap::new())
            .await?;
        self.retained.extend(&versions);
        self.collect_live(table, versions).await?;
        self.needed.retain(|path, _| !self.live.contains(path));
        Ok(self)
    }

    /// True if a version has deletion vectors that is in none of the ranges `expired`.
    pub(super) fn has_vectors(&self, expired: &[(Version, Version)]) -> bool {
        let mut records = self.records.iter();
        records.any(|(version, record)| !in_ranges(expired, *version) && has_vectors(record))
    }

    async fn read_records(
        &mut self,
        table: &Table,
        versions: impl IntoIterator<Item = Version>,
        python: &BTreeMap<Version, i64>,
    ) -> Result<()> {
        let base = Arc::clone(&self.base);
        let read = futures::stream::iter(versions).map(|version| {
            let base = &base;
            async move {
                let record = match version == base.version {
                    true => Ok(base.record.clone()),
                    false => table.record(version).await,
                };
                let record = match record {
                    Ok(record) => record,
                    // Of a version that has expired already, what is left does no harm.
                    Err(_) if base.has_expired(version) => return Ok(None),
                    Err(error) => return Err(refuse(version, error)),
                };
                if record.is_tombstone() && !base.has_expired(version) {
                    // A fence above the base buried it: the base is not the newest any more.
                    return Err(refuse(version, Error::damaged("it has expired meanwhile")));
                }
                let time = match &record.record {
                    Record::Live(live) => live.committed_at_us,
                    Record::Tombstone(tombstone) => tombstone.committed_at_us,
                    Record::Python(_) => match python.get(&version) {
                        Some(time) => *time,
                        None => {
                            let lost = Error::damaged("its snapshot is lost, and with it its time");
                            return Err(refuse(version, lost));
                        }
                    },
                };
                Ok(Some((record, time)))
            }
        });
        let read: Vec<_> = read.buffered(PARALLEL).try_collect().await?;
        for (record, time) in read.into_iter().flatten() {
            self.committed.extend(record.txn());
            self.times.insert(record.version(), time);
            self.records.insert(record.version(), record);
        }
        Ok(())
    }

    /// Decides which versions stay: the newest, the youngest, the last ones, the tagged.
    fn decide(&mut self, expiry: &Expiry, tagged: BTreeMap<Version, Vec<String>>) {
        let newest = self.base.version;
        let readable: Vec<_> = self
            .first
            .through(newest)
            .filter(|version| !self.base.has_expired(*version))
            .collect();
        // Of the versions with the same rows the last one counts.
        let mut has_same_rows = false;
        let changed = |version: &&Version| {
            let operation = self.records.get(version).map(StoredRecord::operation);
            let Some(operation) = operation.filter(Operation::changes_state) else {
                return false;
            };
            let same_rows = Change::of(&operation).same_rows;
            !std::mem::replace(&mut has_same_rows, same_rows)
        };
        let wanted = usize::try_from(expiry.retain_last.max(1)).unwrap_or(usize::MAX);
        let last = readable
            .iter()
            .rev()
            .filter(changed)
            .take(wanted)
            .last()
            .copied();
        let limit = expiry.now_us.saturating_sub(expiry.keep_for_us);
        let young = |version: Version| {
            let superseded = version.next().ok().and_then(|next| self.times.get(&next));
            superseded.is_none_or(|at| *at > limit)
        };
        let stays = |version: &Version| {
            *version == newest || young(*version) || last.is_some_and(|last| *version >= last)
        };
        let (stay, rest): (BTreeSet<_>, BTreeSet<_>) = readable.into_iter().partition(stays);
        let kept = tagged.into_iter();
        self.tagged = kept.filter(|(version, _)| rest.contains(version)).collect();
        self.retained = stay;
        self.retained.extend(self.tagged.keys());
    }

    /// Adds what these versions need.
    async fn collect_live(&mut self, table: &Table, retained: Vec<Version>) -> Result<()> {
        let (mut live, mut manifests) = (
            std::mem::take(&mut self.live),
            std::mem::take(&mut self.manifests),
        );
        let records = &self.records;
        let mut states = futures::stream::iter(retained)
            .map(|version| async move {
                let Some(record) = records.get(&version) else {
                    return Ok(None);
                };
                let loaded = table.load(record.clone()).await;
                let snapshot = loaded.map_err(|error| refuse(version, error))?;
                Ok::<_, Error>(Some((record, snapshot)))
            })
            .buffered(PARALLEL);
        while let Some(state) = states.try_next().await? {
            let Some((record, snapshot)) = state else {
                continue;
            };
            let version = record.version();
            live.extend(named_by_record(record).map(|(path, _)| path));
            live.insert(snapshot.state.schema.object.path.clone());
            let mut unseen = Vec::new();
            for manifest in &snapshot.state.manifests {
                // Apart from what is live: a record names manifests, too, without their files.
                if manifests.insert(manifest.object.path.clone()) {
                    unseen.push(manifest.clone());
                }
            }
            let loaded = table.load_manifests(&unseen).await;
            let mut loaded = loaded.map_err(|error| refuse(version, error))?;
            loaded.extend(snapshot.python.iter().flatten().cloned());
            for manifest in loaded {
                live.extend(manifest.files.iter().map(|file| file.path.clone()));
                let vectors = manifest.files.iter().filter_map(|file| file.dv.as_ref());
                live.extend(vectors.map(|vector| vector.path.clone()));
            }
            if let Record::Python(python) = &record.record {
                live.insert(python.snapshot.clone());
                let bytes = table.objects.get_named(&python.snapshot).await;
                let bytes = bytes.map_err(|error| refuse(version, error))?;
                live.extend(PythonSnapshot::parse(&python.snapshot, &bytes)?.manifests);
            }
        }
        drop(states);
        live.extend(manifests.iter().cloned());
        self.live = live;
        self.manifests = manifests;
        Ok(())
    }

    /// What versions name that do not stay and whose tombstone is not yet set. What is
    /// missing was deleted by an expiry that crashed; what is damaged names nothing.
    async fn collect_expired(&mut self, table: &Table) -> Result<()> {
        let records = &self.records;
        let gone = records
            .iter()
            .filter(|(version, record)| !self.retained.contains(version) && !record.is_tombstone());
        let gone: BTreeSet<_> = gone.map(|(version, _)| *version).collect();
        let mut named = BTreeMap::new();
        let mut states = futures::stream::iter(gone.clone())
            .map(|version| async move {
                match records.get(&version) {
                    Some(record) => Ok(Some((record, state_of(table, record).await?))),
                    None => Ok::<_, Error>(None),
                }
            })
            .buffered(PARALLEL);
        while let Some(state) = states.try_next().await? {
            let Some((record, state)) = state else {
                continue;
            };
            for (path, bytes) in named_by_record(record).chain(state) {
                let need = Need {
                    last: record.version(),
                    new: !self.base.has_expired(record.version()),
                    bytes,
                };
                self.add_need(&mut named, path, need);
            }
        }
        drop(states);
        let manifests = named.iter().filter(|(path, _)| {
            layout::parse(path).is_some_and(|object| object.kind == layout::Kind::Manifest)
        });
        let manifests: Vec<_> = manifests
            .map(|(path, need)| (path.clone(), *need))
            .collect();
        let mut files = futures::stream::iter(manifests)
            .map(
                |(path, need)| async move { Ok::<_, Error>((need, files_of(table, &path).await?)) },
            )
            .buffered(PARALLEL);
        while let Some((need, files)) = files.try_next().await? {
            for file in files {
                if let Some(vector) = file.dv {
                    // The object has at least those that are named.
                    let bytes = named.get(&vector.path).and_then(|need| need.bytes);
                    let need = Need {
                        bytes: bytes.max(Some(vector.range().end)),
                        ..need
                    };
                    self.add_need(&mut named, vector.path, need);
                }
                let need = Need {
                    bytes: file.size,
                    ..need
                };
                self.add_need(&mut named, file.path, need);
            }
        }
        drop(files);
        // Python wrote no sizes down.
        for (path, need) in &mut named {
            let python = layout::parse(path).is_some_and(|object| object.txn.is_none());
            if python && need.bytes.is_none() {
                need.bytes = table.objects.size(path).await?;
            }
        }
        self.expired = gone;
        self.needed = named;
        Ok(())
    }

    /// Notes down that an expired version needed the object at `path`, unless it stays.
    fn add_need(&self, named: &mut BTreeMap<String, Need>, path: String, need: Need) {
        if self.live.contains(&path) {
            return;
        }
        let known = named.entry(path).or_insert(need);
        known.last = known.last.max(need.last);
        known.new |= need.new;
        known.bytes = need.bytes.or(known.bytes);
    }
}

/// True if it has deletion vectors.
fn has_vectors(record: &StoredRecord) -> bool {
    match &record.record {
        Record::Live(live) => live.features.has_vectors(),
        _ => false,
    }
}

fn named_by_record(record: &StoredRecord) -> impl Iterator<Item = (String, Option<u64>)> {
    let (live, python) = match &record.record {
        Record::Live(live) => (Some(live), None),
        Record::Python(python) => (None, Some((python.snapshot.clone(), None))),
        Record::Tombstone(_) => (None, None),
    };
    let objects = live.into_iter().flat_map(|live| {
        let changes = &live.changes;
        live.snapshot
            .iter()
            .chain(&live.refs)
            .chain(&changes.added)
            .chain(&changes.removed)
    });
    let objects: Vec<_> = objects
        .map(|object| (object.path.clone(), Some(object.size)))
        .collect();
    objects.into_iter().chain(python)
}

/// The manifests and the schema of an expired version.
async fn state_of(table: &Table, record: &StoredRecord) -> Result<Vec<(String, Option<u64>)>> {
    match &record.record {
        Record::Tombstone(_) => Ok(Vec::new()),
        Record::Python(python) => {
            let bytes = table.objects.get(&python.snapshot).await?;
            let parsed =
                bytes.and_then(|bytes| PythonSnapshot::parse(&python.snapshot, &bytes).ok());
            Ok(parsed
                .into_iter()
                .flat_map(|snapshot| snapshot.manifests)
                .map(|path| (path, None))
                .collect())
        }
        Record::Live(live) => {
            let Some(object) = &live.snapshot else {
                return Ok(Vec::new());
            };
            let bytes = table.objects.get(&object.path).await?;
            let Some(state) =
                bytes.and_then(|bytes| SnapshotFile::parse(&object.path, &bytes).ok())
            else {
                return Ok(Vec::new());
            };
            let objects = state.manifests.into_iter().map(|manifest| manifest.object);
            let objects = objects.chain([state.schema.object]);
            Ok(objects
                .map(|object| (object.path, Some(object.size)))
                .collect())
        }
    }
}

/// The files of a manifest; none where it is gone or damaged.
async fn files_of(table: &Table, manifest: &str) -> Result<Vec<FileEntry>> {
    let bytes = table.objects.get(manifest).await?;
    let python = layout::parse(manifest).is_some_and(|object| object.txn.is_none());
    let parsed = bytes.and_then(|bytes| Manifest::parse(manifest, &bytes, python).ok());
    Ok(parsed.map(|manifest| manifest.files).unwrap_or_default())
}

fn refuse(version: Version, error: Error) -> Error {
    // What could not be fetched may be whole: then the next expiry will do.
    let kind = match error.kind() {
        ErrorKind::Storage => ErrorKind::Storage,
        _ => ErrorKind::Damaged,
    };
    Error::new(
        kind,
        format!(
            "refusing to expire: version {version} cannot be read, so what it needs is not known; nothing was deleted ({error})"
        ),
    )
}
