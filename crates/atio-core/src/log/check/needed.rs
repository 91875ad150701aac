//! The objects that readable versions name, each once.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::finding::{Finding, RESTORE};
use crate::error::Result;
use crate::format::{Checksum, ObjectRef, Version};
use crate::storage::Objects;

/// An object that a version needs.
pub(super) struct Need {
    pub(super) path: String,
    /// Its size and checksum; None where Python named it, which says neither.
    pub(super) written: Option<(u64, Checksum)>,
    /// The newest version that needs it.
    pub(super) version: Version,
}

impl Need {
    /// Its bytes, if they are those that were written.
    pub(super) async fn read(&self, objects: &Objects) -> Result<Bytes> {
        let bytes = objects.get_named(&self.path).await?;
        if let Some((size, checksum)) = self.written {
            let object = ObjectRef {
                path: self.path.clone(),
                size,
                checksum,
            };
            object.verify(&bytes)?;
        }
        Ok(bytes)
    }
}

/// Objects of one kind, in the order in which they were named first: from the newest version down.
#[derive(Default)]
pub(super) struct Needed {
    list: Vec<Arc<Need>>,
    known: HashMap<String, usize>,
}

impl Needed {
    pub(super) fn list(&self) -> impl ExactSizeIterator<Item = Arc<Need>> {
        self.list.iter().map(Arc::clone)
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.known.contains_key(path)
    }

    /// Notes that `version` needs the object, and gives its number, and whether it is new. Names that
    /// disagree are a finding.
    pub(super) fn add(
        &mut self,
        path: &str,
        written: Option<(u64, Checksum)>,
        version: Version,
        findings: &mut Vec<Finding>,
    ) -> (usize, bool) {
        if let Some(at) = self.known.get(path) {
            let first = &self.list[*at];
            if first.written != written {
                let finding = format!(
                    "{path} is named by version {version} with another size or checksum than by version {}",
                    first.version
                );
                findings.push(Finding::error(path, first.version, finding, RESTORE));
            }
            return (*at, false);
        }
        let at = self.list.len();
        self.known.insert(path.to_owned(), at);
        self.list.push(Arc::new(Need {
            path: path.to_owned(),
            written,
            version,
        }));
        (at, true)
    }

    /// The same of an object that atio wrote.
    pub(super) fn add_object(
        &mut self,
        object: &ObjectRef,
        version: Version,
        findings: &mut Vec<Finding>,
    ) -> (usize, bool) {
        let written = Some((object.size, object.checksum));
        self.add(&object.path, written, version, findings)
    }
}
