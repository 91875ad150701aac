//! The files that a version removes: known, and written down.

use bytes::Bytes;

use super::transaction::Transaction;
use crate::error::{ErrorKind, Result};
use crate::format::{FileEntry, Manifest, ObjectRef, layout};
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;

impl Table {
    /// Every file of `base`; None if that is not known.
    pub(in crate::log) async fn files_to_remove(
        &self,
        base: &Snapshot,
    ) -> Result<Option<Vec<FileEntry>>> {
        let manifests = match self.manifests(base).await {
            Ok(manifests) => manifests,
            Err(error) if error.kind() != ErrorKind::Damaged => return Err(error),
            Err(error) => {
                // To replace all rows must work where not all of them can be read any more.
                ::log::warn!(
                    "'{}': the files that this commit removes are not known: {error}",
                    self.name()
                );
                return Ok(None);
            }
        };
        let files = manifests.iter().flat_map(|manifest| &manifest.files);
        Ok(Some(files.cloned().collect()))
    }

    /// Writes down files of `base`, which the change removes; None if there is none.
    pub(in crate::log) async fn stage_removed(
        &self,
        txn: &Transaction,
        base: &Snapshot,
        files: Vec<FileEntry>,
    ) -> Result<Option<ObjectRef>> {
        let Some((named, bytes)) = self.name_removed(txn, base, files) else {
            return Ok(None);
        };
        txn.stage(named.path.clone(), bytes).await?;
        Ok(Some(named))
    }

    /// Gives the list of `files` of `base`, which the change removes, a fresh name of the
    /// transaction, under which these bytes are to be staged; None if there is none.
    pub(in crate::log) fn name_removed(
        &self,
        txn: &Transaction,
        base: &Snapshot,
        files: Vec<FileEntry>,
    ) -> Option<(ObjectRef, Bytes)> {
        let without_stats = |file| FileEntry {
            stats: Vec::new(),
            column_bytes: Vec::new(),
            ..file
        };
        let files: Vec<_> = files.into_iter().map(without_stats).collect();
        if files.is_empty() {
            return None;
        }
        let bytes = match Manifest::new(base.state.schema.id, Vec::new(), files).to_bytes() {
            Ok(bytes) => bytes,
            Err(error) => {
                ::log::warn!(
                    "'{}': the files that this commit removes are not listed: {error}",
                    self.name()
                );
                return None;
            }
        };
        let path = layout::removed(txn.id(), txn.seq());
        Some((ObjectRef::of(path, &bytes), bytes.into()))
    }
}
