//! The states that readable versions have: snapshots, schemas, tags, and what says what changed.

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt;

use super::finding::Finding;
use super::needed::{Need, Needed};
use super::records::Chain;
use crate::error::{Error, Result};
use crate::format::python_snapshot::PythonSnapshot;
use crate::format::refs::RefsFile;
use crate::format::snapshot::{SchemaRef, SnapshotFile};
use crate::format::{Manifest, ManifestRef, Record, TableSchema, Totals, layout};
use crate::log::read::history::PARALLEL;
use crate::log::read::snapshot::in_ranges;
use crate::storage::Objects;

/// One snapshot, which several versions may share.
pub(super) struct State {
    /// Which manifests it lists.
    pub(super) manifests: Vec<usize>,
    /// The sums that it says; None where Python wrote it.
    pub(super) totals: Option<Totals>,
    /// Which schema it has; None where Python wrote it.
    schema: Option<usize>,
    /// Rows of its files are marked as deleted.
    pub(super) marks: bool,
    /// Nothing that it needs is damaged, as far as is known.
    pub(super) whole: bool,
}

/// All states, and what they need.
#[derive(Default)]
pub(super) struct States {
    /// One for each of the snapshots that records name.
    pub(super) states: Vec<State>,
    pub(super) manifests: Needed,
    /// What snapshots say of the content of each manifest; None where Python wrote it.
    pub(super) said: Vec<Option<ManifestRef>>,
    schemas: Needed,
    /// What snapshots say of each schema: its id, and the least id that no field has.
    ids: Vec<(u32, i32)>,
    /// The schemas that are whole, by their ids.
    pub(super) by_id: HashMap<u32, Arc<TableSchema>>,
}

enum Snapshot {
    Of(crate::format::snapshot::State),
    OfPython(PythonSnapshot),
}

/// Reads every snapshot that `chain` names, and what it names but manifests and data files.
pub(super) async fn read(
    objects: &Objects,
    chain: &Chain,
    findings: &mut Vec<Finding>,
) -> Result<States> {
    let mut states = States::default();
    let mut reads = futures::stream::iter(chain.snapshots.list())
        .map(|need| async move {
            let read = snapshot(objects, &need).await;
            (need, read)
        })
        .buffered(PARALLEL);
    while let Some((need, read)) = reads.next().await {
        let state = match read {
            Ok(Snapshot::Of(state)) => states.note(&need, state, findings),
            Ok(Snapshot::OfPython(python)) => states.note_python(&need, &python, findings),
            Err(error) => {
                findings.push(Finding::unreadable(&need.path, need.version, &error));
                State {
                    manifests: Vec::new(),
                    totals: None,
                    schema: None,
                    marks: false,
                    whole: false,
                }
            }
        };
        states.states.push(state);
    }
    drop(reads);
    states.read_schemas(objects, findings).await;
    refs(objects, chain, findings).await;
    states.changes(objects, chain, findings).await;
    Ok(states)
}

async fn snapshot(objects: &Objects, need: &Need) -> Result<Snapshot> {
    let bytes = need.read(objects).await?;
    Ok(match need.written {
        Some(_) => Snapshot::Of(SnapshotFile::parse(&need.path, &bytes)?),
        None => Snapshot::OfPython(PythonSnapshot::parse(&need.path, &bytes)?),
    })
}

impl States {
    fn note(
        &mut self,
        need: &Need,
        state: crate::format::snapshot::State,
        findings: &mut Vec<Finding>,
    ) -> State {
        let version = need.version;
        let marks = state.has_vectors();
        let manifests = state.manifests.into_iter().map(|named| {
            let (at, new) = self.manifests.add_object(&named.object, version, findings);
            if new {
                self.said.push(Some(named));
            }
            at
        });
        let manifests = manifests.collect();
        let SchemaRef { id, object } = state.schema;
        let (schema, new) = self.schemas.add_object(&object, version, findings);
        match self.ids.get_mut(schema) {
            Some((_, next)) => *next = state.next_field_id.min(*next),
            None => self.ids.push((id, state.next_field_id)),
        }
        debug_assert!(!new || self.ids.len() == self.schemas.list().len());
        State {
            manifests,
            totals: Some(state.totals),
            schema: Some(schema),
            marks,
            whole: true,
        }
    }

    fn note_python(
        &mut self,
        need: &Need,
        python: &PythonSnapshot,
        findings: &mut Vec<Finding>,
    ) -> State {
        let manifests = python.manifests.iter().map(|path| {
            let (at, new) = self.manifests.add(path, None, need.version, findings);
            if new {
                self.said.push(None);
            }
            at
        });
        State {
            manifests: manifests.collect(),
            totals: None,
            schema: None,
            marks: false,
            whole: true,
        }
    }

