//! What a commit came to: an answer that is not "yes" says nothing by itself.
//!
//! "Already exists" may be our own record whose reply was lost; a time-out may still land;
//! an error may have come after the write. Only reading the key back decides.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::objects::Created;
use super::table::Table;
use crate::error::{Error, ErrorKind, Result};
use crate::format::record::StoredRecord;
use crate::format::{Record, Txn, Version, layout};

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

/// Creates the record of `version` and finds out what became of it.
///
/// Fails with [`ErrorKind::CommitUnknown`] if the store gives no answer until the deadline:
/// then nothing of the transaction may be deleted.
pub(super) async fn create_record(table: &Table, version: Version, txn: Txn, bytes: Bytes) -> Result<Outcome> {
    let path = layout::record(version);
    let deadline = Instant::now() + DEADLINE;
    let mut pause = PAUSE;
    let mut created = table.objects.create(&path, bytes.clone()).await?;
    loop {
        let Created::Unclear(cause) = created else {
            return Ok(Outcome::Committed);
        };
        match table.objects.get(&path).await {
            Ok(Some(found)) => {
                let found = Record::parse(version, &found).map_err(|error| table.explain(error))?;
                return Ok(match found.txn() == Some(txn) {
                    true => Outcome::Committed,
                    false => Outcome::Conflict(Box::new(found)),
                });
            }
            // Absent: the same bytes again, until the key is taken by somebody.
            Ok(None) if Instant::now() < deadline => {
                tokio::time::sleep(pause).await;
                created = table.objects.create(&path, bytes.clone()).await?;
            }
            Err(_) if Instant::now() < deadline => {
                tokio::time::sleep(pause).await;
                created = Created::Unclear(cause);
            }
            _ => return Err(unknown(table, version, txn).with_source(cause)),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
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
