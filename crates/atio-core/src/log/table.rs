//! A table: a place on a store, and what is known of it.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use object_store::ObjectStore;
use object_store::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::format::ObjectRef;
use crate::format::snapshot::State;
use crate::lock::lock;
use crate::log::commit::announcer::Announcer;
use crate::log::known::{Fence, Known};
use crate::log::metadata_cache::TableCache;
use crate::log::open_options::OpenOptions;
use crate::log::read::seen_keys::SeenKeys;
use crate::log::read::snapshot::Snapshot;
use crate::storage::Objects;
use crate::storage::Probe;
use crate::storage::RemoteStore;

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
    pub(in crate::log) begins_at_zero: Mutex<Option<uuid::Uuid>>,
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
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("location", &self.location)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
