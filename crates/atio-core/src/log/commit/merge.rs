//! Merged manifests: prepared beside the writing of data, used only if nothing they stand
//! for has changed since (A8).

use bytes::Bytes;

use crate::error::Result;
use crate::format::{Manifest, ManifestRef, layout, merge};
use crate::log::commit::transaction::Transaction;
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;

/// A staged manifest and the ones that it can stand for.
#[derive(Debug)]
pub struct StagedMerge {
    inputs: Vec<ManifestRef>,
    output: ManifestRef,
}

/// Stages the merges that the list of `base` is due for.
pub(in crate::log) async fn stage(
    table: &Table,
    txn: &Transaction,
    base: &Snapshot,
) -> Result<Vec<StagedMerge>> {
    // Python's manifests are taken over by the commit itself.
    let listed = match base.python {
        Some(_) => &[],
        None => base.state.manifests.as_slice(),
    };
    let mut staged = Vec::new();
    for group in merge::plan(listed) {
        let inputs: Vec<_> = group.into_iter().map(|at| listed[at].clone()).collect();
        let manifests = match table.load_manifests(&inputs).await {
            Ok(manifests) => manifests,
            Err(error) => {
                // Whoever reads it is told; an append has no need of it.
                ::log::warn!("manifests of '{}' are not merged: {error}", table.name());
                continue;
            }
        };
        let merged = Manifest::merge(&manifests);
        let output = stage_manifest(txn, &merged).await?;
        table.keep_manifest(&output, merged);
        staged.push(StagedMerge { inputs, output });
    }
    Ok(staged)
}

/// Writes `manifest` under a fresh name of the transaction.
pub(in crate::log) async fn stage_manifest(
    txn: &Transaction,
    manifest: &Manifest,
) -> Result<ManifestRef> {
    let (named, bytes) = name_manifest(txn, manifest)?;
    txn.stage(named.object.path.clone(), bytes).await?;
    Ok(named)
}

/// Gives `manifest` a fresh name of the transaction, under which these bytes are to be staged.
pub(in crate::log) fn name_manifest(
    txn: &Transaction,
    manifest: &Manifest,
) -> Result<(ManifestRef, Bytes)> {
    let bytes = manifest.to_bytes()?;
    let path = layout::manifest(txn.id(), txn.seq());
    let named = ManifestRef::of(path, &bytes, manifest)?;
    Ok((named, bytes.into()))
}

/// The merges that `listed` does not list.
pub(in crate::log) fn unlisted(merges: &[StagedMerge], listed: &[ManifestRef]) -> Vec<String> {
    let unlisted = merges
        .iter()
        .filter(|merge| !listed.contains(&merge.output));
    unlisted
        .map(|merge| merge.output.object.path.clone())
        .collect()
}

/// Puts each merge whose inputs are all listed in their place.
pub(in crate::log) fn apply(merges: &[StagedMerge], listed: &mut Vec<ManifestRef>) {
    for merge in merges {
        if !merge.inputs.iter().all(|input| listed.contains(input)) {
            continue;
        }
        let mut output = Some(merge.output.clone());
        *listed = std::mem::take(listed)
            .into_iter()
            .filter_map(|manifest| match merge.inputs.contains(&manifest) {
                true => output.take(),
                false => Some(manifest),
            })
            .collect();
    }
}
