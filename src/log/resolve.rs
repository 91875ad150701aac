//! What a commit came to: an answer that is not "yes" says nothing by itself.
//!
//! "Already exists" may be our own record whose reply was lost; a time-out may still land;
//! an error may have come after the write. Only reading the key back decides.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::objects::Created;
use super::table::Table;
use super::transaction::Transaction;
use crate::error::{Error, ErrorKind, Result};
use crate::format::StoredRecord;
use crate::format::{CommitRecord, Record, Txn, Version, layout};

/// After this long without a definite answer the outcome is unknown.
const DEADLINE: Duration = Duration::from_secs(60);
/// The first pause between two looks; it doubles up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Two of the three endings of a commit; the third, unknown, is an error.
pub(super) enum Outcome {
    /// Our record is under the key.
    Committed,
    /// Another record is: ours never will be.
    Conflict(Box<StoredRecord>),
}

/// Creates `record` and finds out what became of it.
///
/// Fails with [`ErrorKind::CommitUnknown`] if the store gives no answer until the deadline:
/// then nothing of the transaction may be deleted. From the first try on until a conflict is
/// certain, dropping `txn` removes nothing either.
pub(super) async fn create_record(
    table: &Table,
    txn: &Transaction,
    record: &CommitRecord,
) -> Result<Outcome> {
    let version = record.version_id;
    let path = layout::record(version);
    let bytes = Bytes::from(record.to_bytes()?);
    txn.may_be_committed(true);
    let outcome = match resolve(table, &path, &bytes).await? {
        None => return Err(unknown(table, version, record.txn)),
        Some(found) if found == bytes => Outcome::Committed,
        Some(found) => match Record::parse(version, &found) {
            Ok(found) if found.txn() == Some(record.txn) => Outcome::Committed,
            Ok(found) => Outcome::Conflict(Box::new(found)),
            // Neither ours nor anybody's: what was read may not be what is there.
            Err(error) => return Err(unknown(table, version, record.txn).with_source(error)),
        },
    };
    match outcome {
        Outcome::Committed => check_not_dropped(table, record).await?,
        Outcome::Conflict(_) => txn.may_be_committed(false),
    }
    Ok(outcome)
}

/// Sends the bytes until the key is taken; gives what is under it, None if nobody can tell.
async fn resolve(table: &Table, path: &str, bytes: &Bytes) -> Result<Option<Bytes>> {
    let deadline = Instant::now() + DEADLINE;
    let mut pause = PAUSE;
    let mut created = table.objects.create(path, bytes.clone()).await?;
    loop {
        let Created::Unclear(cause) = created else {
            return Ok(Some(bytes.clone()));
        };
        ::log::debug!("the answer to creating {path} settles nothing: {cause}");
        let found = table.objects.get(path).await;
        if let Ok(Some(found)) = found {
            return Ok(Some(found));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        created = match found {
            // Absent: the same bytes again. Absence proves nothing, an occupied key does.
            Ok(_) => table.objects.create(path, bytes.clone()).await?,
            Err(_) => Created::Unclear(cause),
        };
    }
}

/// A local table that was dropped meanwhile is gone with its directory, and the store has
/// made a new one for our record: then nothing was committed (A9).
async fn check_not_dropped(table: &Table, record: &CommitRecord) -> Result<()> {
    let Some(previous) = record
        .previous
        .as_ref()
        .filter(|_| table.objects.is_local())
    else {
        return Ok(());
    };
    let dropped = match table.objects.get(&layout::record(previous.version)).await {
        Ok(None) => true,
        Ok(Some(bytes)) => match Record::parse(previous.version, &bytes) {
            Ok(below) => below
                .original_checksum()
                .is_some_and(|found| found != previous.checksum),
            Err(_) => false,
        },
        Err(_) => false,
    };
    if !dropped {
        return Ok(());
    }
    // Another table may have been made there since, with a record under the same name.
    let path = layout::record(record.version_id);
    let ours = table.objects.get(&path).await;
    if let Ok(Some(found)) = ours
        && found == record.to_bytes()?
        && let Err(error) = table.objects.delete(&path).await
    {
        return Err(unknown(table, record.version_id, record.txn).with_source(error));
    }
    Err(Error::new(
        ErrorKind::Conflict,
        format!(
            "table '{}' was dropped while this statement ran; nothing was written",
            table.name()
        ),
    ))
}

fn unknown(table: &Table, version: Version, txn: Txn) -> Error {
    Error::new(
        ErrorKind::CommitUnknown,
        format!(
            "the outcome of the commit to '{}' is unknown: its rows are in exactly version {version} or in none, for good; look for transaction {txn} in atio_history before writing them again",
            table.name()
        ),
    )
}
