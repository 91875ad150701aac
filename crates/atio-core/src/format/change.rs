//! What a version changes of the one below it: as data.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::record::StoredRecord;
use super::{DeletionVector, FileEntry, Manifest, Operation, Reads};

/// Data files, as far as it is known which.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Files {
    /// None.
    #[default]
    None,
    /// These, by path.
    These(BTreeSet<String>),
    /// Some, and it is not known which.
    Some,
    /// All that the version below has.
    All,
}

impl Files {
    /// True if there are none.
    pub fn is_none(&self) -> bool {
        *self == Files::None
    }

    /// True if one of `paths` may be among them.
    pub fn may_have<'a>(&self, paths: impl IntoIterator<Item = &'a String>) -> bool {
        let mut paths = paths.into_iter();
        match self {
            Files::None => false,
            Files::These(these) => paths.any(|path| these.contains(path)),
            Files::Some | Files::All => paths.next().is_some(),
        }
    }
}

/// Rows that are marked as deleted, in files that stay, by their paths.
pub type Marks = BTreeMap<String, MarkedRows>;

/// Rows of one file that are marked as deleted, as far as it is known which.
#[derive(Debug, Clone, PartialEq)]
pub enum MarkedRows {
    /// These.
    These(Arc<DeletionVector>),
    /// Some, and it is not known which.
    Some,
}

impl MarkedRows {
    /// True if a row may be in both.
    fn may_share_rows(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::These(these), Self::These(others)) => these.shares_rows(others),
            _ => true,
        }
    }
}

/// True if a row may be marked by both.
pub(super) fn may_share_rows(marks: &Marks, others: &Marks) -> bool {
    let mut marks = marks.iter();
    marks.any(|(path, rows)| {
        let others = others.get(path);
        others.is_some_and(|others| rows.may_share_rows(others))
    })
}

/// The entries of a file that a version lists anew because it marks more of its rows.
#[derive(Debug, Clone, Copy)]
pub struct Relisted<'a> {
    /// As the version below lists it.
    pub was: &'a FileEntry,
    pub is: &'a FileEntry,
}

/// The files that are in `removed` and, with a deletion vector, in `added`.
pub fn relisted<'a>(added: &'a [Arc<Manifest>], removed: &'a Manifest) -> Vec<Relisted<'a>> {
    let marked = added.iter().flat_map(|manifest| &manifest.files);
    let marked = marked.filter(|file| file.dv.is_some());
    let marked: BTreeMap<_, _> = marked.map(|file| (file.path.as_str(), file)).collect();
    let removed = removed.files.iter();
    let relisted = removed.filter_map(|was| {
        let is = marked.get(was.path.as_str())?;
        Some(Relisted { was, is })
    });
    relisted.collect()
}

/// Data files with new rows, as far as it is known which.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum NewFiles {
    /// None.
    #[default]
    None,
    /// These, with what is known of their rows.
    These(Vec<Arc<Manifest>>),
    /// Some, and it is not known which.
    Some,
}

impl NewFiles {
    /// True if there are none.
    pub fn is_none(&self) -> bool {
        *self == NewFiles::None
    }

    /// True if `reads` could have selected a row of one of them.
    pub fn may_be_selected(&self, reads: &Reads) -> bool {
        match self {
            NewFiles::None => false,
            NewFiles::These(manifests) => {
                let mut manifests = manifests.iter();
                manifests.any(|manifest| reads.may_select(manifest))
            }
            NewFiles::Some => true,
        }
    }
}

/// What one version changes of the version below it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// Files that it adds with rows that no file has in the version below.
    pub adds: NewFiles,
    /// Files that it removes.
    pub removes: Files,
    /// Rows that it marks as deleted, in files that it does not remove.
    pub marks: Marks,
    /// It adds its rows whatever the version below has.
    pub blind: bool,
    /// The rows are the same before and after: files were only rearranged.
    pub same_rows: bool,
    /// The columns change.
    pub schema: bool,
    /// The options of the table change.
    pub options: bool,
    /// Tags come, go or move.
    pub refs: bool,
    /// The table ends, or another one begins.
    pub ends: bool,
}

