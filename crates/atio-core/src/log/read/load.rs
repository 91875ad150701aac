//! Loading a version: what its record names, each object checked against what names it.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::format::StoredRecord;
use crate::format::snapshot::{SnapshotFile, State};
use crate::format::{
    DeletionVector, Manifest, ManifestRef, ObjectRef, Record, TableSchema, Totals, VectorRef,
    Version, layout,
};
use crate::lock::lock;
use crate::log::known::Fence;
use crate::log::python;
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;

impl Table {
    /// Loads the state that `record` names.
    pub(in crate::log) async fn load(&self, record: StoredRecord) -> Result<Arc<Snapshot>> {
        let version = record.version();
        self.load_state(record)
            .await
            .map_err(|error| match error.kind() {
                ErrorKind::TableNotFound | ErrorKind::VersionExpired => error,
                _ => error.context(format!("version {version} of '{}'", self.name())),
            })
    }

    async fn load_state(&self, record: StoredRecord) -> Result<Arc<Snapshot>> {
        let version = record.version();
        let (table, committed_at_us, object, told) = match &record.record {
            Record::Live(live) => match &live.snapshot {
                Some(object) => {
                    let told = live.features.has_vectors();
                    (live.table, live.committed_at_us, object.clone(), told)
                }
                None => return Err(self.not_found()),
            },
            Record::Tombstone(tombstone) if tombstone.tombstone == "dropped" => {
                return Err(self.not_found());
            }
            Record::Tombstone(tombstone) if tombstone.is_lost() => {
                return Err(Error::damaged(format!(
                    "{} says that version {version} is lost, and no version above it says where the table goes on: repair it again",
                    layout::record(version)
                )));
            }
            Record::Tombstone(tombstone) => {
                return Err(Error::new(
                    ErrorKind::VersionExpired,
                    format!(
                        "version {version} of '{}' has expired: it was removed by version {}",
                        self.name(),
                        tombstone.by
                    ),
                ));
            }
            Record::Python(python) => return python::load(self, version, python, &record).await,
        };
        let expired = self.expired_at(&record);
        let state = async {
            if let Some(state) = self.known_state(&object) {
                return Ok(state);
            }
            let bytes = self.objects.get_named(&object.path).await?;
            object.verify(&bytes)?;
            SnapshotFile::parse(&object.path, &bytes)
        };
        let (expired, state) = futures::try_join!(expired, state)?;
        if state.has_vectors() && !told {
            // Others have read it wrong, who do not know them.
            return Err(Error::damaged(format!(
                "{} has deletion vectors, and the record does not name that feature",
                object.path
            )));
        }
        let schema = self.schema(&state).await?;
        Ok(Arc::new(Snapshot {
            version,
            arrow: schema.to_arrow()?,
            schema,
            record,
            state,
            table,
            committed_at_us,
            python: None,
            expired,
        }))
    }

    /// The state that `object` is, if this handle staged it last or saw it in the newest version.
    fn known_state(&self, object: &ObjectRef) -> Option<State> {
        let staged = lock(&self.staged);
        if let Some((_, state)) = staged.as_ref().filter(|(staged, _)| staged == object) {
            return Some(state.clone());
        }
        let seen = self.last_seen()?;
        let same = match &seen.record.record {
            Record::Live(live) => live.snapshot.as_ref() == Some(object),
            _ => false,
        };
        same.then(|| seen.state.clone())
    }

    async fn schema(&self, state: &State) -> Result<Arc<TableSchema>> {
        let object = &state.schema.object;
        if let Some(found) = self.cache.schema(object) {
            return Ok(found);
        }
        let path = object.path.as_str();
        let bytes = self.objects.get_named(path).await?;
        object.verify(&bytes)?;
        let schema = Arc::new(TableSchema::parse(path, &bytes)?);
        if schema.largest_id() >= state.next_field_id {
            return Err(Error::damaged(format!(
                "{path} uses field id {}, which its snapshot holds for unused",
                schema.largest_id()
            )));
        }
        if schema.id != state.schema.id {
            return Err(Error::damaged(format!(
                "{path} holds schema {}, not {}",
                schema.id, state.schema.id
            )));
        }
        self.cache.keep_schema(object, Arc::clone(&schema));
        Ok(schema)
    }

