//! How many bytes of metadata each commit of a table wrote, told by the files that it left.
//!
//! Objects carry the id of their transaction in their name and records name theirs, so it can be
//! told when all is done. The version that created the table is left out, data files are too.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// What one transaction wrote.
#[derive(Clone, Copy, Default)]
pub(crate) struct CommitBytes {
    /// Its record, snapshot, and the manifests of what it adds; the pointer and the marker.
    pub(crate) own: u64,
    /// Manifests that stand for older ones, staged beside the data.
    pub(crate) merged: u64,
}

/// What the commits of a table wrote, in no particular order.
pub(crate) struct MetadataBytes {
    pub(crate) commits: Vec<CommitBytes>,
}

impl MetadataBytes {
    /// Reads the sizes of everything under `metadata/` of the table at `root`.
    ///
    /// Fails if a file there belongs to no commit: its bytes would be missing in the sums.
    pub(crate) fn read(root: &Path) -> Result<Self, Box<dyn Error>> {
        let replaced_by_each = fs::metadata(root.join("_current_version.json"))?.len()
            + fs::metadata(root.join("_SUCCESS"))?.len();
        let mut commits = HashMap::new();
        let mut creation = None;
        let mut named_by_records = HashSet::new();
        let mut others = Vec::new();
        for entry in fs::read_dir(root.join("metadata"))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let size = entry.metadata()?.len();
            if !name.ends_with(".metadata.json") {
                others.push((name, size));
                continue;
            }
            let record: Value = serde_json::from_slice(&fs::read(entry.path())?)?;
            let text = record["txn"].as_str();
            let transaction = text.ok_or(format!("{name} names no transaction"))?;
            if record["version_id"] == 0 {
                creation = Some(transaction.to_owned());
            } else {
                let own = size + replaced_by_each;
                commits.insert(transaction.to_owned(), CommitBytes { own, merged: 0 });
            }
            let added = record["changes"]["added"].as_array().into_iter().flatten();
            let paths = added.filter_map(|manifest| manifest["path"].as_str());
            named_by_records.extend(paths.map(str::to_owned));
        }
        for (name, size) in others {
            let transaction = transaction_in(&name);
            let transaction = transaction.ok_or(format!("{name} names no transaction"))?;
            if creation.as_deref() == Some(transaction) {
                continue;
            }
            let commit = commits.get_mut(transaction);
            let commit = commit.ok_or(format!("{name} belongs to no commit"))?;
            let merged = name.starts_with("manifest-")
                && !named_by_records.contains(&format!("metadata/{name}"));
            *(if merged {
                &mut commit.merged
            } else {
                &mut commit.own
            }) += size;
        }
        Ok(Self {
            commits: commits.into_values().collect(),
        })
    }
}

/// Returns the transaction id inside a name such as `manifest-<txn>-0.json`.
fn transaction_in(name: &str) -> Option<&str> {
    name.split(['-', '.'])
        .find(|part| part.len() == 32 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