impl Change {
    /// What a statement of this kind changes at most.
    pub fn of(operation: &Operation) -> Self {
        let rows = Self {
            adds: NewFiles::Some,
            ..Self::default()
        };
        match operation {
            Operation::Append => Self {
                blind: true,
                ..rows
            },
            Operation::Overwrite => Self {
                removes: Files::All,
                ..rows
            },
            // What it adds are the rows that are left of the files that it removes.
            Operation::Delete => Self {
                removes: Files::Some,
                ..Self::default()
            },
            Operation::Update | Operation::Merge => Self {
                removes: Files::Some,
                ..rows
            },
            Operation::Truncate => Self {
                removes: Files::All,
                ..Self::default()
            },
            // What it adds are the rows of the files that it removes.
            Operation::Compact => Self {
                removes: Files::Some,
                same_rows: true,
                ..rows
            },
            // The columns only where those of the two versions differ.
            Operation::Rollback => Self {
                removes: Files::Some,
                options: true,
                ..rows
            },
            Operation::Schema => Self {
                schema: true,
                ..Self::default()
            },
            Operation::Tag | Operation::Untag => Self {
                refs: true,
                ..Self::default()
            },
            // A repair has the rows of the version that it goes on from: lost versions stand against
            // whoever began before them.
            Operation::Expire | Operation::Repair => Self::default(),
            Operation::Create | Operation::Drop => Self {
                ends: true,
                ..Self::default()
            },
            Operation::Other(word) if word == "resolve" => Self::default(),
            // Of a newer release: it may have changed everything but the columns, which tell.
            Operation::Other(_) => Self {
                removes: Files::All,
                options: true,
                refs: true,
                ..rows
            },
        }
    }

    /// What the version changed whose record this is, as far as the record tells: whether the
    /// columns did, the schemas of both versions do.
    pub fn of_record(record: &StoredRecord) -> Self {
        match record.table() {
            Some(_) => Self::of(&record.operation()),
            // Of Python.
            None => Self {
                ends: true,
                ..Self::default()
            },
        }
    }

    /// The same with the files that the record names: `added` are the manifests of its `changes`,
    /// `removed` is its list of removed files; None where they were not read.
    ///
    /// What the record counts and they do not have is not known. Of the files that are marked it is known
    /// that they are, and not which of their rows.
    pub fn of_files(
        record: &StoredRecord,
        added: Option<Vec<Arc<Manifest>>>,
        removed: Option<&Manifest>,
    ) -> Self {
        let mut change = Self::of_record(record);
        let count = |manifests: &[Arc<Manifest>]| {
            let files = manifests.iter().map(|manifest| manifest.files.len());
            files.sum::<usize>() as u64
        };
        let added_files = record.added().map(|totals| totals.files);
        let added = added.filter(|added| Some(count(added)) == added_files);
        let removed_files = record.removed().map(|totals| totals.files);
        let removed = removed.filter(|removed| Some(removed.files.len() as u64) == removed_files);
        let marked = match (&added, removed) {
            (Some(added), Some(removed)) if may_mark(&record.operation()) => {
                let relisted = relisted(added, removed).into_iter();
                relisted.map(|file| file.is.path.clone()).collect()
            }
            _ => BTreeSet::new(),
        };
        match (change.adds.is_none(), added) {
            (true, _) => {}
            _ if added_files == Some(0) => change.adds = NewFiles::None,
            (_, Some(added)) => change.adds = NewFiles::These(without(added, &marked)),
            (_, None) => {}
        }
        match (change.removes.is_none(), removed) {
            (true, _) => {}
            _ if removed_files == Some(0) => change.removes = Files::None,
            (_, Some(removed)) => {
                let paths = removed.files.iter().map(|file| &file.path);
                let gone = paths.filter(|path| !marked.contains(*path));
                change.removes = Files::These(gone.cloned().collect());
            }
            (_, None) => {}
        }
        let marks = marked.into_iter().map(|path| (path, MarkedRows::Some));
        change.marks = marks.collect();
        change
    }

