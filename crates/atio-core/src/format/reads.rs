//! What a statement that changes rows read of its base: what others must leave alone.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::Manifest;
use crate::error::{Error, Result};

/// Against which of the versions that come first a statement holds what it read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Against all but appends, and an append against nothing: what it adds stays, also where a
    /// delete, update or merge that was under way would have changed it. It is as if the append
    /// had come after that, whatever the numbers of their versions.
    ///
    /// So two statements make what they would have made one after the other, in one order or the
    /// other. Among three that may be in no order: a delete that has not seen the rows of an
    /// append, and an update that has read both these and what the delete removes. And an
    /// `INSERT` that selects from the table itself counts as one that does not.
    #[default]
    WriteSerializable,
    /// Against all: statements make what they would have made one after the other, in the order
    /// of their versions.
    Serializable,
}

impl Isolation {
    /// What settings call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::WriteSerializable => "write-serializable",
            Self::Serializable => "serializable",
        }
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Isolation {
    type Err = Error;

    /// Takes the words of [`word`](Self::word), in letters of any size; fails with
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for every other.
    fn from_str(text: &str) -> Result<Self> {
        let known = [Self::WriteSerializable, Self::Serializable];
        let found = known
            .into_iter()
            .find(|isolation| isolation.word().eq_ignore_ascii_case(text));
        found.ok_or_else(|| {
            Error::invalid(format!(
                "there is no isolation '{}': it is write-serializable or serializable",
                text.escape_debug()
            ))
        })
    }
}

/// Says of each file of a manifest, in its order, whether a row of it could be selected.
///
/// True for whatever cannot be known; so for files with another schema than that of the base, if
/// that matters.
pub type MaySelect = Arc<dyn Fn(&Manifest) -> Vec<bool> + Send + Sync>;

/// What a statement read of its base.
#[derive(Clone, Default)]
pub struct Reads {
    /// The data files of which all rows count, by path: those that it read for more than the rows
    /// which it changes. These count one by one, wherever they lie.
    pub files: BTreeSet<String>,
    /// All rows of the table count, whatever lists their files.
    pub all_files: bool,
    /// Which of the files that others add could have rows that it would have selected; None: any.
    pub may_select: Option<MaySelect>,
    /// Against whom it is held.
    pub isolation: Isolation,
}

impl Reads {
    /// True if a row of one of the files of `manifest` could be selected.
    pub fn may_select(&self, manifest: &Manifest) -> bool {
        self.selects(manifest).contains(&true)
    }

    /// The same manifest without the files of which no row could be selected; None if none is left.
    pub fn of_selected(&self, manifest: &Manifest) -> Option<Manifest> {
        let selects = self.selects(manifest);
        if !selects.contains(&true) {
            return None;
        }
        let mut selected = manifest.clone();
        let mut selects = selects.into_iter();
        selected.files.retain(|_| selects.next().unwrap_or(true));
        Some(selected)
    }

    /// Of each file, whether a row of it could be selected.
    fn selects(&self, manifest: &Manifest) -> Vec<bool> {
        let mut selects = match &self.may_select {
            Some(may_select) => may_select(manifest),
            None => Vec::new(),
        };
        // What it says nothing of it does not know.
        selects.resize(manifest.files.len(), true);
        selects
    }
}

impl fmt::Debug for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reads")
            .field("files", &self.files)
            .field("all_files", &self.all_files)
            .field("isolation", &self.isolation)
            .finish_non_exhaustive()
    }
}
