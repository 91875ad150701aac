//! The objects of one table on its store, by their names relative to the root.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt};

use super::durability::Durability;
use super::local::{Disk, blocking};
use super::open_files::{blocking_with_open_files, with_open_files};
use super::store_error::explain;
use crate::error::{Error, ErrorKind, Result};
use crate::format::limits::METADATA_BYTES;
use crate::format::{Checksum, layout};

/// How many deletes are under way at once.
const PARALLEL: usize = 32;
/// So many bytes of a large object are read at once.
const PIECE: u64 = 8 * 1024 * 1024;

/// A store, and the place of the table in it.
#[derive(Debug, Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    root: Path,
    /// The directory, on the local disk.
    disk: Option<Disk>,
}

/// How an attempt to create an object ended.
#[derive(Debug)]
pub enum Created {
    /// The object is there with our bytes; the store gave it this tag, if any.
    Yes(Option<String>),
    /// It was refused before anything could happen: this attempt never lands.
    Refused(Error),
    /// Anything else: the object may be ours, another's, absent, or still to land.
    Unclear(StoreError),
}

/// An object that a listing found.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its name, relative to the root of the table.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// When it was written last, by the clock of the store.
    pub modified: DateTime<Utc>,
}

/// What tells whether an object was replaced: size, tag and time of change.
#[derive(Debug, Clone)]
pub struct Stamp {
    size: u64,
    tag: Option<String>,
    /// Not known of an object that was just put: stores tell its tag alone.
    modified: Option<DateTime<Utc>>,
}

impl Stamp {
    /// Of an object with `size` bytes, which a store answered with `tag`; None without one.
    pub(crate) fn of_put(size: usize, tag: Option<String>) -> Option<Self> {
        Some(Self {
            size: size as u64,
            tag: Some(tag?),
            modified: None,
        })
    }

    /// When the object was written last, by the clock of the store.
    pub(crate) fn modified(&self) -> Option<DateTime<Utc>> {
        self.modified
    }

    /// True if both are of one object, which was not replaced between.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let same = |ours: &Option<DateTime<Utc>>, other: &Option<DateTime<Utc>>| {
            ours.zip(*other).is_none_or(|(ours, other)| ours == other)
        };
        // A tag stands for itself; where there is none, the time must be known.
        self.size == other.size
            && self.tag == other.tag
            && same(&self.modified, &other.modified)
            && (self.tag.is_some() || self.modified.is_some() && other.modified.is_some())
    }
}

impl From<&ObjectMeta> for Stamp {
    fn from(meta: &ObjectMeta) -> Self {
        Self {
            size: meta.size,
            tag: meta.e_tag.clone(),
            modified: Some(meta.last_modified),
        }
    }
}

