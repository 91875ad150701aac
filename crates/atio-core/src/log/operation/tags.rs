//! Tags: names of versions, which keep them from expiring.
//!
//! They are part of the state of the table, so that writing one is a commit like any other
//! (B6).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::format::refs::{RefsFile, Tag, check_tag_name};
use crate::format::{CommitRecord, ObjectRef, Operation, Record, StoredRecord, Version, layout};
use crate::log::commit::engine::On;
use crate::log::commit::options::CommitOptions;
use crate::log::commit::record::RecordedChange;
use crate::log::operation::ref_update::RefUpdate;
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;

/// So many tags are listed where one is not found.
const LISTED: usize = 10;

impl Table {
    /// The tags of the newest version, by name.
    pub async fn tags(&self) -> Result<BTreeMap<String, Tag>> {
        let newest = self.newest().await?;
        Ok(self.refs(&newest).await?.tags)
    }

    /// Loads the version that is tagged `name`.
    pub async fn tagged(&self, name: &str) -> Result<Arc<Snapshot>> {
        let newest = self.newest().await?;
        let version = self.tagged_at(&newest, name).await?;
        self.check_same(&newest, self.version(version).await?)
    }

    pub(in crate::log) async fn tagged_at(&self, base: &Snapshot, name: &str) -> Result<Version> {
        let refs = self.refs(base).await?;
        match refs.tags.get(name) {
            Some(tag) => Ok(tag.version),
            None => Err(self.no_tag(name, &refs)),
        }
    }

    /// What names the versions of the table where `base` is the newest.
    pub(in crate::log) async fn refs(&self, base: &Snapshot) -> Result<RefsFile> {
        match self.refs_of(&base.record).await {
            Err(error) => Err(self.or_gone(base, error).await),
            refs => refs,
        }
    }

    /// The same at a version whose record is still there; nothing if it has expired.
    pub(in crate::log) async fn refs_of(&self, record: &StoredRecord) -> Result<RefsFile> {
        let named = match &record.record {
            Record::Live(live) => live.refs.as_ref(),
            _ => None,
        };
        let Some(named) = named else {
            return Ok(RefsFile::default());
        };
        let read = async {
            let bytes = self.objects.get_named(&named.path).await?;
            named.verify(&bytes)?;
            RefsFile::parse(&named.path, &bytes)
        };
        read.await.map_err(|error| self.explain(error))
    }

    /// The record that sets or removes a tag on `base`.
    pub(in crate::log) async fn plan_tag(
        &self,
        on: On<'_>,
        update: &RefUpdate,
        options: &CommitOptions,
    ) -> Result<(Version, Option<CommitRecord>)> {
        let (txn, base, attempt) = (on.txn, on.base()?, on.attempt);
        let mut refs = self.refs(base).await?;
        let mut recorded = RecordedChange {
            options: options.clone(),
            ..RecordedChange::same_state(Operation::Untag)
        };
        let version = match update {
            RefUpdate::Tag {
                name,
                version,
                message,
                replace,
            } => {
                let version = version.unwrap_or(base.version);
                check_tag_name(name)?;
                let target = self.target(base, version).await?;
                let message = message.clone().or(options.message.clone());
                let found = refs.tags.get(name);
                let same = |tag: &&Tag| {
                    tag.version == version && (message.is_none() || tag.message == message)
                };
                if found.filter(same).is_some() {
                    return Ok((version, None));
                }
                if let (Some(found), false) = (found, replace) {
                    return Err(self.taken(name, found.version));
                }
                recorded.operation = Operation::Tag;
                recorded.options.message = message.clone();
                let tag = Tag {
                    version,
                    txn: target.txn(),
                    at_us: None,
                    message,
                };
                refs.tags.insert(name.clone(), tag);
                version
            }
            RefUpdate::Untag { name } => match refs.tags.remove(name) {
                Some(tag) => tag.version,
                None => return Err(self.no_tag(name, &refs)),
            },
            RefUpdate::Rollback { .. } => {
                return Err(Error::invalid("a rollback is not a tag"));
            }
        };
        let mut record = self
            .record_of_same_state(txn, base, recorded, attempt)
            .await?;
        for tag in refs.tags.values_mut() {
            tag.at_us.get_or_insert(record.committed_at_us);
        }
        record.refs = match refs.tags.is_empty() {
            true => None,
            false => {
                let bytes = refs.to_bytes()?;
                let path = layout::refs(txn.id(), txn.seq());
                let named = ObjectRef::of(path.clone(), &bytes);
                txn.stage(path, bytes.into()).await?;
                Some(named)
            }
        };
        Ok((version, Some(record)))
    }

    fn taken(&self, name: &str, version: Version) -> Error {
        Error::invalid(format!(
            "'{}' has the tag '{}' on version {version} already: choose another name, or move it with replace => true",
            self.name(),
            name.escape_debug()
        ))
    }

    fn no_tag(&self, name: &str, refs: &RefsFile) -> Error {
        let known: Vec<_> = refs.tags.keys().take(LISTED).cloned().collect();
        let known = match refs.tags.len() {
            0 => "it has no tags".to_owned(),
            count if count > LISTED => {
                format!("its {count} tags begin with {}", known.join(", "))
            }
            _ => format!("its tags are {}", known.join(", ")),
        };
        let shown: String = name.escape_debug().take(64).collect();
        Error::new(
            ErrorKind::VersionNotFound,
            format!("'{}' has no tag '{shown}'; {known}", self.name()),
        )
    }
}