    /// The versions that had expired when `record` was committed.
    pub(in crate::log) async fn expired_at(
        &self,
        record: &StoredRecord,
    ) -> Result<Arc<[(Version, Version)]>> {
        match record.last_expire() {
            None => Ok(Arc::new([])),
            Some(fence) if fence == record.version() => Ok(record.expired().into()),
            Some(fence) => {
                let known = lock(&self.fence).clone();
                if let Some(known) = known
                    && (Some(known.table), known.version) == (record.table(), fence)
                {
                    return Ok(known.expired);
                }
                let expired: Arc<[_]> = self.record(fence).await?.expired().into();
                *lock(&self.fence) = record.table().map(|table| Fence {
                    table,
                    version: fence,
                    expired: Arc::clone(&expired),
                });
                Ok(expired)
            }
        }
    }

    /// Loads the manifests that `snapshot` lists, in its order.
    pub async fn manifests(&self, snapshot: &Snapshot) -> Result<Vec<Arc<Manifest>>> {
        if let Some(python) = &snapshot.python {
            return Ok(python.clone());
        }
        self.manifests_of(snapshot, &snapshot.state.manifests).await
    }

    /// Loads manifests that list the files of `snapshot`, or some of them.
    pub(in crate::log) async fn manifests_of(
        &self,
        snapshot: &Snapshot,
        named: &[ManifestRef],
    ) -> Result<Vec<Arc<Manifest>>> {
        let loaded = self.load_manifests(named).await;
        match loaded.and_then(check_bytes) {
            Err(error) => {
                let error =
                    error.context(format!("version {} of '{}'", snapshot.version, self.name()));
                Err(self.or_expired(snapshot.version, snapshot, error).await)
            }
            loaded => loaded,
        }
    }

    pub(in crate::log) async fn load_manifests(
        &self,
        named: &[ManifestRef],
    ) -> Result<Vec<Arc<Manifest>>> {
        use futures::{StreamExt, TryStreamExt};
        let loads: Vec<_> = named
            .iter()
            .map(|manifest| self.manifest(manifest))
            .collect();
        futures::stream::iter(loads)
            .buffered(32)
            .try_collect()
            .await
    }

    async fn manifest(&self, named: &ManifestRef) -> Result<Arc<Manifest>> {
        if let Some(found) = self.cache.manifest(&named.object) {
            return Ok(found);
        }
        let path = &named.object.path;
        let bytes = self.objects.get_named(path).await?;
        named.object.verify(&bytes)?;
        let manifest = Arc::new(Manifest::parse(path, &bytes, false)?);
        let totals = manifest.totals().map_err(|error| error.context(path))?;
        let holds = (totals.files, totals.rows, manifest.marked_rows());
        if holds != (named.files, named.rows, named.marked) {
            return Err(Error::damaged(format!(
                "{path} does not hold what its snapshot says"
            )));
        }
        self.cache
            .keep_manifest(&named.object, Arc::clone(&manifest));
        Ok(manifest)
    }

    /// Keeps a deletion vector that this process has just made.
    pub(in crate::log) fn keep_vector(&self, named: &VectorRef, vector: Arc<DeletionVector>) {
        self.cache.keep_vector(named, vector);
    }

    /// Keeps a manifest that this process has just made.
    pub(in crate::log) fn keep_manifest(&self, named: &ManifestRef, manifest: Manifest) {
        self.cache.keep_manifest(&named.object, Arc::new(manifest));
    }
}

/// Fails if the data files together have more bytes than anybody can count; files and rows
/// are compared with the snapshot where each manifest is loaded.
fn check_bytes(manifests: Vec<Arc<Manifest>>) -> Result<Vec<Arc<Manifest>>> {
    manifests
        .iter()
        .try_fold(Totals::default(), |sum, manifest| {
            sum.plus(manifest.totals()?)
        })?;
    Ok(manifests)
}
