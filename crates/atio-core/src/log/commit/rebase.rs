//! What a statement that lost the race finds in its way.

use std::sync::Arc;

use super::does_select::DoesSelect;
use crate::error::{Error, ErrorKind, Result};
use crate::format::change::{self, Change, MarkedRows, NewFiles};
use crate::format::conflict::{Reason, Verdict, conflict};
use crate::format::intent::{Intent, Rows};
use crate::format::ticket::Ticket;
use crate::format::{Manifest, Operation, Record, StoredRecord, Txn, Version};
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;

/// A statement that is under way, as far as others' versions concern it.
pub(in crate::log) struct Pending<'a> {
    pub(in crate::log) txn: Txn,
    pub(in crate::log) key: Option<&'a str>,
    pub(in crate::log) intent: &'a Intent,
    pub(in crate::log) does_select: Option<&'a DoesSelect>,
}

/// The version that a statement was planned on, as far as later ones are held against it.
pub(in crate::log) struct Below {
    table: uuid::Uuid,
    record: StoredRecord,
    /// The id of the schema.
    schema: u32,
    is_python: bool,
}

impl Below {
    pub(in crate::log) fn of(base: &Snapshot) -> Self {
        Self {
            table: base.table,
            record: base.record.clone(),
            schema: base.state.schema.id,
            is_python: base.python.is_some(),
        }
    }

    /// The version with this record, of which no snapshot need be left.
    pub(in crate::log) fn of_ticket(ticket: &Ticket, record: StoredRecord) -> Self {
        Self {
            table: ticket.table,
            record,
            schema: ticket.schema,
            is_python: false,
        }
    }
}

/// What the versions between a base and the newest version mean for a statement.
pub(in crate::log) enum Passed {
    /// It goes on on the newest, in this way; never a conflict, which is an error.
    On(Verdict),
    /// This one did its work: under its key, or as its transaction.
    Repeats(Version),
}

impl Table {
    /// Looks at every version that was committed on `base`, up to `newest`.
    ///
    /// Fails if one of them stands against the statement, and says which.
    pub(in crate::log) async fn passed(
        &self,
        pending: &Pending<'_>,
        base: &Below,
        newest: &Snapshot,
    ) -> Result<Passed> {
        if newest.table != base.table && !base.is_python {
            return Err(self.conflict("the table was dropped and created again", newest.version));
        }
        let mut on = match pending.intent.replans {
            true => Verdict::Replan,
            false => Verdict::Rebase,
        };
        let mut below = base.record.clone();
        for version in base.record.version().next()?.through(newest.version) {
            let record = match version == newest.version {
                true => newest.record.clone(),
                false => self.record(version).await?,
            };
            below
                .check_next(&record)
                .map_err(|error| self.explain(error))?;
            // Of a transaction that several may commit, one was first.
            let ours = record.txn() == Some(pending.txn);
            if ours || pending.key.is_some() && record.key() == pending.key {
                return Ok(Passed::Repeats(version));
            }
            if record.is_lost() {
                return Err(self.began_before_loss(version));
            }
            if record.revoked().contains(&pending.txn) {
                return Err(self.revoked(&format!("the expiry of version {version}")));
            }
            if base.is_python && record.table().is_none() && pending.intent.is_of_any_rows() {
                // Python goes on with its own table.
                below = record;
                continue;
            }
            match self.verdict(pending, &record).await? {
                Verdict::Conflict(reason) => return Err(self.stands_against(reason, &record)),
                verdict => on = on.max(verdict),
            }
            below = record;
        }
        let columns = Change {
            schema: newest.schema.id != base.schema,
            ..Change::default()
        };
        if let Verdict::Conflict(_) = conflict(pending.intent, &columns) {
            return Err(self.conflict("its schema was changed", newest.version));
        }
        if base.is_python && !pending.intent.replans {
            let what = "another writer took over the table from Python atio";
            return Err(self.conflict(what, newest.version));
        }
        Ok(Passed::On(on))
    }

    /// What the version of `record` means for a statement.
    ///
    /// Which files that added and removed is read only where it decides, and the rows of these only
    /// where the statistics do not.
    async fn verdict(&self, pending: &Pending<'_>, record: &StoredRecord) -> Result<Verdict> {
        let intent = pending.intent;
        let mut removed = None;
        let mut verdict = conflict(intent, &Change::of_record(record));
        if verdict == Verdict::Conflict(Reason::Removed) {
            removed = self.files_removed(record).await?;
            let change = Change::of_files(record, None, removed.as_deref());
            verdict = conflict(intent, &change);
        }
        let may_mark = match &record.record {
            Record::Live(live) => live.features.has_vectors(),
            _ => false,
        };
        let asks = match verdict {
            Verdict::Conflict(Reason::Removed) => may_mark,
            verdict => verdict == Verdict::Conflict(Reason::Added),
        };
        if asks {
            // What it lists anew brings no rows.
            if may_mark && removed.is_none() {
                removed = self.files_removed(record).await?;
            }
            let added = self.files_added(record).await?;
            let mut change = Change::of_files(record, added.clone(), removed.as_deref());
            if let (Some(added), Some(removed)) = (added, removed) {
                self.read_marks(intent, &mut change, &added, &removed)
                    .await?;
            }
            verdict = conflict(intent, &change);
            if verdict == Verdict::Conflict(Reason::Added)
                && self.selects_none(pending, &change.adds).await
            {
                change.adds = NewFiles::None;
                verdict = conflict(intent, &change);
            }
        }
        Ok(verdict)
    }

