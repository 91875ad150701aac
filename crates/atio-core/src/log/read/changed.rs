//! The files that a version added and removed, as its record names them.

use std::sync::Arc;

use crate::error::{ErrorKind, Result};
use crate::format::{CommitRecord, Manifest, ObjectRef, Record, StoredRecord};
use crate::log::table::Table;

impl Table {
    /// The manifests of the files that the version of `record` added.
    pub(in crate::log) async fn added_manifests(
        &self,
        record: &CommitRecord,
    ) -> Result<Vec<Arc<Manifest>>> {
        let added = record.changes.added.iter();
        let loads = added.map(|object| self.named_manifest(object));
        futures::future::try_join_all(loads).await
    }

    /// The same, of whatever record; None if nobody can tell any more.
    pub(in crate::log) async fn files_added(
        &self,
        record: &StoredRecord,
    ) -> Result<Option<Vec<Arc<Manifest>>>> {
        match &record.record {
            Record::Live(live) => self.if_there(record, self.added_manifests(live).await),
            _ => Ok(None),
        }
    }

    /// The files that the version of `record` removed; None if nobody can tell, or there is no
    /// list because there are none.
    pub(in crate::log) async fn files_removed(
        &self,
        record: &StoredRecord,
    ) -> Result<Option<Arc<Manifest>>> {
        let removed = match &record.record {
            Record::Live(live) => live.changes.removed.as_ref(),
            _ => None,
        };
        match removed {
            Some(object) => self.if_there(record, self.named_manifest(object).await),
            None => Ok(None),
        }
    }

    /// An expiry may have removed it since the record was read.
    fn if_there<T>(&self, record: &StoredRecord, found: Result<T>) -> Result<Option<T>> {
        match found {
            Err(error) if error.kind() == ErrorKind::Damaged => {
                ::log::debug!(
                    "'{}': what version {} changed is not known: {error}",
                    self.name(),
                    record.version()
                );
                Ok(None)
            }
            found => found.map(Some),
        }
    }

    /// The content of a manifest, or of a list of removed files.
    pub(in crate::log) async fn named_manifest(&self, object: &ObjectRef) -> Result<Arc<Manifest>> {
        if let Some(found) = self.cache.manifest(object) {
            return Ok(found);
        }
        let bytes = self.objects.get_named(&object.path).await?;
        object.verify(&bytes)?;
        let manifest = Arc::new(Manifest::parse(&object.path, &bytes, false)?);
        self.cache.keep_manifest(object, Arc::clone(&manifest));
        Ok(manifest)
    }
}
