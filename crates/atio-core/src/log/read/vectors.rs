//! Deletion vectors of the data files of a version.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};

use crate::error::Result;
use crate::format::{DeletionVector, FileEntry};
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;

/// So many are read at the same time.
const AT_ONCE: usize = 32;

impl Table {
    /// The deletion vector of each of `files`, which `snapshot` lists; None for a file that has none.
    ///
    /// Fails with [`Damaged`](crate::ErrorKind::Damaged) where one is missing, or is not that of its
    /// file; with [`VersionExpired`](crate::ErrorKind::VersionExpired) where the version expired.
    pub async fn vectors(
        &self,
        snapshot: &Snapshot,
        files: &[&FileEntry],
    ) -> Result<Vec<Option<Arc<DeletionVector>>>> {
        if files.iter().all(|file| file.dv.is_none()) {
            return Ok(vec![None; files.len()]);
        }
        let read: Vec<_> = files.iter().map(|file| self.vector(file)).collect();
        let read = futures::stream::iter(read).buffered(AT_ONCE);
        match read.try_collect().await {
            Ok(vectors) => Ok(vectors),
            Err(error) => {
                let version = snapshot.version;
                let error = error.context(format!("version {version} of '{}'", self.name()));
                Err(self.or_expired(version, snapshot, error).await)
            }
        }
    }

    /// The deletion vector of `file`; None if it has none.
    pub(in crate::log) async fn vector(
        &self,
        file: &FileEntry,
    ) -> Result<Option<Arc<DeletionVector>>> {
        let Some(named) = &file.dv else {
            return Ok(None);
        };
        let of = file.stored_rows()?;
        let content = named.content();
        if let Some(found) = self.cache.vector(&content) {
            named.check_rows(&found, of)?;
            return Ok(Some(found));
        }
        let bytes = self.objects.get_part(&named.path, named.range()).await?;
        let vector = Arc::new(named.parse(&bytes, of)?);
        self.cache.keep_vector(&content, Arc::clone(&vector));
        Ok(Some(vector))
    }
}