    /// Of each manifest, which of the states list it.
    pub(super) fn listed_by(&self) -> Vec<Vec<usize>> {
        let mut lists: Vec<Vec<usize>> = vec![Vec::new(); self.manifests.list().len()];
        for (number, state) in self.states.iter().enumerate() {
            for at in &state.manifests {
                if let Some(list) = lists.get_mut(*at)
                    && list.last() != Some(&number)
                {
                    list.push(number);
                }
            }
        }
        lists
    }

    async fn read_schemas(&mut self, objects: &Objects, findings: &mut Vec<Finding>) {
        let named = self.schemas.list().zip(self.ids.iter().copied());
        let mut reads = futures::stream::iter(named)
            .map(|(need, ids)| async move {
                let read = schema(objects, &need, ids).await;
                (need, read)
            })
            .buffered(PARALLEL);
        let mut broken = Vec::new();
        let mut by_id = HashMap::new();
        while let Some((need, read)) = reads.next().await {
            broken.push(read.is_err());
            match read {
                Ok(schema) => drop(by_id.insert(schema.id, Arc::new(schema))),
                Err(error) => findings.push(Finding::unreadable(&need.path, need.version, &error)),
            }
        }
        drop(reads);
        self.by_id = by_id;
        for state in &mut self.states {
            let is_broken = |at: usize| broken.get(at).copied().unwrap_or_default();
            state.whole &= !state.schema.is_some_and(is_broken);
        }
    }

    /// What says what a version changed is for writers who lost a race: no reader needs it.
    async fn changes(&self, objects: &Objects, chain: &Chain, findings: &mut Vec<Finding>) {
        let alone = (chain.changes.list()).filter(|need| !self.manifests.has(&need.path));
        let mut reads = futures::stream::iter(alone)
            .map(|need| async move {
                let bytes = need.read(objects).await;
                let parsed = bytes.and_then(|bytes| Manifest::parse(&need.path, &bytes, false));
                (need, parsed.map(drop))
            })
            .buffered(PARALLEL);
        while let Some((need, read)) = reads.next().await {
            if let Err(error) = read {
                let action = "No rows are lost. Restore it from a copy, so that a statement that lost a race \
                              to this version can tell what that changed.";
                findings.push(Finding::warning(
                    &need.path,
                    need.version,
                    error.to_string(),
                    action,
                ));
            }
        }
    }
}

async fn schema(objects: &Objects, need: &Need, (id, next): (u32, i32)) -> Result<TableSchema> {
    let bytes = need.read(objects).await?;
    let (path, schema) = (&need.path, TableSchema::parse(&need.path, &bytes)?);
    if schema.id != id {
        return Err(Error::damaged(format!(
            "{path} holds schema {}, not {id}",
            schema.id
        )));
    }
    if schema.largest_id() >= next {
        return Err(Error::damaged(format!(
            "{path} uses field id {}, which its snapshot holds for unused",
            schema.largest_id()
        )));
    }
    schema.to_arrow().map_err(|error| error.context(path))?;
    Ok(schema)
}

/// The objects that hold tags, and whether the tags of the newest version name versions that can be
/// read.
async fn refs(objects: &Objects, chain: &Chain, findings: &mut Vec<Finding>) {
    let newest = chain
        .newest
        .as_ref()
        .and_then(|newest| match &newest.record {
            Record::Live(live) => live.refs.as_ref(),
            _ => None,
        });
    let mut reads = futures::stream::iter(chain.refs.list())
        .map(|need| async move {
            let bytes = need.read(objects).await;
            let refs = bytes.and_then(|bytes| RefsFile::parse(&need.path, &bytes));
            (need, refs)
        })
        .buffered(PARALLEL);
    while let Some((need, read)) = reads.next().await {
        match read {
            Ok(refs) if newest.is_some_and(|newest| newest.path == need.path) => {
                tags(chain, &need, refs, findings);
            }
            Ok(_) => {}
            Err(error) => findings.push(Finding::unreadable(&need.path, need.version, &error)),
        }
    }
}

fn tags(chain: &Chain, need: &Need, refs: RefsFile, findings: &mut Vec<Finding>) {
    for (name, tag) in refs.tags {
        let (name, version) = (name.escape_debug().to_string(), tag.version);
        let wrong = match chain.readable.get(&version) {
            None => format!("the tag '{name}' names version {version}, which cannot be read"),
            Some(txn) if *txn != tag.txn => {
                format!(
                    "the tag '{name}' is of another version {version} than the one that is there"
                )
            }
            Some(_) => continue,
        };
        let action = match in_ranges(&chain.expired, version) {
            // A repair gave it up: a record that is put back is read by nobody.
            true => format!("Remove the tag with atio_untag('t', tag => '{name}')."),
            false => format!(
                "Restore {} from a copy, or remove the tag with atio_untag('t', tag => '{name}').",
                layout::record(version)
            ),
        };
        findings.push(Finding::error(&need.path, need.version, wrong, action));
    }
}
