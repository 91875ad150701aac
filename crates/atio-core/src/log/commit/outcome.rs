//! What a commit came to: an answer that is not "yes" says nothing by itself.
//!
//! "Already exists" may be our own record whose reply was lost; a time-out may still land;
//! an error may have come after the write. Only reading the key back decides.

use std::time::Duration;

use bytes::Bytes;
use object_store::Error as StoreError;
use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::format::{Checksum, CommitRecord, Record, StoredRecord, Txn, Version, layout};
use crate::log::commit::transaction::Transaction;
use crate::log::read::locate::Found;
use crate::log::table::Table;
use crate::storage::{Created, Stamp};

/// After this long without a definite answer the outcome is unknown.
const DEADLINE: Duration = Duration::from_secs(60);
/// An answer that takes longer is as good as none: the key is looked at instead.
const ATTEMPT: Duration = Duration::from_secs(15);
/// The first pause between two looks; it doubles up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Two of the three endings of a commit; the third, unknown, is an error.
pub(in crate::log) enum Outcome {
    /// Our record is under the key.
    Committed(Made),
    /// Another one is, which this transaction made, or Python: ours never will be.
    Conflict(Box<Found>, Option<Txn>),
}

/// A record that this process created.
pub(in crate::log) struct Made {
    pub(in crate::log) bytes: Bytes,
    /// What identifies it on its store; None if that did not say.
    pub(in crate::log) stamp: Option<Stamp>,
}

/// Creates `record` and finds out what became of it.
///
/// Fails with [`ErrorKind::CommitUnknown`] if the store gives no answer until the deadline:
/// then nothing of the transaction may be deleted; nor may it after
/// [`ErrorKind::CommitNotDurable`], when the record is there. From the first try on until a conflict is
/// certain, dropping `txn` removes nothing either.
pub(in crate::log) async fn create_record(
    table: &Table,
    txn: &Transaction,
    record: &CommitRecord,
) -> Result<Outcome> {
    let version = record.version_id;
    let bytes = Bytes::from(record.to_bytes()?);
    txn.check_store().await?;
    if let Some(previous) = &record.previous {
        check_not_dropped(table, txn, (previous.version, previous.checksum)).await?;
    }
    txn.may_be_committed(true);
    let found = match resolve(table, txn, version, &bytes).await {
        Resolved::Created(tag) => {
            txn.settle();
            let stamp = Stamp::of_put(bytes.len(), tag);
            return Ok(Outcome::Committed(Made { bytes, stamp }));
        }
        Resolved::Found(bytes, stamp) => (bytes, stamp),
        Resolved::Never(error) => {
            txn.may_be_committed(false);
            return Err(table.explain(error));
        }
        Resolved::Unknown(cause) => {
            return Err(unknown(table, record).with_source(cause));
        }
    };
    let (winner, stamp) = found;
    let (by, checksum) = match Record::parse(version, &winner) {
        Ok(winner) => (winner.txn(), winner.original_checksum()),
        // Neither ours nor anybody's: what was read may not be what is there.
        Err(error) => return Err(unknown(table, record).with_source(error)),
    };
    // Another process may have committed the same transaction, with other files. A tombstone says
    // of which record it is.
    let ours = !txn.is_shared() || checksum == Some(Record::parse(version, &bytes)?.checksum);
    if by == Some(record.txn) && ours {
        // Seen is not yet durable, and whoever wrote it may not live to make it so (A7).
        txn.sync_records().await.map_err(|error| {
            error.context(format!(
                "version {version} of '{}' is committed, but",
                table.name()
            ))
        })?;
        txn.settle();
        return Ok(Outcome::Committed(Made { bytes, stamp: None }));
    }
    txn.may_be_committed(false);
    let winner = Found {
        version,
        content: Ok((winner, stamp)),
        below: None,
    };
    Ok(Outcome::Conflict(Box::new(winner), by))
}

/// Who has a number that a repair was to occupy.
pub(in crate::log) enum Occupied {
    /// What was to be there is there, and durable.
    Ours,
    /// This record.
    Taken(Box<StoredRecord>),
}

