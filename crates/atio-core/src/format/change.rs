//! What a statement counts on and what it changes: as data.

use std::collections::BTreeSet;

use super::Operation;
use super::record::StoredRecord;

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

/// What one version changes of the version below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Files that it adds.
    pub adds: Files,
    /// Files that it removes.
    pub removes: Files,
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
            adds: Files::Some,
            ..Self::default()
        };
        match operation {
            Operation::Append => rows,
            Operation::Overwrite => Self {
                removes: Files::All,
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

    /// True if the version has other rows, columns or options than the one below it.
    pub fn changes_state(&self) -> bool {
        let files = !self.adds.is_none() || !self.removes.is_none();
        (files && !self.same_rows) || self.schema || self.options
    }
}

/// The rows of its base that a statement counts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// None: it adds its own, whatever is there.
    None,
    /// Those of these files: they must still be there, whatever else comes.
    Of(BTreeSet<String>),
    /// Those that a condition selects, which it found in these files: no row may come that the
    /// condition could select, too.
    Matching(BTreeSet<String>),
    /// All of them.
    All,
}

/// What a statement is about to do, and what of its base that counts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The rows that it counts on.
    pub rows: Rows,
    /// What it stages has the columns of its base.
    pub schema: bool,
    /// There must be no table.
    pub absent: bool,
    /// What it planned on its base is planned anew on every other: it cannot stand.
    pub replans: bool,
    /// What it changes.
    pub change: Change,
}

impl Intent {
    /// True if it is planned anew on every version, whatever rows and tags that has.
    pub fn is_of_any_rows(&self) -> bool {
        self.replans && self.rows == Rows::None && !self.change.refs
    }

    /// The intent of a statement of this kind.
    ///
    /// Of those that a newer release may know, the most that they could count on.
    pub fn of(operation: &Operation) -> Self {
        let intent = Self {
            rows: Rows::None,
            schema: false,
            absent: false,
            replans: false,
            change: Change::of(operation),
        };
        match operation {
            Operation::Create => Self {
                absent: true,
                ..intent
            },
            Operation::Append => Self {
                schema: true,
                ..intent
            },
            Operation::Overwrite => Self {
                rows: Rows::All,
                schema: true,
                ..intent
            },
            Operation::Rollback => Self {
                rows: Rows::All,
                replans: true,
                ..intent
            },
            Operation::Tag | Operation::Untag | Operation::Expire | Operation::Drop => Self {
                replans: true,
                ..intent
            },
            Operation::Schema | Operation::Other(_) => Self {
                rows: Rows::All,
                schema: true,
                ..intent
            },
        }
    }
}
