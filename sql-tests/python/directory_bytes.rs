//! A directory as bytes, to prove what a statement left alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Every path below a directory; a file with its content.
pub(super) struct Tree(BTreeMap<String, Option<Vec<u8>>>);

impl Tree {
    pub(super) fn of(root: &Path) -> Self {
        let mut entries = BTreeMap::new();
        let mut pending = vec![root.to_path_buf()];
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                let content = if path.is_dir() {
                    pending.push(path.clone());
                    None
                } else {
                    Some(fs::read(&path).unwrap())
                };
                entries.insert(name.to_owned(), content);
            }
        }
        assert!(!entries.is_empty(), "{root:?} is empty: nothing to compare");
        Self(entries)
    }

    /// Passes if `after` is the same tree, to the byte.
    #[track_caller]
    pub(super) fn assert_same(&self, after: &Self, what: &str) {
        self.assert_kept(after, &[], what);
        let added: Vec<_> = after
            .0
            .keys()
            .filter(|path| !self.0.contains_key(*path))
            .collect();
        assert!(added.is_empty(), "{what} made {added:?}");
    }

    /// Passes if everything but the paths in `except` is still in `after` as it was.
    #[track_caller]
    pub(super) fn assert_kept(&self, after: &Self, except: &[&str], what: &str) {
        let changed: Vec<_> = self
            .0
            .iter()
            .filter(|(path, _)| !except.contains(&path.as_str()))
            .filter(|(path, content)| after.0.get(*path) != Some(content))
            .map(|(path, _)| path)
            .collect();
        assert!(changed.is_empty(), "{what} changed or removed {changed:?}");
    }
}
