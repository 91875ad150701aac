//! Why a data file could not be read: its version has expired, it is damaged, or the storage
//! failed.

use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt};

use super::store_error::explain;
use super::table::Table;
use crate::error::{Error, ErrorKind};
use crate::format::Version;

/// What reading a data file met.
#[derive(Debug)]
pub(crate) enum Unreadable {
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
    pub(crate) async fn unreadable(
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
        self.or_expired(version, error).await
    }
}
