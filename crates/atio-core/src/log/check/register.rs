//! What manifests list: each data file, and each object of deletion vectors, once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::finding::{Finding, RESTORE};
use super::needed::Need;
use crate::error::Result;
use crate::format::{Checksum, FileEntry, Manifest, Totals, VectorRef, Version};

/// What is known of one manifest.
#[derive(Default)]
pub(super) struct Checked {
    /// It is damaged, or something that it lists is.
    pub(super) broken: bool,
    /// The sums of what it lists; None if it does not tell.
    pub(super) totals: Option<Totals>,
}

/// What is known of all manifests in the end.
pub(super) struct LookedAt {
    pub(super) manifests: Vec<Checked>,
    /// By the numbers of snapshots, a data file that two manifests of the snapshot list.
    pub(super) twice: BTreeMap<usize, String>,
}

/// Something that is to be looked at.
pub(super) struct Job {
    /// The number of the object.
    pub(super) object: usize,
    pub(super) manifest: Arc<Manifest>,
    pub(super) version: Version,
    pub(super) what: What,
}

/// Files by their places in the manifest.
pub(super) enum What {
    DataFile(usize),
    /// The deletion vectors of these, which are in one object.
    Vectors(Vec<usize>),
}

/// What is known of one object.
#[derive(Default)]
struct Known {
    is_data_file: bool,
    size: Option<u64>,
    rows: Option<u64>,
    checksum: Option<Checksum>,
    /// Those that list it, in order.
    manifests: Vec<usize>,
}

/// A deletion vector of a data file; both are objects by their numbers.
#[derive(PartialEq, Eq, Hash)]
struct Vector {
    file: Option<usize>,
    object: usize,
    offset: u64,
    size: u64,
    checksum: Checksum,
    rows: u64,
}

/// All that was listed so far.
#[derive(Default)]
pub(super) struct Register {
    checked: Vec<Checked>,
    objects: Vec<Known>,
    by_path: HashMap<String, usize>,
    vectors: HashSet<Vector>,
    findings: Vec<Finding>,
}

impl Register {
    /// Notes what the manifest with this number lists, and gives what none before it did.
    pub(super) fn note(&mut self, at: usize, need: &Need, loaded: Result<Manifest>) -> Vec<Job> {
        self.checked.push(Checked::default());
        let manifest = match loaded {
            Ok(manifest) => Arc::new(manifest),
            Err(error) => {
                self.wrong(at, Finding::unreadable(&need.path, need.version, &error));
                return Vec::new();
            }
        };
        if let Some(checked) = self.checked.get_mut(at) {
            checked.totals = manifest.totals().ok();
        }
        let mut new = Vec::new();
        for (number, entry) in manifest.files.iter().enumerate() {
            if let Some(file) = self.note_file(at, need, entry) {
                new.push((file, What::DataFile(number)));
            }
        }
        let vectors = self.note_vectors(at, &manifest).into_iter();
        new.extend(vectors.map(|(object, files)| (object, What::Vectors(files))));
        let job = |(object, what)| Job {
            object,
            manifest: Arc::clone(&manifest),
            version: need.version,
            what,
        };
        new.into_iter().map(job).collect()
    }

    fn wrong(&mut self, at: usize, finding: Finding) {
        if let Some(checked) = self.checked.get_mut(at) {
            checked.broken = true;
        }
        self.findings.push(finding);
    }

    /// The number of a file that is listed for the first time.
    fn note_file(&mut self, at: usize, need: &Need, entry: &FileEntry) -> Option<usize> {
        let path = &entry.path;
        let Some(file) = self.by_path.get(path).copied() else {
            self.by_path.insert(path.clone(), self.objects.len());
            self.objects.push(Known {
                is_data_file: true,
                size: entry.size,
                rows: entry.rows,
                checksum: entry.checksum,
                manifests: vec![at],
            });
            return Some(self.objects.len() - 1);
        };
        let known = self.objects.get_mut(file)?;
        if known.manifests.last() == Some(&at) {
            let finding = format!("{} lists {path} twice", need.path);
            self.wrong(
                at,
                Finding::error(&need.path, need.version, finding, RESTORE),
            );
            return None;
        }
        known.manifests.push(at);
        let differs = differ(known.size, entry.size)
            || differ(known.rows, entry.rows)
            || differ(known.checksum, entry.checksum);
        if differs {
            let finding = format!(
                "{} says another size, row count or checksum of {path} than a newer manifest",
                need.path
            );
            self.wrong(
                at,
                Finding::error(&need.path, need.version, finding, RESTORE),
            );
        }
        None
    }

