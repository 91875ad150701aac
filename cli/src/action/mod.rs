//! What can be done without SQL.
//!
//! Each action calls the function of `atio` that SQL has for it, too; so nothing is possible here
//! alone, and what a person names is never a part of any SQL.

mod changes;
mod columns;
mod compact;
mod dropped;
mod exact;
mod format;
mod health;
mod ingest;
mod input;
mod output;
mod table;
mod upsert;
mod wishes;
mod write;

use clap::Subcommand;
use datafusion_cli::print_format::PrintFormat;

use crate::failure::Failure;
use crate::session::Session;

/// What to do without SQL.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    Write(write::Write),
    Upsert(upsert::Upsert),
    Changes(changes::Changes),
    History(table::History),
    Tag(table::Tag),
    Tags(table::Tags),
    Untag(table::Untag),
    Rollback(table::Rollback),
    Expire(table::Expire),
    Compact(compact::Compact),
    Stats(health::Stats),
    Check(health::Check),
    Repair(health::Repair),
    Dropped(dropped::Dropped),
    Undrop(dropped::Undrop),
    Purge(dropped::Purge),
    Ingest(ingest::Ingest),
}

impl Action {
    /// What it is called on the command line.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Write(_) => "write",
            Self::Upsert(_) => "upsert",
            Self::Changes(_) => "changes",
            Self::History(_) => "history",
            Self::Tag(_) => "tag",
            Self::Tags(_) => "tags",
            Self::Untag(_) => "untag",
            Self::Rollback(_) => "rollback",
            Self::Expire(_) => "expire",
            Self::Compact(_) => "compact",
            Self::Stats(_) => "stats",
            Self::Check(_) => "check",
            Self::Repair(_) => "repair",
            Self::Dropped(_) => "dropped",
            Self::Undrop(_) => "undrop",
            Self::Purge(_) => "purge",
            Self::Ingest(_) => "ingest",
        }
    }

    /// Fails if its arguments make no sense together; `format` is that of the command line.
    pub(crate) fn check(&self, format: PrintFormat) -> Result<(), Failure> {
        match self {
            Self::Ingest(ingest) => ingest.check(format),
            _ => Ok(()),
        }
    }

    /// Does it, and prints what there is to see.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Write(write) => write.run(session).await,
            Self::Upsert(upsert) => Box::pin(upsert.run(session)).await,
            Self::Changes(changes) => Box::pin(changes.run(session)).await,
            Self::History(history) => history.run(session).await,
            Self::Tag(tag) => tag.run(session).await,
            Self::Tags(tags) => tags.run(session).await,
            Self::Untag(untag) => untag.run(session).await,
            Self::Rollback(rollback) => rollback.run(session).await,
            Self::Expire(expire) => expire.run(session).await,
            Self::Compact(compact) => Box::pin(compact.run(session)).await,
            Self::Stats(stats) => stats.run(session).await,
            Self::Check(check) => check.run(session).await,
            Self::Repair(repair) => repair.run(session).await,
            Self::Dropped(dropped) => dropped.run(session).await,
            Self::Undrop(undrop) => undrop.run(session).await,
            Self::Purge(purge) => purge.run(session).await,
            Self::Ingest(ingest) => Box::pin(ingest.run(session)).await,
        }
    }
}