    /// True if the version has other rows, columns or options than the one below it.
    pub fn changes_state(&self) -> bool {
        let files = !self.adds.is_none() || !self.removes.is_none() || !self.marks.is_empty();
        (files && !self.same_rows) || self.schema || self.options
    }
}

/// True for a version in which a file that is listed anew has more rows marked than before. After a
/// rollback it has fewer, and what a newer release means by it nobody knows.
fn may_mark(operation: &Operation) -> bool {
    use Operation::{Delete, Merge, Update};
    matches!(operation, Delete | Update | Merge)
}

/// The manifests without the files `marked`, which have no new rows.
fn without(added: Vec<Arc<Manifest>>, marked: &BTreeSet<String>) -> Vec<Arc<Manifest>> {
    let is_marked = |file: &FileEntry| marked.contains(&file.path);
    let added = added.into_iter().map(|manifest| {
        if !manifest.files.iter().any(is_marked) {
            return manifest;
        }
        let mut rest = Manifest::clone(&manifest);
        rest.files.retain(|file| !is_marked(file));
        Arc::new(rest)
    });
    added
        .filter(|manifest| !manifest.files.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::format::checksum::seal;
    use crate::format::{Record, VectorRef, layout, to_json};

    const RECORD: &str = include_str!("../../../../fuzz/seeds/record/everything.json");
    const TOMBSTONE: &str = include_str!("../../../../fuzz/seeds/record/tombstone.json");

    /// The record `file` as one of `operation` that adds and removes so many files.
    fn record(file: &str, operation: &str, added: u64, removed: Option<u64>) -> StoredRecord {
        let totals = |files: u64| json!({"files": files, "rows": 9, "bytes": 9});
        let mut json: Value = serde_json::from_str(file).unwrap();
        let members = json.as_object_mut().unwrap();
        members.remove("checksum");
        members.insert("operation".to_owned(), operation.into());
        members.insert("added".to_owned(), totals(added));
        members.insert("removed".to_owned(), removed.map_or(Value::Null, totals));
        let version = serde_json::from_value(json["version_id"].clone()).unwrap();
        Record::parse(version, &seal(to_json(&json).unwrap()).unwrap()).unwrap()
    }

    fn list(paths: &[&str]) -> Manifest {
        let file = |path: &&str| FileEntry {
            path: (*path).to_owned(),
            format: "parquet".to_owned(),
            size: Some(1),
            rows: Some(1),
            checksum: None,
            stats: Vec::new(),
            dv: None,
            column_bytes: Vec::new(),
        };
        Manifest::new(1, Vec::new(), paths.iter().map(file).collect())
    }

    #[test]
    fn files_that_a_record_names_are_known_if_they_are_as_many_as_it_counts() {
        let added = |paths: &[&str]| Some(vec![Arc::new(list(paths))]);
        let update = record(RECORD, "update", 1, Some(2));
        let change = Change::of_files(&update, added(&["a"]), Some(&list(&["b", "c"])));
        let paths = ["b", "c"].map(str::to_owned);
        assert_eq!(change.removes, Files::These(paths.into()));
        assert_eq!(change.adds, NewFiles::These(added(&["a"]).unwrap()));
        let unknown = Change::of(&Operation::Update);
        let others = Change::of_files(&update, added(&["a", "d"]), Some(&list(&["b"])));
        assert_eq!(others, unknown);
        assert_eq!(Change::of_files(&update, None, None), unknown);
        let overwrite = record(RECORD, "overwrite", 1, Some(2));
        let change = Change::of_files(&overwrite, None, None);
        assert_eq!((change.adds, change.removes), (NewFiles::Some, Files::All));
    }

    /// The same files, of nine rows, of each of which so many are marked.
    fn marked(paths: &[&str], rows: u64) -> Manifest {
        let mut manifest = list(paths);
        for file in &mut manifest.files {
            file.rows = Some(9);
            file.dv = (rows > 0).then(|| VectorRef {
                path: layout::vectors(crate::format::Txn::new(uuid::Uuid::nil()), 0, rows),
                offset: 0,
                size: 1,
                checksum: crate::format::Checksum::of(b""),
                rows,
            });
        }
        manifest
    }

    fn paths(paths: &[&str]) -> Files {
        Files::These(paths.iter().map(|path| (*path).to_owned()).collect())
    }

    /// "b" had no row marked before, and "c" one; "a" is new, and "d" goes.
    #[test]
    fn file_that_is_listed_anew_with_more_rows_marked_neither_comes_nor_goes() {
        let added = vec![Arc::new(list(&["a"])), Arc::new(marked(&["b", "c"], 2))];
        let mut removed = marked(&["b", "d"], 0);
        removed.files.extend(marked(&["c"], 1).files);
        let found = relisted(&added, &removed);
        let found: Vec<_> = found
            .iter()
            .map(|file| {
                let rows = (file.was.marked_rows(), file.is.marked_rows());
                (file.was.path.as_str(), file.is.path.as_str(), rows)
            })
            .collect();
        assert_eq!(found, [("b", "b", (0, 2)), ("c", "c", (1, 2))]);
        let marks: Marks = [("b", MarkedRows::Some), ("c", MarkedRows::Some)]
            .map(|(path, rows)| (path.to_owned(), rows))
            .into();
        for operation in ["delete", "update", "merge"] {
            let record = record(RECORD, operation, 3, Some(3));
            let change = Change::of_files(&record, Some(added.clone()), Some(&removed));
            assert_eq!(change.removes, paths(&["d"]), "{operation}");
            assert_eq!(change.marks, marks, "{operation}");
            let adds = match operation {
                // Its new files have no new rows.
                "delete" => NewFiles::None,
                _ => NewFiles::These(added[..1].to_vec()),
            };
            assert_eq!(change.adds, adds, "{operation}");
            assert!(change.changes_state());
            // Where one of the two lists is not known it may be any of the files.
            let unknown = Change::of_files(&record, None, Some(&removed));
            assert_eq!(unknown.removes, paths(&["b", "c", "d"]), "{operation}");
            assert!(unknown.marks.is_empty(), "{operation}");
            let unknown = Change::of_files(&record, Some(added.clone()), None);
            assert_eq!(unknown.removes, Files::Some, "{operation}");
            assert!(unknown.marks.is_empty(), "{operation}");
        }
    }

    /// After a rollback it may have fewer, and what others mean by it nobody knows.
    #[test]
    fn file_that_another_operation_lists_anew_goes_and_comes() {
        let added = vec![Arc::new(marked(&["b"], 1))];
        let removed = marked(&["b"], 2);
        for operation in ["rollback", "overwrite", "compact", "unheard of"] {
            let record = record(RECORD, operation, 1, Some(1));
            let change = Change::of_files(&record, Some(added.clone()), Some(&removed));
            assert_eq!(change.removes, paths(&["b"]), "{operation}");
            assert_eq!(change.adds, NewFiles::These(added.clone()), "{operation}");
            assert!(change.marks.is_empty(), "{operation}");
        }
    }

    #[test]
    fn change_that_only_marks_rows_changes_the_state() {
        let marks = [("a".to_owned(), MarkedRows::Some)];
        let marked = Change {
            marks: marks.into(),
            ..Change::default()
        };
        assert!(marked.changes_state() && !Change::default().changes_state());
        let same_rows = Change {
            same_rows: true,
            ..marked
        };
        assert!(!same_rows.changes_state());
    }

    #[test]
    fn record_that_counts_no_files_needs_none_to_be_known() {
        for file in [RECORD, TOMBSTONE] {
            for operation in ["update", "overwrite", "rollback", "unheard of"] {
                let none = Change::of_files(&record(file, operation, 0, Some(0)), None, None);
                assert_eq!(none.adds, NewFiles::None, "{operation}");
                assert_eq!(none.removes, Files::None, "{operation}");
            }
            let delete = record(file, "delete", 4, Some(1));
            let change = Change::of_files(&delete, None, None);
            assert_eq!((change.adds, change.removes), (NewFiles::None, Files::Some));
        }
        let silent = record(TOMBSTONE, "update", 0, None);
        assert_eq!(Change::of_files(&silent, None, None).removes, Files::Some);
    }
}
