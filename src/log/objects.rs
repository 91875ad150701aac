//! The objects of one table on its store, by their names relative to the root.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
};

use crate::error::{Error, ErrorKind, Result};
use crate::format::layout;

/// No metadata object is larger, in bytes.
const METADATA_LIMIT: u64 = 256 * 1024 * 1024;
/// How many deletes are under way at once.
const PARALLEL: usize = 32;

/// A store, and the place of the table in it.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    store: Arc<dyn ObjectStore>,
    root: Path,
    /// The directory, on the local disk.
    local: Option<PathBuf>,
}

/// How an attempt to create an object ended.
#[derive(Debug)]
pub(crate) enum Created {
    /// The object is there with our bytes.
    Yes,
    /// Anything else: the object may be ours, another's, absent, or still to land.
    Unclear(StoreError),
}

/// An object that a listing found.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) path: String,
    pub(crate) size: u64,
    pub(crate) modified: DateTime<Utc>,
}

/// What tells whether an object was replaced: size, time of change and tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp(u64, DateTime<Utc>, Option<String>);

impl From<ObjectMeta> for Stamp {
    fn from(meta: ObjectMeta) -> Self {
        Self(meta.size, meta.last_modified, meta.e_tag)
    }
}

impl Objects {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, root: Path, local: Option<PathBuf>) -> Self {
        Self { store, root, local }
    }

    pub(super) fn is_local(&self) -> bool {
        self.local.is_some()
    }

    /// Makes the directories of a new table where there are such things.
    pub(super) fn make_folders(&self) -> Result<()> {
        let Some(root) = &self.local else {
            return Ok(());
        };
        for folder in [layout::METADATA, layout::DATA] {
            std::fs::create_dir_all(root.join(folder)).map_err(|error| {
                Error::new(
                    ErrorKind::Storage,
                    format!("cannot make the directory '{folder}' of the table"),
                )
                .with_source(error)
            })?;
        }
        Ok(())
    }

    /// Fails if `name` or a directory on the way to it is a symbolic link: it could lead out
    /// of the table, and to files of another.
    pub(super) fn check_no_link(&self, name: &str) -> Result<()> {
        let Some(mut path) = self.local.clone() else {
            return Ok(());
        };
        for part in name.split('/') {
            path.push(part);
            if std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.file_type().is_symlink()) {
                return Err(Error::damaged(format!(
                    "{name} is or lies behind a symbolic link, which is not followed"
                )));
            }
        }
        Ok(())
    }

    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The store as seen from the root of the table.
    pub(super) fn below_root(&self) -> Arc<dyn ObjectStore> {
        Arc::new(PrefixStore::new(Arc::clone(&self.store), self.root.clone()))
    }

    /// The key of the object called `name` on the store.
    pub(crate) fn key(&self, name: &str) -> Result<Path> {
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
    pub(crate) async fn get(&self, name: &str) -> Result<Option<Bytes>> {
        self.check_no_link(name)?;
        let found = match self.store.get(&self.key(name)?).await {
            Err(StoreError::NotFound { .. }) => return Ok(None),
            found => found.map_err(|error| cannot("read", name, error))?,
        };
        if found.meta.size > METADATA_LIMIT {
            return Err(Error::damaged(format!(
                "{name} has {} bytes; metadata is at most {METADATA_LIMIT}",
                found.meta.size
            )));
        }
        let bytes = found
            .bytes()
            .await
            .map_err(|error| cannot("read", name, error))?;
        Ok(Some(bytes))
    }

    /// The bytes of an object that something names; its absence is damage.
    pub(crate) async fn get_named(&self, name: &str) -> Result<Bytes> {
        self.get(name)
            .await?
            .ok_or_else(|| Error::damaged(format!("{name} is missing")))
    }

    /// What identifies the object's content; None if there is no such object.
    pub(crate) async fn stamp(&self, name: &str) -> Result<Option<Stamp>> {
        match self.store.head(&self.key(name)?).await {
            Ok(meta) => Ok(Some(meta.into())),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(cannot("look for", name, error)),
        }
    }

    /// The object's size in bytes; None if there is no such object.
    pub(crate) async fn size(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.stamp(name).await?.map(|stamp| stamp.0))
    }

    pub(crate) async fn exists(&self, name: &str) -> Result<bool> {
        Ok(self.stamp(name).await?.is_some())
    }

    /// Creates the object if it is absent.
    pub(crate) async fn create(&self, name: &str, bytes: Bytes) -> Result<Created> {
        let options = PutOptions::from(PutMode::Create);
        let put = self
            .store
            .put_opts(&self.key(name)?, bytes.into(), options)
            .await;
        Ok(match put {
            Ok(_) => Created::Yes,
            Err(error) => Created::Unclear(error),
        })
    }

    /// Writes an object under a name that nobody else uses.
    pub(crate) async fn stage(&self, name: &str, bytes: Bytes) -> Result<()> {
        match self.create(name, bytes).await? {
            Created::Yes => Ok(()),
            Created::Unclear(error) => Err(cannot("write", name, error)),
        }
    }

    /// Writes the object, whatever is there.
    pub(crate) async fn replace(&self, name: &str, bytes: Bytes) -> Result<()> {
        self.store
            .put(&self.key(name)?, bytes.into())
            .await
            .map(drop)
            .map_err(|error| cannot("write", name, error))
    }

    /// Deletes the object; that it is gone already is success.
    pub(crate) async fn delete(&self, name: &str) -> Result<()> {
        self.check_no_link(name)?;
        match self.store.delete(&self.key(name)?).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => {
                self.remove_empty_folder(name);
                Ok(())
            }
            Err(error) => Err(cannot("delete", name, error)),
        }
    }

    /// Removes the directory that a transaction had for its data files, once it is empty.
    fn remove_empty_folder(&self, name: &str) {
        let Some((folder, _)) = name.rsplit_once('/') else {
            return;
        };
        if let (Some(root), true) = (&self.local, folder.contains('/')) {
            // It is not empty until the last file is gone, and then nobody needs it.
            std::fs::remove_dir(root.join(folder)).ok();
        }
    }

    /// Deletes all of `names`, many at once, and gives the outcome of each in order.
    pub(crate) async fn delete_all(&self, names: &[String]) -> Vec<Result<()>> {
        let deletes: Vec<_> = names.iter().map(|name| self.delete(name)).collect();
        futures::stream::iter(deletes)
            .buffered(PARALLEL)
            .collect()
            .await
    }

    /// Everything below `folder`, but nothing behind a symbolic link.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<Listed>> {
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
        let mut listed: Vec<Listed> = match listing.try_collect().await {
            Err(StoreError::NotFound { .. }) => Vec::new(),
            found => found.map_err(|error| cannot("list", folder, error))?,
        };
        if self.is_local() {
            listed.retain(|object| match self.check_no_link(&object.path) {
                Ok(()) => true,
                Err(error) => {
                    ::log::warn!("{error}");
                    false
                }
            });
        }
        Ok(listed)
    }

    /// What lies in the directory itself: names of objects, and of folders.
    pub(crate) async fn top(&self) -> Result<(Vec<String>, Vec<String>)> {
        let found = match self.store.list_with_delimiter(Some(&self.root)).await {
            Err(StoreError::NotFound { .. }) => return Ok((Vec::new(), Vec::new())),
            found => found.map_err(|error| cannot("list", "the directory", error))?,
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

fn cannot(verb: &str, name: &str, error: StoreError) -> Error {
    Error::new(ErrorKind::Storage, format!("cannot {verb} {name}")).with_source(error)
}
