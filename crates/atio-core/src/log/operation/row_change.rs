//! What a statement does to the rows of a table: which files it adds and which it removes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::change::MarkedRows;
use crate::format::intent::Intent;
use crate::format::{DeletionVector, FileEntry, Manifest, Operation, Reads, Totals};
use crate::log::commit::does_select::DoesSelect;
use crate::log::commit::gate::Gate;
use crate::log::commit::options::CommitOptions;
use crate::log::operation::columns::NewColumns;
use crate::log::operation::source_position::Advance;

/// What a statement does to the rows of a table.
///
/// All data files that it adds are written, in the transaction that commits it.
#[derive(Debug, Clone)]
pub struct RowChange {
    kind: Kind,
    gate: Option<Gate>,
    does_select: Option<DoesSelect>,
}

/// What goes of the files of a base.
#[derive(Debug, Clone, Default)]
pub(in crate::log) struct Goes {
    /// Files, by path.
    pub(in crate::log) files: BTreeSet<String>,
    /// Rows of others, by the path of their file.
    pub(in crate::log) rows: BTreeMap<String, Arc<DeletionVector>>,
}

#[derive(Debug, Clone)]
enum Kind {
    /// Adds files.
    Append {
        adds: Manifest,
        advance: Option<Advance>,
        reads: Option<Reads>,
    },
    /// Replaces all files, and the columns where there are new ones.
    Overwrite {
        adds: Manifest,
        columns: Option<NewColumns>,
    },
    /// Removes some files of the base, marks rows of others, and adds files.
    Rewrite {
        operation: Operation,
        goes: Goes,
        adds: Manifest,
        reads: Reads,
    },
    /// Removes all files.
    Truncate,
}

impl RowChange {
    fn of(kind: Kind) -> Self {
        Self {
            kind,
            gate: None,
            does_select: None,
        }
    }

    /// The same change, which is committed only where `gate` lets it pass.
    pub fn behind(self, gate: Gate) -> Self {
        Self {
            gate: Some(gate),
            ..self
        }
    }

    pub(in crate::log) fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    /// The same change of a statement that said what it read. Where others brought files with rows that
    /// it may have selected, as far as that tells, `does_select` is asked. Without one, and where it
    /// cannot tell, the change is in conflict with them.
    pub fn asking(self, does_select: Option<DoesSelect>) -> Self {
        Self {
            does_select,
            ..self
        }
    }

    pub(in crate::log) fn does_select(&self) -> Option<&DoesSelect> {
        self.does_select.as_ref()
    }

    /// Adds `files`, written with the schema `schema`; commutes with every other append, unless
    /// both take over the same source.
    pub fn append(schema: u32, stats_ids: Vec<i32>, files: Vec<FileEntry>) -> Self {
        Self::of(Kind::Append {
            adds: Manifest::new(schema, stats_ids, files),
            advance: None,
            reads: None,
        })
    }

    /// The same append, which takes over a part of a source; nothing else takes over any.
    ///
    /// It is in conflict wherever the source is not where the part begins.
    pub fn advancing(self, advance: Option<Advance>) -> Self {
        let kind = match self.kind {
            Kind::Append { adds, reads, .. } => Kind::Append {
                adds,
                advance,
                reads,
            },
            other => other,
        };
        Self { kind, ..self }
    }

    /// The same append, whose rows were selected from the table itself: if that is to be
    /// [`Serializable`](crate::format::Isolation::Serializable), it is in conflict with whatever
    /// changed what it read. Any other change says what it read when it is made.
    pub fn reading(self, reads: Reads) -> Self {
        let kind = match self.kind {
            Kind::Append { adds, advance, .. } => Kind::Append {
                adds,
                advance,
                reads: Some(reads),
            },
            other => other,
        };
        Self { kind, ..self }
    }

    /// Like [`append`](Self::append), in place of everything that was there; valid only on the
    /// very state that the statement started from.
    pub fn overwrite(schema: u32, stats_ids: Vec<i32>, files: Vec<FileEntry>) -> Self {
        Self::of(Kind::Overwrite {
            adds: Manifest::new(schema, stats_ids, files),
            columns: None,
        })
    }

    /// The same overwrite, whose files have these columns; nothing else brings any.
    pub fn with_columns(self, columns: Option<NewColumns>) -> Self {
        let kind = match self.kind {
            Kind::Overwrite { adds, .. } => Kind::Overwrite { adds, columns },
            other => other,
        };
        Self { kind, ..self }
    }

    pub(in crate::log) fn columns(&self) -> Option<&NewColumns> {
        match &self.kind {
            Kind::Overwrite { columns, .. } => columns.as_ref(),
            _ => None,
        }
    }

    /// Puts the files of `adds`, with the rows that are left, in the place of the files `removes`
    /// of the base, which are named by their paths.
    ///
    /// Every row of `adds` was in one of the files `removes`: others count on that.
    ///
    /// It is in conflict with a version that removes one of these or of those that were read, or marks
    /// a row of one, or that brings rows which would have been selected, too; see [`Reads`]. A path
    /// that the base does not list is refused as [`InvalidInput`](crate::ErrorKind::InvalidInput).
    /// What removes and adds nothing is not to be committed.
    pub fn delete(removes: BTreeSet<String>, adds: Manifest, reads: Reads) -> Self {
        Self::rewrite(Operation::Delete, removes, adds, reads)
    }