impl Objects {
    /// `local` is the directory where the store is the local disk.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        root: Path,
        local: Option<PathBuf>,
        durability: Durability,
    ) -> Self {
        let disk = local.map(|root| Disk::new(root, durability));
        Self { store, root, disk }
    }

    pub(crate) fn disk(&self) -> Option<&Disk> {
        self.disk.as_ref()
    }

    /// Makes the directories of a new table where there are such things.
    pub(crate) async fn make_folders(&self) -> Result<()> {
        let Some(disk) = self.disk.clone() else {
            return Ok(());
        };
        let root = disk.path("");
        blocking(move || disk.make_table()).await.map_err(|error| {
            let what = format!("cannot make the table's directories in {}", root.display());
            Error::new(ErrorKind::Storage, what).with_source(error)
        })
    }

    /// Makes every commit record that is there durable, whoever wrote it (A7).
    ///
    /// A store has done so before it answered.
    pub(crate) async fn sync_records(&self) -> Result<()> {
        let Some(disk) = self.disk.clone() else {
            return Ok(());
        };
        let folder = disk.path(layout::METADATA);
        let synced = blocking(move || disk.sync_folder(&folder)).await;
        synced.map_err(not_durable)
    }

    /// Gives the space free that was kept for expiry, on a local disk.
    pub(crate) async fn release_reserve(&self) {
        if let Some(disk) = self.disk.clone() {
            blocking(move || disk.release_reserve()).await.ok();
        }
    }

    /// Sets the space aside again.
    pub(crate) async fn keep_reserve(&self) {
        let Some(disk) = self.disk.clone() else {
            return;
        };
        if let Err(error) = blocking(move || disk.keep_reserve()).await {
            ::log::debug!("no space is kept in reserve for expiry: {error}");
        }
    }

    /// Fails if `name` or a directory on the way to it is a symbolic link: it could lead out
    /// of the table, and to files of another.
    pub(crate) fn check_no_link(&self, name: &str) -> Result<()> {
        match self.disk.as_ref().and_then(|disk| disk.link(name)) {
            None => Ok(()),
            Some(_) => Err(Error::damaged(format!(
                "{name} is or lies behind a symbolic link, which is not followed"
            ))),
        }
    }

    /// The store, from its own root.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The store as seen from the root of the table.
    pub(crate) fn below_root(&self) -> Arc<dyn ObjectStore> {
        Arc::new(PrefixStore::new(Arc::clone(&self.store), self.root.clone()))
    }

    /// The key of the object called `name` on the store.
    pub fn key(&self, name: &str) -> Result<Path> {
        let full = match self.root.as_ref() {
            "" => name.to_owned(),
            root => format!("{root}/{name}"),
        };
        Path::parse(&full).map_err(|error| {
            Error::invalid(format!("'{}' is not a usable path", full.escape_debug()))
                .with_source(error)
        })
    }

    /// The object's bytes; None if there is no such object.
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>> {
        Ok(self.get_stamped(name).await?.map(|(bytes, _)| bytes))
    }

    /// The same, and what identifies them.
    pub(crate) async fn get_stamped(&self, name: &str) -> Result<Option<(Bytes, Stamp)>> {
        self.check_no_link(name)?;
        let key = self.key(name)?;
        let found = match with_open_files(|| self.store.get(&key)).await {
            Err(StoreError::NotFound { .. }) => return Ok(None),
            found => found.map_err(|error| cannot("read", name, error))?,
        };
        if found.meta.size > METADATA_BYTES {
            return Err(Error::damaged(format!(
                "{name} has {} bytes; metadata is at most {METADATA_BYTES}",
                found.meta.size
            )));
        }
        let stamp = Stamp::from(&found.meta);
        let bytes = found
            .bytes()
            .await
            .map_err(|error| cannot("read", name, error))?;
        Ok(Some((bytes, stamp)))
    }

    /// These bytes of an object that something names; if it does not have them, that is damage.
    pub(crate) async fn get_part(&self, name: &str, range: Range<u64>) -> Result<Bytes> {
        let wanted = range.end.saturating_sub(range.start);
        if wanted > METADATA_BYTES {
            return Err(Error::damaged(format!(
                "{wanted} bytes of {name} are more than {METADATA_BYTES}"
            )));
        }
        self.check_no_link(name)?;
        let key = self.key(name)?;
        let found = with_open_files(|| self.store.get_range(&key, range.clone())).await;
        match found {
            Ok(bytes) if bytes.len() as u64 == wanted => Ok(bytes),
            Err(StoreError::NotFound { .. }) => Err(Error::damaged(format!("{name} is missing"))),
            // Stores say in many ways that an object ends before the range does.
            found => match (self.size(name).await?, found) {
                (Some(size), Err(error)) if size >= range.end => Err(cannot("read", name, error)),
                (None, _) => Err(Error::damaged(format!("{name} is missing"))),
                (Some(size), _) => Err(Error::damaged(format!(
                    "{name} has {size} bytes, {} were written",
                    range.end
                ))),
            },
        }
    }

    /// The bytes of an object that something names; its absence is damage.
    pub async fn get_named(&self, name: &str) -> Result<Bytes> {
        self.get(name)
            .await?
            .ok_or_else(|| Error::damaged(format!("{name} is missing")))
    }

    /// The checksum of an object of `size` bytes, of which never more than a piece is in memory.
    pub(crate) async fn checksum(&self, name: &str, size: u64) -> Result<Checksum> {
        self.check_no_link(name)?;
        let key = self.key(name)?;
        let mut checksum = Checksum::of(b"");
        let mut at = 0;
        while at < size {
            let end = size.min(at + PIECE);
            let piece = with_open_files(|| self.store.get_range(&key, at..end)).await;
            checksum = checksum.append(&piece.map_err(|error| cannot("read", name, error))?);
            at = end;
        }
        Ok(checksum)
    }

    /// What identifies the object's content; None if there is no such object.
    pub async fn stamp(&self, name: &str) -> Result<Option<Stamp>> {
        let key = self.key(name)?;
        match with_open_files(|| self.store.head(&key)).await {
            Ok(meta) => Ok(Some(Stamp::from(&meta))),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(cannot("look for", name, error)),
        }
    }

    /// The object's size in bytes; None if there is no such object.
    pub async fn size(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.stamp(name).await?.map(|stamp| stamp.size))
    }

    /// True if there is such an object.
    pub async fn exists(&self, name: &str) -> Result<bool> {
        Ok(self.stamp(name).await?.is_some())
    }

    /// Deletes the object; that it is gone already is success.
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.check_no_link(name)?;
        if let Some(disk) = self.disk.clone() {
            let owned = name.to_owned();
            return match blocking(move || disk.remove(&owned)).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(disk_cannot("delete", name, error))
                }
                _ => Ok(()),
            };
        }
        match self.store.delete(&self.key(name)?).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(cannot("delete", name, error)),
        }
    }

    /// Deletes all of `names`, many at once, and gives the outcome of each in order.
    pub async fn delete_all(&self, names: &[String]) -> Vec<Result<()>> {
        self.delete_each(names, || ()).await
    }

    /// The same, which calls `done` after each.
    pub(crate) async fn delete_each(&self, names: &[String], done: impl Fn()) -> Vec<Result<()>> {
        let deletes: Vec<_> = names.iter().map(|name| self.delete(name)).collect();
        futures::stream::iter(deletes)
            .buffered(PARALLEL)
            .inspect(|_| done())
            .collect()
            .await
    }

    /// Everything below `folder`, but nothing behind a symbolic link.
    pub async fn list(&self, folder: &str) -> Result<Vec<Listed>> {
        if let Some(disk) = self.disk.clone() {
            let owned = folder.to_owned();
            let walk = move || blocking_with_open_files(|| disk.walk(&owned));
            let found = blocking(walk).await;
            let found = found.map_err(|error| disk_cannot("list", folder, error))?;
            let listed = found.into_iter().map(|found| Listed {
                path: found.name,
                size: found.size,
                modified: found.modified.into(),
            });
            return Ok(listed.collect());
        }
        let prefix = self.key(folder)?;
        let skip = match self.root.as_ref() {
            "" => 0,
            root => root.len() + 1,
        };
        let listing = self
            .store
            .list(Some(&prefix))
            .try_filter_map(|meta| async move {
                let path = meta.location.as_ref().get(skip..).map(str::to_owned);
                Ok(path.map(|path| Listed {
                    path,
                    size: meta.size,
                    modified: meta.last_modified,
                }))
            });
        match listing.try_collect().await {
            Err(StoreError::NotFound { .. }) => Ok(Vec::new()),
            found => found.map_err(|error| cannot("list", folder, error)),
        }
    }

    /// What lies in the directory itself: names of objects, and of folders.
    pub async fn top(&self) -> Result<(Vec<String>, Vec<String>)> {
        const ROOT: &str = "the directory";
        if let Some(disk) = self.disk.clone() {
            let found = blocking(move || blocking_with_open_files(|| disk.top())).await;
            return found.map_err(|error| disk_cannot("list", ROOT, error));
        }
        let found = match self.store.list_with_delimiter(Some(&self.root)).await {
            Err(StoreError::NotFound { .. }) => return Ok((Vec::new(), Vec::new())),
            found => found.map_err(|error| cannot("list", ROOT, error))?,
        };
        let name = |path: &Path| path.filename().map(str::to_owned);
        let objects = found
            .objects
            .iter()
            .filter_map(|meta| name(&meta.location))
            .collect();
        Ok((
            objects,
            found.common_prefixes.iter().filter_map(name).collect(),
        ))
    }
}

pub(crate) fn disk_cannot(verb: &str, name: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::Storage, format!("cannot {verb} {name}")).with_source(error)
}

/// The error of a version that others see, and that a power failure may take back.
pub(super) fn not_durable(error: io::Error) -> Error {
    Error::new(
        ErrorKind::CommitNotDurable,
        "the disk failed to make the newest version durable: readers see it, and a power failure may take it back; do not write its rows again, and look after the disk",
    )
    .with_source(error)
}

pub(crate) fn cannot(verb: &str, name: &str, error: StoreError) -> Error {
    explain(format!("cannot {verb} {name}"), error)
}
