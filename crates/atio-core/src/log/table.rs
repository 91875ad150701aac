//! A table: a place on a store, and what is known of it.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::format::snapshot::State;
use crate::format::{ObjectRef, Record, StoredRecord, TableSchema, Version, layout};
use crate::lock::lock;
use crate::log::commit::announcer::Announcer;
use crate::log::manifest_cache::ManifestCache;
use crate::log::open_options::OpenOptions;
use crate::log::read::locate::{self, Found};
use crate::log::read::seen_keys::SeenKeys;
use crate::log::read::snapshot::{Snapshot, complement, in_ranges, words};
use crate::storage::Probe;
use crate::storage::RemoteStore;
use crate::storage::{Objects, Stamp};

/// Up to so many versions nobody counts the records.
const COUNTED_VERSIONS: u64 = 100_000;
/// How often a newest version that cannot be loaded because it is not the newest any more is
/// looked for again.
const NEWEST_ATTEMPTS: u32 = 100;

/// A handle on a table; cheap to share, and worth sharing: it remembers what is immutable.
pub struct Table {
    pub(in crate::log) objects: Objects,
    options: OpenOptions,
    pub(in crate::log) probe: Probe,
    location: String,
    name: String,
    newest: Mutex<Option<Known>>,
    pub(in crate::log) manifests: Mutex<ManifestCache>,
    pub(in crate::log) schemas: Mutex<HashMap<String, Arc<TableSchema>>>,
    pub(in crate::log) keys: Mutex<SeenKeys>,
    /// The table that was seen to begin with version 0; records are never removed.
    complete: Mutex<Option<uuid::Uuid>>,
    /// Writes hints on a store behind the answers.
    pub(in crate::log) announcer: Option<Arc<Announcer>>,
    /// The state that this handle staged last, and the object that it is.
    pub(in crate::log) staged: Mutex<Option<(ObjectRef, State)>>,
    /// The fence that was read last.
    pub(in crate::log) fence: Mutex<Option<Fence>>,
    /// Commits of this process queue here instead of racing each other.
    pub(in crate::log) queue: tokio::sync::Mutex<()>,
}

/// What the newest version is looked for.
#[derive(Clone, Copy)]
enum Look {
    /// It is what a statement runs on.
    Runs,
    /// It is looked for again before the statement runs.
    Plans,
}

/// What a fence says has expired.
#[derive(Clone)]
pub(in crate::log) struct Fence {
    pub(in crate::log) table: uuid::Uuid,
    pub(in crate::log) version: Version,
    pub(in crate::log) expired: Arc<[(Version, Version)]>,
}

/// The newest version as last seen, and what its record looked like on the store.
#[derive(Clone)]
struct Known {
    snapshot: Arc<Snapshot>,
    stamp: Stamp,
}

impl Table {
    /// A handle on the table at `root` of `store`, which need not exist.
    ///
    /// `location` is what messages call the place; it holds no credentials.
    ///
    /// `local` is its directory where the store is the local disk. Elsewhere the store is
    /// tried out before the first write, unless there is a single writer.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        root: Path,
        location: String,
        local: Option<PathBuf>,
        options: OpenOptions,
    ) -> Self {
        let name = root.filename().unwrap_or(&location).to_owned();
        let probe = match local.is_some() || options.single_writer {
            true => Probe::default(),
            false => Probe::of(&store, &location),
        };
        let announcer = match local {
            Some(_) => None,
            None => Some(Announcer::of(&store, &root)),
        };
        let store = match local {
            Some(_) => store,
            None => Arc::new(RemoteStore::new(store, &location, options.single_writer)),
        };
        Self {
            objects: Objects::new(store, root, local, options.durability),
            options,
            probe,
            location,
            name,
            newest: Mutex::default(),
            manifests: Mutex::default(),
            schemas: Mutex::default(),
            keys: Mutex::default(),
            complete: Mutex::default(),
            announcer,
            staged: Mutex::default(),
            fence: Mutex::default(),
            queue: tokio::sync::Mutex::default(),
        }
    }

    /// The same table under the name that people know it by.
    pub fn called(self, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..self
        }
    }

    /// Where it is, as messages say it: without credentials.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// What messages call the table: the last part of its location.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How this handle uses the table.
    pub fn options(&self) -> OpenOptions {
        self.options
    }

    /// The key of one of its data files on the store; a symbolic link is refused.
    pub fn data_key(&self, name: &str) -> Result<Path> {
        self.objects.check_no_link(name)?;
        self.objects.key(name)
    }

    /// The store that it is on.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        self.objects.store()
    }

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

    /// The version that was newest when anybody last looked, without looking.
    pub fn last_seen(&self) -> Option<Arc<Snapshot>> {
        lock(&self.newest)
            .as_ref()
            .map(|known| Arc::clone(&known.snapshot))
    }

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
        if seen.is_some() && *lock(&self.complete) == seen {
            return Ok(Version::ZERO);
        }
        if self.objects.exists(&layout::record(Version::ZERO)).await? {
            *lock(&self.complete) = seen;
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

    async fn load_newest(&self, found: Found, known: Option<&Snapshot>) -> Result<Arc<Snapshot>> {
        let (bytes, stamp) = found.content.map_err(|error| self.explain(error))?;
        let record = Record::parse(found.version, &bytes).map_err(|error| self.explain(error))?;
        match (known, found.version.previous()) {
            (Some(known), Some(below)) if known.version == below => known
                .record
                .check_next(&record)
                .map_err(|error| self.explain(error))?,
            _ => self.check_below(&record, found.below)?,
        }
        let snapshot = self.load(record).await?;
        self.remember(Arc::clone(&snapshot), stamp);
        Ok(snapshot)
    }

    /// Fails if `record` was not written on the one below it, which has these bytes: then either
    /// is not of this table. One that cannot be read is no reason not to read this one.
    fn check_below(&self, record: &StoredRecord, below: Option<Bytes>) -> Result<()> {
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
        let (bytes, _) = found.content.map_err(|error| self.explain(error))?;
        let record = Record::parse(version, &bytes).map_err(|error| self.explain(error))?;
        self.check_below(&record, found.below)?;
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
            if let Ok(record) = self.record(found).await {
                return Ok(Some((found, self.expired_at(&record).await?)));
            }
        }
        Ok(None)
    }

    /// Tells others of what this process committed, which on a store follows the answer.
    pub async fn flush(&self) {
        if let Some(announcer) = &self.announcer {
            announcer.flush().await;
        }
    }

    /// Forgets what may be wrong after the table was dropped.
    pub fn forget(&self) {
        *lock(&self.newest) = None;
    }

    /// Adds the table's name to an error about one of its objects.
    pub(in crate::log) fn explain(&self, error: Error) -> Error {
        error.context(format!("table '{}'", self.name))
    }

    pub(in crate::log) fn not_found(&self) -> Error {
        Error::new(
            ErrorKind::TableNotFound,
            format!("there is no atio table at {}", self.location),
        )
    }

    pub(in crate::log) fn never_existed(&self, version: Version, newest: Version) -> Error {
        Error::new(
            ErrorKind::VersionNotFound,
            format!(
                "'{}' has no version {version}; its newest version is {newest}",
                self.name
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
                self.name,
                words(&readable)
            ),
        )
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("location", &self.location)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