    /// Like [`delete`](Self::delete), but the files of `adds` may have any rows.
    pub fn update(removes: BTreeSet<String>, adds: Manifest, reads: Reads) -> Self {
        Self::rewrite(Operation::Update, removes, adds, reads)
    }

    /// Like [`update`](Self::update), for a statement that may also add rows and remove none.
    pub fn merge(removes: BTreeSet<String>, adds: Manifest, reads: Reads) -> Self {
        Self::rewrite(Operation::Merge, removes, adds, reads)
    }

    /// Puts the files of `adds` in the place of the files `removes` of the base: the same rows, dealt to
    /// other files.
    ///
    /// It is in conflict with a version that removes one of these files or marks rows of one, and with no
    /// other that leaves the columns as they are. Who counts on rows, wherever they lie, is not in
    /// conflict with it. Committing fails if `adds` has more rows or fewer than these files.
    pub fn compact(removes: BTreeSet<String>, adds: Manifest) -> Self {
        Self::rewrite(Operation::Compact, removes, adds, Reads::default())
    }

    fn rewrite(
        operation: Operation,
        removes: BTreeSet<String>,
        adds: Manifest,
        reads: Reads,
    ) -> Self {
        Self::of(Kind::Rewrite {
            operation,
            goes: Goes {
                files: removes,
                rows: BTreeMap::new(),
            },
            adds,
            reads,
        })
    }

    /// The same delete, update or merge, which also marks these rows of files that it does not
    /// remove as deleted, by the paths of their files. Nothing else marks any.
    ///
    /// Each row is one of the table in the base. What others mark meanwhile stays marked, too; if
    /// they mark one of these rows, or remove its file, it is in conflict with them. A file that has
    /// no rows left in the end is removed.
    pub fn marking(self, rows: BTreeMap<String, DeletionVector>) -> Self {
        let kind = match self.kind {
            Kind::Rewrite {
                operation,
                goes,
                adds,
                reads,
            } => {
                let rows = rows.into_iter().filter(|(_, rows)| !rows.is_empty());
                let rows = rows.map(|(path, rows)| (path, Arc::new(rows)));
                let goes = Goes {
                    rows: rows.collect(),
                    ..goes
                };
                Kind::Rewrite {
                    operation,
                    goes,
                    adds,
                    reads,
                }
            }
            other => other,
        };
        Self { kind, ..self }
    }

    /// Removes all rows; valid only on the very state that the statement started from, as an
    /// overwrite is: no row goes that nobody has seen.
    pub fn truncate() -> Self {
        Self::of(Kind::Truncate)
    }

    /// The files that it adds.
    pub(in crate::log) fn adds(&self) -> Option<&Manifest> {
        match &self.kind {
            Kind::Append { adds, .. }
            | Kind::Overwrite { adds, .. }
            | Kind::Rewrite { adds, .. } => Some(adds),
            Kind::Truncate => None,
        }
    }

    /// Fails if it is to leave the rows as they are, and does not: where what it removes has these totals.
    pub(in crate::log) fn check_rows(&self, removed: Totals) -> Result<()> {
        let (Operation::Compact, Some(adds)) = (self.operation(), self.adds()) else {
            return Ok(());
        };
        let added = adds.totals()?;
        match added.rows == removed.rows {
            true => Ok(()),
            false => Err(Error::damaged(format!(
                "{} rows were to be written anew and {} were: nothing was committed",
                removed.rows, added.rows
            ))),
        }
    }

    /// What goes of its base, where it keeps the rest.
    pub(in crate::log) fn goes(&self) -> Option<&Goes> {
        match &self.kind {
            Kind::Rewrite { goes, .. } => Some(goes),
            _ => None,
        }
    }

    /// True if it removes all files.
    pub(in crate::log) fn removes_all(&self) -> bool {
        matches!(self.kind, Kind::Overwrite { .. } | Kind::Truncate)
    }

    pub(in crate::log) fn advance(&self) -> Option<&Advance> {
        match &self.kind {
            Kind::Append { advance, .. } => advance.as_ref(),
            _ => None,
        }
    }

    /// What a version that does the same work carries: the key of this one, or of the load
    /// that it is a part of.
    pub(in crate::log) fn key<'a>(&'a self, options: &'a CommitOptions) -> Option<&'a str> {
        let key = options.idempotency_key.as_deref();
        key.or_else(|| self.advance().and_then(Advance::key))
    }

    pub(in crate::log) fn operation(&self) -> Operation {
        match &self.kind {
            Kind::Append { .. } => Operation::Append,
            Kind::Overwrite { .. } => Operation::Overwrite,
            Kind::Rewrite { operation, .. } => operation.clone(),
            Kind::Truncate => Operation::Truncate,
        }
    }

    pub(in crate::log) fn intent(&self) -> Intent {
        match &self.kind {
            Kind::Append { reads, .. } => Intent::of_append(reads.clone()),
            Kind::Rewrite {
                operation,
                goes,
                reads,
                ..
            } => {
                let marks = goes.rows.iter().map(|(path, rows)| {
                    let rows = MarkedRows::These(Arc::clone(rows));
                    (path.clone(), rows)
                });
                Intent::of_rewrite(
                    operation,
                    goes.files.clone(),
                    marks.collect(),
                    reads.clone(),
                )
            }
            Kind::Overwrite { .. } | Kind::Truncate => Intent::of(&self.operation()),
        }
    }
}