    /// The files of the manifest whose deletion vectors are listed for the first time, by the numbers
    /// of the objects that hold these.
    fn note_vectors(&mut self, at: usize, manifest: &Manifest) -> BTreeMap<usize, Vec<usize>> {
        let mut new: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (number, entry) in manifest.files.iter().enumerate() {
            let Some(named) = &entry.dv else {
                continue;
            };
            let object = self.note_object(at, &named.path);
            let VectorRef {
                path: _,
                offset,
                size,
                checksum,
                rows,
            } = *named;
            let vector = Vector {
                file: self.by_path.get(&entry.path).copied(),
                object,
                offset,
                size,
                checksum,
                rows,
            };
            if self.vectors.insert(vector) {
                new.entry(object).or_default().push(number);
            }
        }
        new
    }

    /// The number of an object of deletion vectors.
    fn note_object(&mut self, at: usize, path: &str) -> usize {
        let number = match self.by_path.get(path) {
            Some(number) => *number,
            None => {
                self.by_path.insert(path.to_owned(), self.objects.len());
                self.objects.push(Known::default());
                self.objects.len() - 1
            }
        };
        if let Some(known) = self.objects.get_mut(number)
            && known.manifests.last() != Some(&at)
        {
            known.manifests.push(at);
        }
        number
    }

    /// What is known once everything was looked at: `broken` are the objects that are damaged, and
    /// `listed_by` says of each manifest which snapshots list it.
    pub(super) fn end(
        mut self,
        broken: &BTreeSet<usize>,
        listed_by: &[Vec<usize>],
        findings: &mut Vec<Finding>,
    ) -> LookedAt {
        let broken = broken.iter().filter_map(|object| self.objects.get(*object));
        for manifest in broken.flat_map(|object| &object.manifests) {
            if let Some(checked) = self.checked.get_mut(*manifest) {
                checked.broken = true;
            }
        }
        findings.append(&mut self.findings);
        LookedAt {
            twice: self.twice(listed_by),
            manifests: self.checked,
        }
    }

    fn twice(&self, listed_by: &[Vec<usize>]) -> BTreeMap<usize, String> {
        let mut twice: BTreeMap<usize, String> = BTreeMap::new();
        for (path, number) in &self.by_path {
            let known = self.objects.get(*number);
            let Some(known) = known.filter(|known| known.is_data_file) else {
                continue;
            };
            for snapshot in snapshots_with_two(&known.manifests, listed_by) {
                let first = twice.entry(snapshot).or_insert_with(|| path.clone());
                if *path < *first {
                    first.clone_from(path);
                }
            }
        }
        twice
    }
}

/// The snapshots that list two of the manifests.
fn snapshots_with_two(manifests: &[usize], listed_by: &[Vec<usize>]) -> Vec<usize> {
    let lists = manifests.iter().filter_map(|at| listed_by.get(*at));
    let lists: Vec<_> = lists.collect();
    // Nearly always one manifest takes the place of another: then nothing more is to be compared.
    let spans = lists.iter();
    let spans = spans.filter_map(|list| Some((*list.first()?, *list.last()?)));
    let mut spans: Vec<_> = spans.collect();
    spans.sort_unstable();
    if spans.windows(2).all(|two| two[0].1 < two[1].0) {
        return Vec::new();
    }
    let mut snapshots: Vec<usize> = lists.into_iter().flatten().copied().collect();
    snapshots.sort_unstable();
    let mut twice: Vec<_> = (snapshots.windows(2))
        .filter(|two| two[0] == two[1])
        .map(|two| two[0])
        .collect();
    twice.dedup();
    twice
}

/// What Python did not write down differs from nothing.
pub(super) fn differ<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one != other)
}

#[cfg(test)]
mod tests {
    use super::snapshots_with_two;

    #[test]
    fn manifests_are_together_only_where_one_snapshot_lists_both() {
        // Manifest 0 is in the newest snapshots, and in one that came back; 1 is between; 2 meets 0.
        let listed_by = [vec![0, 1, 5], vec![2, 3], vec![1, 4, 5], vec![6]];
        let none: [usize; 0] = [];
        assert_eq!(snapshots_with_two(&[0], &listed_by), none);
        assert_eq!(snapshots_with_two(&[0, 1], &listed_by), none);
        assert_eq!(snapshots_with_two(&[0, 3], &listed_by), none);
        assert_eq!(snapshots_with_two(&[0, 2], &listed_by), [1, 5]);
        assert_eq!(snapshots_with_two(&[0, 1, 2, 3], &listed_by), [1, 5]);
    }
}
