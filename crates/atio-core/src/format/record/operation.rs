//! What kind of statement made a version.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Result;

/// What kind of statement made a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    Create,
    Append,
    Overwrite,
    Delete,
    Update,
    Merge,
    Truncate,
    Compact,
    Schema,
    Rollback,
    Tag,
    Untag,
    Expire,
    /// Says which records are lost (7.16).
    Repair,
    Drop,
    /// Any other, known or not: it may have changed everything.
    Other(String),
}

impl Operation {
    /// What a record calls it.
    pub fn word(&self) -> &str {
        match self {
            Operation::Create => "create",
            Operation::Append => "append",
            Operation::Overwrite => "overwrite",
            Operation::Delete => "delete",
            Operation::Update => "update",
            Operation::Merge => "merge",
            Operation::Truncate => "truncate",
            Operation::Compact => "compact",
            Operation::Schema => "schema",
            Operation::Rollback => "rollback",
            Operation::Tag => "tag",
            Operation::Untag => "untag",
            Operation::Expire => "expire",
            Operation::Repair => "repair",
            Operation::Drop => "drop",
            Operation::Other(word) => word,
        }
    }

    /// False where the rows are those of the version before: fences, names.
    pub fn changes_state(&self) -> bool {
        match self {
            Operation::Tag | Operation::Untag | Operation::Expire | Operation::Repair => false,
            Operation::Other(word) => word != "resolve",
            _ => true,
        }
    }
}

impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for Operation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Ok(match word.as_str() {
            "create" => Operation::Create,
            "append" => Operation::Append,
            "overwrite" => Operation::Overwrite,
            "delete" => Operation::Delete,
            "update" => Operation::Update,
            "merge" => Operation::Merge,
            "truncate" => Operation::Truncate,
            "compact" => Operation::Compact,
            "schema" => Operation::Schema,
            "rollback" => Operation::Rollback,
            "tag" => Operation::Tag,
            "untag" => Operation::Untag,
            "expire" => Operation::Expire,
            "repair" => Operation::Repair,
            "drop" => Operation::Drop,
            _ => Operation::Other(word),
        })
    }
}
