//! A write in two phases: processes prepare parts of it under one ticket, and one commits them.
//!
//! What is prepared is staged by one transaction, whose id the ticket carries. So an expiry that
//! removes any of it revokes the transaction, and the commit finds that in its way, because it
//! looks at every version since the ticket was made. What is never committed is swept as any dead
//! transaction's. A ticket makes one version at most, however often and by whomever it is
//! committed: whoever comes second finds the record of its own transaction.

use std::collections::HashSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};

use crate::error::{Error, ErrorKind, Result};
use crate::format::intent::Intent;
use crate::format::ticket::Ticket;
use crate::format::{FileEntry, Manifest, Record, StoredRecord, Txn, Version};
use crate::log::commit::gate::Gate;
use crate::log::commit::options::CommitOptions;
use crate::log::commit::rebase::{Below, Passed, Pending};
use crate::log::commit::transaction::Transaction;
use crate::log::operation::row_change::RowChange;
use crate::log::operation::rows::Committed;
use crate::log::operation::source_position::Advance;
use crate::log::read::footer::{Footer, stats_columns};
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;

/// So many data files are looked at at once.
const AT_ONCE: usize = 32;

impl Table {
    /// Makes a ticket for a write that others prepare. Writes nothing.
    pub async fn begin_ticket(&self, overwrite: bool) -> Result<Ticket> {
        let base = self.newest().await?;
        if base.python.is_some() {
            return Err(Error::invalid(format!(
                "'{}' is a table of Python's, which the first write takes over: write to it once by INSERT, and begin again",
                self.name()
            )));
        }
        Ok(Ticket {
            table: base.table,
            txn: Txn::new(uuid::Uuid::now_v7()),
            base: base.version,
            record: base.record.checksum,
            schema: base.schema.id,
            overwrite,
        })
    }

    /// The newest version, to prepare a part of `ticket` on, and the transaction to stage it in.
    ///
    /// Fails if the table is another one by now, or has other columns.
    pub async fn resume_ticket(
        &self,
        ticket: &Ticket,
    ) -> Result<(Arc<Snapshot>, Arc<Transaction>)> {
        let newest = self.newest().await?;
        self.check_ticket(ticket, &newest)?;
        if newest.schema.id != ticket.schema {
            return Err(self.conflict("its schema was changed", newest.version));
        }
        Ok((newest, Transaction::resume(self, ticket.txn)))
    }

    /// Ends the part that `txn` staged: makes its files durable, and gives the bytes that say which
    /// they are. From here on this process removes none of them.
    pub async fn hand_over(
        &self,
        ticket: &Ticket,
        base: &Snapshot,
        txn: &Transaction,
        files: Vec<FileEntry>,
    ) -> Result<Vec<u8>> {
        let (ids, _) = stats_columns(&base.schema, &base.arrow);
        let bytes = ticket.prepared(ids, files)?;
        txn.hand_over().await?;
        Ok(bytes)
    }

    /// Commits the parts that were prepared for `ticket` as one version, with the endings of
    /// [`commit`](Self::commit); but the files that were prepared stay where it fails, for an
    /// expiry to find.
    ///
    /// A ticket that was committed with the same files before gives that version. Otherwise `gate` is
    /// made, and asked.
    pub async fn commit_ticket(
        self: &Arc<Self>,
        ticket: &Ticket,
        parts: &[impl AsRef<[u8]>],
        options: CommitOptions,
        gate: impl Future<Output = Result<Option<Gate>>> + Send,
    ) -> Result<Committed> {
        options.check_one_version("the commit of a ticket")?;
        options.check_no_query("the commit of a ticket")?;
        let files = ticket.files(parts)?;
        let newest = self.newest().await?;
        self.check_ticket(ticket, &newest)?;
        let key = options.idempotency_key.as_deref();
        if let Some(key) = key
            && let Some(version) = self.committed_with(&newest, key).await?
        {
            return self.was_committed(ticket, version, &files, Some(key)).await;
        }
        if let Some(version) = self.look_for(ticket, &newest, key).await? {
            return self.was_committed(ticket, version, &files, key).await;
        }
        let gate = gate.await?;
        self.check_unlisted(&newest, &files).await?;
        let checked = self.check_files(&newest, &files).await?;
        let txn = Transaction::resume(self, ticket.txn);
        let committed = self
            .commit_files(ticket, (&newest, &txn), checked, (options.clone(), gate))
            .await;
        match committed {
            Ok(Committed::Before(version)) => {
                self.was_committed(ticket, version, &files, key).await
            }
            Err(error) if is_no(&error) => {
                // Another process may have committed it, and tidied up before we could.
                let newest = self.newest().await;
                let found = match &newest {
                    Ok(newest) => self.look_for(ticket, newest, None).await,
                    Err(_) => return Err(error),
                };
                match found {
                    Ok(Some(version)) => self.was_committed(ticket, version, &files, key).await,
                    _ => Err(error),
                }
            }
            ended => ended,
        }
    }

