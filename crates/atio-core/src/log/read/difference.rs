//! What two lists of files do not have in common.

use std::collections::HashMap;
use std::sync::Arc;

use crate::format::{FileEntry, Manifest};

/// What two lists of files do not have in common.
#[derive(Default)]
pub(super) struct Difference {
    pub(super) came: Vec<Arc<Manifest>>,
    pub(super) went: Vec<Arc<Manifest>>,
    pub(super) relisted: Vec<Relisted>,
}

/// A file that is in both, with other deletion vectors.
pub(super) struct Relisted {
    pub(super) was: Arc<Manifest>,
    pub(super) is: Arc<Manifest>,
}

/// Compares two lists of files, by paths and deletion vectors.
pub(super) fn difference(below: &[Arc<Manifest>], above: &[Arc<Manifest>]) -> Difference {
    let (was, is) = (by_path(below), by_path(above));
    let mut relisted = Vec::new();
    for (path, (manifest, file)) in &is {
        if let Some((_, old)) = was.get(path)
            && old.dv != file.dv
        {
            let listing = |dv: &FileEntry| {
                let dv = dv.dv.clone();
                let file = FileEntry {
                    dv,
                    ..FileEntry::clone(file)
                };
                alone(manifest, file)
            };
            relisted.push(Relisted {
                was: listing(old),
                is: listing(file),
            });
        }
    }
    // A map has no order, and who asks again gets the same.
    relisted.sort_by(|a, b| path_of(&a.is).cmp(path_of(&b.is)));
    Difference {
        came: without(above, &was),
        went: without(below, &is),
        relisted,
    }
}

/// A list of this file alone, which `manifest` lists.
pub(super) fn alone(manifest: &Manifest, file: FileEntry) -> Arc<Manifest> {
    let ids = manifest.stats_ids.clone();
    Arc::new(Manifest::new(manifest.schema, ids, vec![file]))
}

type ByPath<'a> = HashMap<&'a str, (&'a Manifest, &'a FileEntry)>;

fn by_path(manifests: &[Arc<Manifest>]) -> ByPath<'_> {
    let files = manifests.iter().flat_map(|manifest| {
        let files = manifest.files.iter();
        files.map(|file| (file.path.as_str(), (manifest.as_ref(), file)))
    });
    files.collect()
}

fn path_of(manifest: &Manifest) -> &str {
    manifest.files.first().map_or("", |file| &file.path)
}

/// The manifests with the files alone whose paths are not in `others`.
fn without(manifests: &[Arc<Manifest>], others: &ByPath<'_>) -> Vec<Arc<Manifest>> {
    let is_other = |file: &&FileEntry| !others.contains_key(file.path.as_str());
    let rest = manifests.iter().filter_map(|manifest| {
        let files: Vec<_> = manifest.files.iter().filter(is_other).cloned().collect();
        match files.len() {
            0 => None,
            all if all == manifest.files.len() => Some(Arc::clone(manifest)),
            _ => {
                let ids = manifest.stats_ids.clone();
                Some(Arc::new(Manifest::new(manifest.schema, ids, files)))
            }
        }
    });
    rest.collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::format::{Checksum, VectorRef};

    fn file(path: &str, marked: u64) -> FileEntry {
        let dv = (marked > 0).then(|| VectorRef {
            path: format!("data/{marked}.dv"),
            offset: 0,
            size: 1,
            checksum: Checksum::of(b""),
            rows: marked,
        });
        FileEntry {
            path: path.to_owned(),
            format: "parquet".to_owned(),
            size: Some(1),
            rows: Some(10),
            checksum: None,
            dv,
            stats: Vec::new(),
            column_bytes: Vec::new(),
        }
    }

    pub(in crate::log::read) fn list(files: &[(&str, u64)]) -> Arc<Manifest> {
        let files = files.iter().map(|(path, marked)| file(path, *marked));
        Arc::new(Manifest::new(1, Vec::new(), files.collect()))
    }

    pub(in crate::log::read) fn paths(manifests: &[Arc<Manifest>]) -> Vec<&str> {
        let files = manifests.iter().flat_map(|manifest| &manifest.files);
        files.map(|file| file.path.as_str()).collect()
    }

    #[test]
    fn files_come_go_or_are_listed_with_another_vector() {
        let below = [list(&[("a", 0), ("b", 1)]), list(&[("c", 2)])];
        let above = [list(&[("b", 1), ("d", 0)]), list(&[("c", 3)])];
        let found = difference(&below, &above);
        assert_eq!(paths(&found.came), ["d"]);
        assert_eq!(paths(&found.went), ["a"]);
        let vectors: Vec<_> = (found.relisted.iter())
            .map(|file| {
                (
                    file.was.files[0].marked_rows(),
                    file.is.files[0].marked_rows(),
                )
            })
            .collect();
        assert_eq!(vectors, [(2, 3)]);
    }

    #[test]
    fn one_version_has_no_difference_from_itself() {
        let same = [list(&[("a", 0), ("b", 1)])];
        let found = difference(&same, &same);
        assert!(found.came.is_empty() && found.went.is_empty() && found.relisted.is_empty());
    }
}