    /// True if it is certain that the statement would have selected no row of the files `added`.
    async fn selects_none(&self, pending: &Pending<'_>, added: &NewFiles) -> bool {
        let (Some(does_select), Rows::Read(reads), NewFiles::These(manifests)) =
            (pending.does_select, &pending.intent.rows, added)
        else {
            return false;
        };
        let files = manifests.iter();
        let files = files.filter_map(|manifest| reads.of_selected(manifest));
        match does_select.ask(files.collect()).await {
            Ok(selects) => !selects,
            // They may have expired meanwhile. Without an answer what statistics say stands.
            Err(error) => {
                let level = match error.kind() {
                    ErrorKind::Damaged => ::log::Level::Debug,
                    _ => ::log::Level::Warn,
                };
                let name = self.name();
                ::log::log!(
                    level,
                    "'{name}': what rows were added is not known: {error}"
                );
                false
            }
        }
    }

    /// Finds out which rows `change` marks of the files of which the statement marks some, too.
    async fn read_marks(
        &self,
        intent: &Intent,
        change: &mut Change,
        added: &[Arc<Manifest>],
        removed: &Manifest,
    ) -> Result<()> {
        let marks = &intent.change.marks;
        let both = change::relisted(added, removed).into_iter().filter(|file| {
            let path = &file.is.path;
            change.marks.contains_key(path) && marks.contains_key(path)
        });
        let both: Vec<_> = both.collect();
        let files: Vec<_> = both.iter().flat_map(|file| [file.was, file.is]).collect();
        let vectors = match self.vectors_of(&files).await {
            Ok(vectors) => vectors,
            // An expiry may have removed one since the record was read. One is enough to stand against it.
            Err(error) if error.kind() == ErrorKind::Damaged => {
                let name = self.name();
                ::log::debug!("'{name}': the rows that were marked are not known: {error}");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for (file, vectors) in both.iter().zip(vectors.chunks_exact(2)) {
            let [was, is] = [0, 1].map(|at| vectors[at].clone().unwrap_or_default());
            // No statement of this kind takes a mark away; one that did changed more than marks.
            if is.has_all(&was) {
                let rows = MarkedRows::These(Arc::new(is.without(&was)));
                change.marks.insert(file.is.path.clone(), rows);
            }
        }
        Ok(())
    }

    fn stands_against(&self, reason: Reason, record: &StoredRecord) -> Error {
        let operation = record.operation();
        let word = operation.word();
        let txn = words(record.txn());
        let what = match reason {
            Reason::Exists => return self.exists(),
            Reason::Ended => format!("it was changed by {word}"),
            Reason::Schema => "its schema was changed".to_owned(),
            Reason::State => format!("it was changed ({word}) by transaction {txn}"),
            Reason::Removed if operation == Operation::Compact => {
                format!(
                    "files that this statement read were replaced ({word}) by transaction {txn}"
                )
            }
            Reason::Removed => {
                format!("rows that this statement read were changed ({word}) by transaction {txn}")
            }
            Reason::Added => {
                format!("rows that it has not seen were added ({word}) by transaction {txn}")
            }
        };
        self.conflict(&what, record.version())
    }

    pub(in crate::log) fn exists(&self) -> Error {
        Error::new(
            ErrorKind::TableExists,
            format!("there is a table at {} already", self.location()),
        )
    }

    pub(in crate::log) fn revoked(&self, by: &str) -> Error {
        Error::new(
            ErrorKind::Revoked,
            format!(
                "this write to '{}' was revoked by {by}, which took its files for abandoned; nothing was written: run it again",
                self.name()
            ),
        )
    }

    /// What a repair found lost may have revoked it, or changed what it read (7.16).
    fn began_before_loss(&self, version: Version) -> Error {
        Error::new(
            ErrorKind::Revoked,
            format!(
                "this write to '{}' began before a repair found that version {version} is lost, and may count on what is lost with it; nothing was written: run it again",
                self.name()
            ),
        )
    }

    pub(in crate::log) fn conflict(&self, what: &str, version: Version) -> Error {
        Error::new(
            ErrorKind::Conflict,
            format!(
                "cannot commit to '{}': {what} in version {version}, after this statement started; nothing was written: run it again",
                self.name()
            ),
        )
    }

    pub(in crate::log) fn gave_up(&self, attempts: u32) -> Error {
        Error::new(
            ErrorKind::Conflict,
            format!(
                "gave up after {attempts} attempts to commit to '{}': other writers kept coming first; nothing was written",
                self.name()
            ),
        )
    }
}

fn words(txn: Option<Txn>) -> String {
    txn.map_or("of Python".to_owned(), |txn| txn.to_string())
}
