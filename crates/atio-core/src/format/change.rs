//! What a version changes of the one below it: as data.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::record::StoredRecord;
use super::{Manifest, Operation, Reads};

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
    pub fn may_have(&self, paths: &BTreeSet<String>) -> bool {
        match self {
            Files::None => false,
            Files::These(these) => !these.is_disjoint(paths),
            Files::Some | Files::All => !paths.is_empty(),
        }
    }
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
            Operation::Expire => Self::default(),
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
    /// What the record counts and they do not have is not known.
    pub fn of_files(
        record: &StoredRecord,
        added: Option<Vec<Arc<Manifest>>>,
        removed: Option<&Manifest>,
    ) -> Self {
        let mut change = Self::of_record(record);
        if let (Some(totals), false) = (record.added(), change.adds.is_none()) {
            let count = |manifests: &[Arc<Manifest>]| {
                let files = manifests.iter().map(|manifest| manifest.files.len());
                files.sum::<usize>() as u64
            };
            match added.filter(|added| count(added) == totals.files) {
                _ if totals.files == 0 => change.adds = NewFiles::None,
                Some(added) => change.adds = NewFiles::These(added),
                None => {}
            }
        }
        if let (Some(totals), false) = (record.removed(), change.removes.is_none()) {
            match removed.filter(|removed| removed.files.len() as u64 == totals.files) {
                _ if totals.files == 0 => change.removes = Files::None,
                Some(removed) => {
                    let paths = removed.files.iter().map(|file| file.path.clone());
                    change.removes = Files::These(paths.collect());
                }
                None => {}
            }
        }
        change
    }

    /// True if the version has other rows, columns or options than the one below it.
    pub fn changes_state(&self) -> bool {
        let files = !self.adds.is_none() || !self.removes.is_none();
        (files && !self.same_rows) || self.schema || self.options
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::format::checksum::seal;
    use crate::format::{FileEntry, Record, to_json};

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
