//! Why a data file could not be read: its version has expired, it is damaged, or the storage
//! failed.

use std::sync::Arc;

use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt};

use crate::error::{Error, ErrorKind, Result};
use crate::format::Version;
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;
use crate::storage::explain;

/// What reading a data file met.
#[derive(Debug)]
pub enum Unreadable {
    /// The store said so, or gave fewer bytes than it was asked for.
    Store(Box<dyn std::error::Error + Send + Sync>),
    /// The bytes came, and are not those of a whole data file.
    Content(Box<dyn std::error::Error + Send + Sync>),
}

impl Table {
    /// The error of a reader of `version` that could not read the data file at `key`, which
    /// has `bytes` bytes by its manifest; `subject` names both.
    ///
    /// Never an answer that passes for fewer rows: expired, damaged, or the storage failed.
    pub async fn unreadable(
        &self,
        version: Version,
        subject: &str,
        key: &Path,
        bytes: u64,
        met: Unreadable,
    ) -> Error {
        let damaged = |what: String| {
            Error::damaged(format!(
                "{subject} cannot be read; its manifest says {bytes} bytes: {what}"
            ))
        };
        let error = match met {
            Unreadable::Content(source) => damaged("it is damaged".to_owned()).with_source(source),
            Unreadable::Store(source) => match self.store().head(key).await {
                Err(StoreError::NotFound { .. }) => {
                    damaged("it is missing".to_owned()).with_source(source)
                }
                Ok(meta) if meta.size != bytes => {
                    damaged(format!("it has {} bytes", meta.size)).with_source(source)
                }
                Ok(_) => Error::new(ErrorKind::Storage, format!("{subject} cannot be read"))
                    .with_source(source),
                Err(error) => explain(format!("{subject} cannot be read"), error),
            },
        };
        self.or_not_here(version, key, error).await
    }

    /// The file may be gone with its version, or with its table.
    async fn or_not_here(&self, version: Version, key: &Path, error: Error) -> Error {
        if !matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Storage) {
            return error;
        }
        let newest = match self.newest().await {
            Ok(newest) => newest,
            Err(now) if now.kind() == ErrorKind::TableNotFound => return self.was_dropped(),
            Err(_) => return error,
        };
        if newest.has_expired(version) {
            return match error.kind() {
                ErrorKind::Damaged => self.has_expired(version, newest.version, &newest.expired),
                _ => error,
            };
        }
        match self.lists(version, &newest, key).await {
            Ok(false) => self.was_made_again(),
            _ => error,
        }
    }

    /// True if `version` of the table that is here now lists the data file at `key`.
    async fn lists(&self, version: Version, newest: &Arc<Snapshot>, key: &Path) -> Result<bool> {
        if version > newest.version {
            return Ok(false);
        }
        let snapshot = match version == newest.version {
            true => Arc::clone(newest),
            false => self.older(version, newest.version, &newest.expired).await?,
        };
        let manifests = match &snapshot.python {
            Some(python) => python.clone(),
            None => self.load_manifests(&snapshot.state.manifests).await?,
        };
        let mut files = manifests.iter().flat_map(|manifest| &manifest.files);
        Ok(files.any(|file| self.objects.key(&file.path).is_ok_and(|of| of == *key)))
    }
}