    async fn commit_files(
        self: &Arc<Self>,
        ticket: &Ticket,
        (base, txn): (&Arc<Snapshot>, &Arc<Transaction>),
        files: Vec<FileEntry>,
        (options, gate): (CommitOptions, Option<Gate>),
    ) -> Result<Committed> {
        let (ids, _) = stats_columns(&base.schema, &base.arrow);
        let (change, merges) = match ticket.overwrite {
            true => (RowChange::overwrite(ticket.schema, ids, files), Vec::new()),
            false => {
                let key = options.idempotency_key.as_deref();
                let advance = key.map(|key| Advance::load(key, None, None));
                let change = RowChange::append(ticket.schema, ids, files).advancing(advance);
                (change, self.prepare_merges(txn, base).await?)
            }
        };
        let change = match gate {
            Some(gate) => change.behind(gate),
            None => change,
        };
        self.commit(Arc::clone(txn), Arc::clone(base), change, merges, options)
            .await
    }

    fn check_ticket(&self, ticket: &Ticket, newest: &Snapshot) -> Result<()> {
        match newest.table == ticket.table {
            true => Ok(()),
            false => Err(Error::invalid(format!(
                "the ticket is of another table than '{}' is now (it has another id; perhaps it was dropped and created again): begin anew",
                self.name()
            ))),
        }
    }

    /// The version that did the work of `ticket`, up to `newest`.
    ///
    /// Fails if one of those since it was begun stands against it.
    async fn look_for(
        &self,
        ticket: &Ticket,
        newest: &Snapshot,
        key: Option<&str>,
    ) -> Result<Option<Version>> {
        if newest.version < ticket.base {
            return Err(Error::invalid(format!(
                "the ticket was begun on version {} of '{}', whose newest version is {}: it is of a copy of the table",
                ticket.base,
                self.name(),
                newest.version
            )));
        }
        let base = self.record(ticket.base).await?;
        if base.original_checksum() != Some(ticket.record) {
            return Err(Error::invalid(format!(
                "the ticket was begun on another version {} of '{}': it is of a copy of the table",
                ticket.base,
                self.name()
            )));
        }
        let intent = Intent::of(&ticket.operation());
        let pending = Pending {
            txn: ticket.txn,
            key,
            intent: &intent,
            does_select: None,
        };
        match self
            .passed(&pending, &Below::of_ticket(ticket, base), newest)
            .await?
        {
            Passed::Repeats(version) => Ok(Some(version)),
            Passed::On(_) => Ok(None),
        }
    }

    /// The ending of a commit of which `version` did the work, once that is durable.
    ///
    /// Fails if that was another's under the same key, or this ticket's with other files.
    async fn was_committed(
        &self,
        ticket: &Ticket,
        version: Version,
        files: &[FileEntry],
        key: Option<&str>,
    ) -> Result<Committed> {
        let record = self.record(version).await?;
        if record.txn() != Some(ticket.txn) {
            self.repeats(version, key, &ticket.operation()).await?;
            self.say_repeated(key, version);
            return Ok(Committed::Before(version));
        }
        match self.has_committed(&record, ticket, files).await? {
            Some(true) => {
                self.sync_found(version).await?;
                Ok(Committed::Before(version))
            }
            Some(false) => Err(Error::invalid(format!(
                "the ticket was committed as version {version} of '{}', with other parts: these were not committed, begin a new ticket for them",
                self.name()
            ))),
            None => Err(Error::new(
                ErrorKind::CommitUnknown,
                format!(
                    "the ticket was committed as version {version} of '{}', which has expired since: whether that had these parts cannot be told any more; look for their rows before you write them again",
                    self.name()
                ),
            )),
        }
    }

