//! Where one transaction writes: a store, or a directory on the local disk.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use super::local::LocalWriter;
use super::objects::{Created, Objects, cannot, disk_cannot, not_durable};
use crate::error::Result;
use crate::format::Txn;

/// Names are relative to the root of the table.
#[derive(Debug, Clone)]
pub(crate) enum Output {
    Store(Arc<dyn ObjectStore>),
    Disk(LocalWriter),
}

impl Output {
    /// Nothing is written yet.
    ///
    /// `shared` tells it apart from others that write for the same transaction.
    pub(crate) fn new(objects: &Objects, txn: Txn, shared: Option<u64>) -> Self {
        let store = objects.below_root();
        match objects.disk() {
            Some(disk) => Self::Disk(LocalWriter::new(disk.clone(), (txn, shared), store)),
            None => Self::Store(store),
        }
    }

    /// What writers of data files write to.
    pub(crate) fn as_store(&self) -> Arc<dyn ObjectStore> {
        match self {
            Self::Store(store) => Arc::clone(store),
            Self::Disk(disk) => Arc::new(disk.clone()),
        }
    }

    /// Makes what the transaction needs before its first write.
    pub(crate) async fn begin(&self) -> Result<()> {
        match self {
            Self::Store(_) => Ok(()),
            Self::Disk(disk) => disk
                .begin()
                .await
                .map_err(|error| disk_cannot("begin to write to", "the table", error)),
        }
    }

    /// Creates the object if it is absent.
    pub(crate) async fn create(&self, name: &str, bytes: Bytes) -> Created {
        let store = match self {
            Self::Store(store) => store,
            Self::Disk(disk) => return disk.create(name, bytes).await,
        };
        let options = PutOptions::from(PutMode::Create);
        match store
            .put_opts(&Path::from(name), bytes.into(), options)
            .await
        {
            Ok(put) => Created::Yes(put.e_tag),
            Err(error) => Created::Unclear(error),
        }
    }

    /// Writes an object under a name that nobody else uses.
    ///
    /// Without a condition on a store, so that a client that sends it twice, because an answer
    /// was lost, is not told that it exists.
    pub(crate) async fn stage(&self, name: &str, bytes: Bytes) -> Result<()> {
        match self {
            Self::Store(_) => self.replace(name, bytes, true).await,
            Self::Disk(disk) => match disk.create(name, bytes).await {
                Created::Yes(_) => Ok(()),
                Created::Refused(error) => Err(error),
                Created::Unclear(error) => Err(cannot("write", name, error)),
            },
        }
    }

    /// Writes the object, whatever is there. On a local disk its bytes are safe from a power
    /// failure only if it is `durable`.
    pub(crate) async fn replace(&self, name: &str, bytes: Bytes, durable: bool) -> Result<()> {
        match self {
            Self::Store(store) => match store.put(&Path::from(name), bytes.into()).await {
                Ok(_) => Ok(()),
                Err(error) => Err(cannot("write", name, error)),
            },
            Self::Disk(disk) => disk
                .replace(name, bytes, durable)
                .await
                .map_err(|error| disk_cannot("write", name, error)),
        }
    }

    /// Makes every commit record that is there durable, whoever wrote it (A7).
    ///
    /// A store has done so before it answered.
    pub(crate) async fn sync_records(&self) -> Result<()> {
        match self {
            Self::Store(_) => Ok(()),
            Self::Disk(disk) => disk.sync_records().await.map_err(not_durable),
        }
    }

    /// Makes all that was written durable; a store has done so before it answered.
    pub(crate) async fn sync(&self) -> Result<()> {
        match self {
            Self::Store(_) => Ok(()),
            Self::Disk(disk) => disk.sync().await.map_err(|error| {
                disk_cannot("make durable what was written to", "the table", error)
            }),
        }
    }

    /// True if what the transaction made for itself alone is not there any more.
    pub(crate) fn is_gone(&self) -> bool {
        match self {
            Self::Store(_) => false,
            Self::Disk(disk) => disk.is_gone(),
        }
    }

    /// Closes what is still to be made durable: no version will name it.
    pub(crate) fn forget_files(&self) {
        if let Self::Disk(disk) = self {
            disk.forget_files();
        }
    }

    /// Removes what the transaction made for itself alone.
    pub(crate) async fn finish(&self, committed: bool) {
        if let Self::Disk(disk) = self {
            disk.finish(committed).await;
        }
    }
}
