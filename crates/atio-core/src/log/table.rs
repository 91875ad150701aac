//! A table: a place on a store, and what is known of it.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use object_store::ObjectStore;
use object_store::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::format::snapshot::State;
use crate::format::{ObjectRef, Record, StoredRecord, Version, layout};
use crate::lock::lock;
use crate::log::commit::announcer::Announcer;
use crate::log::known::{Fence, Known};
use crate::log::metadata_cache::TableCache;
use crate::log::open_options::OpenOptions;
use crate::log::read::locate;
use crate::log::read::seen_keys::SeenKeys;
use crate::log::read::snapshot::{Snapshot, complement, in_ranges, words};
use crate::storage::Objects;
use crate::storage::Probe;
use crate::storage::RemoteStore;

/// Up to so many versions nobody counts the records.
const COUNTED_VERSIONS: u64 = 100_000;

/// A handle on a table; cheap to share, and worth sharing: it remembers what is immutable.
pub struct Table {
    pub(in crate::log) objects: Objects,
    options: OpenOptions,
    pub(in crate::log) probe: Probe,
    location: String,
    name: String,
    /// The newest version as this handle last saw it.
    pub(in crate::log) newest: Mutex<Option<Known>>,
    /// Manifests and schemas.
    pub(in crate::log) cache: TableCache,
    pub(in crate::log) keys: Mutex<SeenKeys>,
    /// The table that was seen to begin with version 0; records are never removed.
    begins_at_zero: Mutex<Option<uuid::Uuid>>,
    /// Writes hints on a store behind the answers.
    pub(in crate::log) announcer: Option<Arc<Announcer>>,
    /// The state that this handle staged last, and the object that it is.
    pub(in crate::log) staged: Mutex<Option<(ObjectRef, State)>>,
    /// The fence that was read last.
    pub(in crate::log) fence: Mutex<Option<Fence>>,
    /// Commits of this process queue here instead of racing each other.
    pub(in crate::log) queue: tokio::sync::Mutex<()>,
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
            cache: TableCache::of_process(),
            keys: Mutex::default(),
            begins_at_zero: Mutex::default(),
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
