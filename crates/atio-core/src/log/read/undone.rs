//! The difference of two lists of files, as if nothing between them had been compacted.
//!
//! A compaction moves rows: the files that it made have the rows of those that it replaced. So in the
//! later list each may stand for the other, and where the replaced ones are in the earlier list, they
//! are in both.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::format::{FileEntry, Manifest, Version};
use crate::log::read::difference::{Difference, alone, difference};

/// A difference without what was compacted.
pub(super) struct Undone {
    pub(super) difference: Difference,
    /// By the paths of files that neither list has, a version that lists them.
    pub(super) listed_by: BTreeMap<String, Version>,
}

/// `found` without what `compactions` moved, each a version and its files, of which the last comes
/// first; None if there are no fewer rows in it then.
///
/// Each of them was made on the way between the two lists, and reads the columns of the later one.
pub(super) fn without_compactions(
    found: &Difference,
    compactions: &[(Version, Difference)],
) -> Option<Undone> {
    let was = found.relisted.iter().map(|file| &file.was);
    let is = found.relisted.iter().map(|file| &file.is);
    let mut below = Files::of(found.went.iter().chain(was));
    let mut above = Files::of(found.came.iter().chain(is));
    let mut undone = false;
    let mut listed_by = BTreeMap::new();
    for (version, compaction) in compactions {
        if let Some(gone) = undo(compaction, &mut below, &mut above) {
            undone = true;
            let last = version.previous().unwrap_or(*version);
            let between = gone.into_iter().filter(|path| !below.has(path));
            listed_by.extend(between.map(|path| (path, last)));
        }
    }
    let difference = undone.then(|| difference(&below.lists(), &above.lists()))?;
    let undone = Undone {
        difference,
        listed_by,
    };
    (rows(&undone.difference) < rows(found)).then_some(undone)
}

/// Files by their paths.
struct Files(BTreeMap<String, Listed>);

/// The place of a file in a list.
#[derive(Clone)]
struct Listed {
    by: Arc<Manifest>,
    at: usize,
}

impl Listed {
    fn file(&self) -> &FileEntry {
        &self.by.files[self.at]
    }
}

impl Files {
    fn of<'a>(lists: impl Iterator<Item = &'a Arc<Manifest>>) -> Self {
        let files = lists.flat_map(|by| {
            by.files.iter().enumerate().map(|(at, file)| {
                let by = Arc::clone(by);
                (file.path.clone(), Listed { by, at })
            })
        });
        Self(files.collect())
    }

    fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    /// Each file in a list of its own.
    fn lists(&self) -> Vec<Arc<Manifest>> {
        let lists = self.0.values();
        lists
            .map(|listed| alone(&listed.by, listed.file().clone()))
            .collect()
    }
}

/// Puts the files that were compacted, whose paths it gives, in the place of those that came of it. None
/// if not all of these are there any more.
fn undo(compaction: &Difference, below: &mut Files, above: &mut Files) -> Option<Vec<String>> {
    let (gone, made) = (
        Files::of(compaction.went.iter()),
        Files::of(compaction.came.iter()),
    );
    let is_there = |path: &String| above.has(path) && !below.has(path);
    let is_whole = compaction.relisted.is_empty()
        && made.0.keys().all(is_there)
        && !gone.0.keys().any(|path| above.has(path));
    if !is_whole {
        return None;
    }
    for (path, listed) in made.0 {
        let is = above.0.get(&path).map(Listed::file);
        match is.is_some_and(|is| is.dv == listed.file().dv) {
            true => {
                above.0.remove(&path);
            }
            // Those of its rows went that were marked since.
            false => {
                below.0.insert(path, listed);
            }
        }
    }
    let paths = gone.0.keys().cloned().collect();
    above.0.extend(gone.0);
    Some(paths)
}

/// How many rows came and went.
fn rows(of: &Difference) -> u64 {
    let files = of.came.iter().chain(&of.went);
    let files = files.flat_map(|manifest| &manifest.files);
    let whole: u64 = files.filter_map(|file| file.live_rows().ok()).sum();
    let marked = |manifest: &Manifest| -> u64 {
        let files = manifest.files.iter();
        files.map(FileEntry::marked_rows).sum()
    };
    let relisted = of.relisted.iter();
    let relisted = relisted.map(|file| marked(&file.is).abs_diff(marked(&file.was)));
    whole + relisted.sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::read::difference::tests::{list, paths};

    type Listing<'a> = &'a [(&'a str, u64)];

    /// The files that came, that went, and that are listed with other marks; each with its marks.
    fn left(
        below: Listing<'_>,
        above: Listing<'_>,
        compactions: &[(Listing<'_>, Listing<'_>)],
    ) -> String {
        let between =
            |(below, above): (Listing<'_>, Listing<'_>)| difference(&[list(below)], &[list(above)]);
        let compactions = (1..).zip(compactions).map(|(version, one)| {
            let version = Version::new(version).unwrap();
            (version, between(*one))
        });
        let mut compactions: Vec<_> = compactions.collect();
        compactions.reverse();
        let Some(left) = without_compactions(&between((below, above)), &compactions) else {
            return "all".to_owned();
        };
        let listed = left.listed_by.iter();
        let listed = listed.map(|(path, version)| format!(", {path} in {version}"));
        let listed: String = listed.collect();
        let left = left.difference;
        let relisted = left.relisted.iter().map(|file| {
            let (was, is) = (&file.was.files[0], &file.is.files[0]);
            format!("{} {}-{}", is.path, was.marked_rows(), is.marked_rows())
        });
        let relisted: Vec<_> = relisted.collect();
        format!(
            "+{:?} -{:?} {relisted:?}{listed}",
            paths(&left.came),
            paths(&left.went)
        )
    }

    #[test]
    fn what_was_compacted_has_only_moved() {
        let (a_b, c) = ([("a", 0), ("b", 0)], [("c", 0)]);
        assert_eq!(left(&a_b, &c, &[(&a_b, &c)]), "+[] -[] []");
        // What came before it, and after it
        let all = [("a", 0), ("b", 0), ("x", 0)];
        let later = [("c", 0), ("y", 0)];
        assert_eq!(
            left(&a_b, &later, &[(&all, &c)]),
            "+[\"x\", \"y\"] -[] [], x in 0"
        );
        // One after another
        let both = [("c", 0), ("y", 0)];
        let chain = [(&a_b[..], &c[..]), (&both, &[("d", 0)])];
        assert_eq!(
            left(&a_b, &[("d", 0)], &chain),
            "+[\"y\"] -[] [], c in 1, y in 1"
        );
    }

    #[test]
    fn rows_that_were_marked_before_or_after_it_went() {
        let (a, c) = ([("a", 0)], [("c", 0)]);
        assert_eq!(left(&a, &c, &[(&[("a", 2)], &c)]), "+[] -[] [\"a 0-2\"]");
        let marked = [("c", 3)];
        assert_eq!(left(&a, &marked, &[(&a, &c)]), "+[] -[] [\"c 0-3\"]");
    }

    #[test]
    fn what_is_not_there_any_more_is_not_undone() {
        let (a, c) = ([("a", 0)], [("c", 0)]);
        assert_eq!(left(&a, &[("d", 0)], &[(&a, &c)]), "all");
        let two = [("c", 0), ("d", 0)];
        assert_eq!(left(&a, &c, &[(&a, &two)]), "all");
        // It would be no less.
        assert_eq!(left(&[], &c, &[(&a, &c)]), "all");
        assert_eq!(left(&a, &c, &[]), "all");
    }
}
