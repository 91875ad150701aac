//! What a statement counts on and what it is about to change: as data.

use std::collections::BTreeSet;

use super::change::{Change, Files, Marks};
use super::{Isolation, Operation, Reads};

/// The rows of its base that a statement counts on.
#[derive(Debug, Clone)]
pub enum Rows {
    /// None: it adds its own, whatever is there.
    None,
    /// Those that it selects or read: the files and rows that the reads and the change name must
    /// still be there, and no row may have come that it would have selected, too.
    Read(Reads),
    /// All of them.
    All,
}

/// What a statement is about to do, and what of its base that counts on.
#[derive(Debug, Clone)]
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
        self.replans && matches!(self.rows, Rows::None) && !self.change.refs
    }

    /// The intent of a statement of this kind: the most that one could count on.
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
            Operation::Overwrite | Operation::Truncate => Self {
                rows: Rows::All,
                schema: true,
                ..intent
            },
            // It rewrites the manifests of its base.
            Operation::Delete | Operation::Update | Operation::Merge | Operation::Compact => Self {
                rows: Rows::All,
                schema: true,
                replans: true,
                ..intent
            },
            Operation::Rollback => Self {
                rows: Rows::All,
                replans: true,
                ..intent
            },
            Operation::Tag
            | Operation::Untag
            | Operation::Expire
            | Operation::Repair
            | Operation::Drop => Self {
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

    /// The intent of an append that read the table. One that is only write-serializable counts
    /// on nothing.
    pub fn of_append(reads: Option<Reads>) -> Self {
        let counts = reads.filter(|reads| reads.isolation == Isolation::Serializable);
        Self {
            rows: counts.map_or(Rows::None, Rows::Read),
            ..Self::of(&Operation::Append)
        }
    }

    /// The intent of a statement of this kind that read `reads` and is about to remove the files
    /// `removes`, and to mark the rows `marks` of others.
    pub fn of_rewrite(
        operation: &Operation,
        removes: BTreeSet<String>,
        marks: Marks,
        reads: Reads,
    ) -> Self {
        let intent = Self::of(operation);
        Self {
            rows: Rows::Read(reads),
            change: Change {
                removes: Files::These(removes),
                marks,
                ..intent.change
            },
            ..intent
        }
    }
}