    /// True if the version of `record`, which `ticket` made, added `files` and no others; None if
    /// that cannot be told any more.
    async fn has_committed(
        &self,
        record: &StoredRecord,
        ticket: &Ticket,
        files: &[FileEntry],
    ) -> Result<Option<bool>> {
        let totals = Manifest::new(ticket.schema, Vec::new(), files.to_vec()).totals()?;
        if record.added() != Some(totals) {
            return Ok(Some(false));
        }
        let wanted: HashSet<_> = files.iter().map(|file| file.path.as_str()).collect();
        let missing = |manifests: &[Arc<Manifest>]| {
            let listed = manifests.iter().flat_map(|manifest| &manifest.files);
            let listed: HashSet<_> = listed.map(|file| file.path.as_str()).collect();
            !wanted.is_subset(&listed)
        };
        if let Record::Live(live) = &record.record {
            let added = self.added_manifests(live).await?;
            return Ok(Some(!missing(&added)));
        }
        // A tombstone counts files and does not name them. Those that are in the table now came
        // with it, for a ticket makes one version.
        let newest = self.newest().await?;
        let there = self.manifests(&newest).await?;
        Ok((!missing(&there)).then_some(true))
    }

    /// Fails if `base` lists one of the files, which are of no version unless somebody made the bytes up.
    async fn check_unlisted(&self, base: &Snapshot, files: &[FileEntry]) -> Result<()> {
        let wanted: HashSet<_> = files.iter().map(|file| file.path.as_str()).collect();
        let manifests = self.manifests(base).await?;
        let mut listed = manifests.iter().flat_map(|manifest| &manifest.files);
        match listed.find(|file| wanted.contains(file.path.as_str())) {
            None => Ok(()),
            Some(file) => Err(Error::invalid(format!(
                "the data file {} is in version {} of '{}' already: no part can bring it",
                file.path,
                base.version,
                self.name()
            ))),
        }
    }

    /// The files with what their footers say; fails if one is not there, or is not what its part
    /// says.
    async fn check_files(&self, base: &Snapshot, files: &[FileEntry]) -> Result<Vec<FileEntry>> {
        let checks = files.iter().map(|file| self.check_file(base, file));
        futures::stream::iter(checks)
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }

    async fn check_file(&self, base: &Snapshot, file: &FileEntry) -> Result<FileEntry> {
        let (rows, size) = (file.stored_rows()?, file.bytes()?);
        let wrong = |what: String| {
            Error::invalid(format!(
                "the data file {} of '{}' {what}: prepare that part again, for a new ticket",
                file.path,
                self.name()
            ))
        };
        match self.objects.size(&file.path).await? {
            Some(found) if found == size => {}
            Some(found) => return Err(wrong(format!("has {found} bytes, not {size}"))),
            None => return Err(wrong("is not there".to_owned())),
        }
        let damaged = |error: Error| match error.kind() {
            ErrorKind::Damaged => wrong("is not whole".to_owned()).with_source(error),
            _ => error,
        };
        let footer = Footer::read(&self.objects, &file.path, size).await;
        let footer = footer.map_err(damaged)?;
        let found = footer.rows().map_err(damaged)?;
        if found != rows {
            return Err(wrong(format!("has {found} rows, not {rows}")));
        }
        if !footer.has_columns_of(&base.schema)? {
            return Err(wrong("has other columns than the table".to_owned()));
        }
        let (ids, names) = stats_columns(&base.schema, &base.arrow);
        // That no NaN occurs is seen only by whoever writes the rows, and taken from the part.
        let said = |name: &str| {
            let at = names.iter().position(|known| *known == name);
            let aligned = file.stats.len() == ids.len();
            at.filter(|_| aligned)
                .is_some_and(|at| !file.stats[at].is_empty() && !file.stats[at].nan)
        };
        Ok(FileEntry {
            stats: footer.stats(&names, said),
            dv: None,
            column_bytes: footer.column_bytes(&names),
            ..file.clone()
        })
    }
}

/// True if the commit did not happen. What a disk could not make durable is there, and to try that again proves nothing.
fn is_no(error: &Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::CommitUnknown | ErrorKind::CommitNotDurable
    )
}