/// Creates the tombstone of `version`, unless the number has a record.
pub(in crate::log) async fn occupy(
    table: &Table,
    txn: &Transaction,
    version: Version,
    bytes: Vec<u8>,
) -> Result<Occupied> {
    let bytes = Bytes::from(bytes);
    let (found, _) = match resolve(table, txn, version, &bytes).await {
        Resolved::Created(_) => return Ok(Occupied::Ours),
        Resolved::Found(found, stamp) => (found, stamp),
        Resolved::Never(error) => return Err(table.explain(error)),
        Resolved::Unknown(cause) => {
            let what =
                format!("cannot tell whether version {version} could be occupied; repair again");
            return Err(table.explain(Error::new(ErrorKind::Storage, what).with_source(cause)));
        }
    };
    let record = Record::parse(version, &found).map_err(|error| table.explain(error))?;
    // Seen is not yet durable (A7).
    txn.sync_records().await?;
    Ok(match found == bytes {
        true => Occupied::Ours,
        false => Occupied::Taken(Box::new(record)),
    })
}

/// What is known of the key at the end.
enum Resolved {
    /// We made it; the store gave it this tag, if any.
    Created(Option<String>),
    /// Somebody did: these are the bytes.
    Found(Bytes, Stamp),
    /// Nothing was sent that could still land.
    Never(Error),
    /// The key may be taken later by what was sent.
    Unknown(StoreError),
}

/// Sends the bytes until the key is taken, or until the deadline.
async fn resolve(table: &Table, txn: &Transaction, version: Version, bytes: &Bytes) -> Resolved {
    let path = &layout::record(version);
    let deadline = Instant::now() + DEADLINE;
    let mut pause = PAUSE;
    let mut cause = match create(txn, path, bytes).await {
        Created::Yes(tag) => return Resolved::Created(tag),
        Created::Refused(error) => return Resolved::Never(error),
        Created::Unclear(cause) => cause,
    };
    loop {
        ::log::debug!("the answer to creating {path} settles nothing: {cause}");
        let found = tokio::time::timeout(ATTEMPT, table.objects.get_stamped(path)).await;
        let absent = matches!(found, Ok(Ok(None)));
        if let Ok(Ok(Some((bytes, stamp)))) = found {
            return Resolved::Found(bytes, stamp);
        }
        if Instant::now() >= deadline {
            return Resolved::Unknown(cause);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        // Absent: the same bytes again. Absence proves nothing, an occupied key does.
        if absent {
            match create(txn, path, bytes).await {
                Created::Yes(tag) => return Resolved::Created(tag),
                // What was sent before may land all the same.
                Created::Refused(error) => ::log::debug!("creating {path} again: {error}"),
                Created::Unclear(again) => cause = again,
            }
        }
    }
}

/// Sends the bytes once. What is given up may still land.
async fn create(txn: &Transaction, path: &str, bytes: &Bytes) -> Created {
    match tokio::time::timeout(ATTEMPT, txn.create(path, bytes.clone())).await {
        Ok(created) => created,
        Err(elapsed) => Created::Unclear(StoreError::Generic {
            store: "atio",
            source: elapsed.into(),
        }),
    }
}

/// Fails if the table that has this version, whose record has this checksum, is not the one that is
/// there (A9).
///
/// On a local disk alone, where DROP takes the log away with the directory. The directory of
/// the transaction is in the root that is looked at, and goes with it: if the table is dropped
/// after this look, no record can be written.
pub(in crate::log) async fn check_not_dropped(
    table: &Table,
    txn: &Transaction,
    (version, checksum): (Version, Checksum),
) -> Result<()> {
    if table.objects.disk().is_none() {
        return Ok(());
    }
    txn.prepare().await?;
    let same = match table.objects.get(&layout::record(version)).await? {
        None => false,
        Some(bytes) => match Record::parse(version, &bytes) {
            Ok(found) => found
                .original_checksum()
                .is_none_or(|found| found == checksum),
            // It was whole when the change was planned on it, and damage is not for us to judge.
            Err(_) => true,
        },
    };
    match same {
        true => Ok(()),
        false => Err(table.dropped_meanwhile()),
    }
}

fn unknown(table: &Table, record: &CommitRecord) -> Error {
    let (name, version, txn) = (table.name(), record.version_id, record.txn);
    let again = record.key.as_ref().map_or(String::new(), |key| {
        format!(
            "; or run it again with the same idempotency key, '{}', which is set anew for each statement",
            key.escape_debug()
        )
    });
    Error::new(
        ErrorKind::CommitUnknown,
        format!(
            "the outcome of the commit to '{name}' is unknown: its rows are in exactly version {version} or in none, for good; look before writing them again: SELECT version FROM atio_history('{name}') WHERE txn = '{txn}'{again}"
        ),
    )
}

impl Table {
    pub(in crate::log) fn dropped_meanwhile(&self) -> Error {
        Error::new(
            ErrorKind::Conflict,
            format!(
                "table '{}' was dropped while this statement ran; nothing was written",
                self.name()
            ),
        )
    }
}
