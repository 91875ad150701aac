//! Compaction: few large files in place of many small ones.

use std::num::NonZeroU64;

use atio::{AtioTable, CommitOptions, CompactOptions, CompactOutcome, Compacted, batches};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use datafusion::common::instant::Instant;

use crate::failure::Failure;
use crate::session::Session;
use crate::tell::tell;

/// Writes the rows of many small files of a table into few large ones.
///
/// Without --yes nothing is written: the files that would be are shown. Files that are too large are
/// split, and rows that were only marked as deleted go. Each group of files becomes a version of its
/// own; the old files go when the older versions expire.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  atio compact ./sales                            what would be done\n  \
                        atio compact ./sales --yes                      do it\n  \
                        atio compact ./sales --order-by 'day, item' --yes"
)]
pub(crate) struct Compact {
    /// The table: a name in the warehouse, a path, or a URL
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    table: String,

    /// About so many bytes a file is to have [default: as the table says, or 268435456]
    #[arg(long, value_name = "BYTES")]
    target_file_size: Option<NonZeroU64>,

    /// Only files that may hold rows which meet this condition: "day >= '2026-01-01'"
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,

    /// Write all of these files anew, with their rows in this order: 'day, price DESC'
    #[arg(long, value_name = "COLUMNS")]
    order_by: Option<String>,

    /// What the history says of it
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,

    /// Do it
    #[arg(long)]
    yes: bool,
}

impl Compact {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let start = Instant::now();
        let table: AtioTable = session.open(&self.table).await?;
        let (condition, order) = (self.condition.as_deref(), self.order_by.as_deref());
        let chosen = atio::compact_options(&session.ctx, &table, condition, order)?;
        let options = CompactOptions {
            target_file_size: self.target_file_size.map(NonZeroU64::get),
            dry_run: !self.yes,
            commit: CommitOptions {
                message: self.message,
                ..CommitOptions::default()
            },
            ..chosen
        };
        let compacted = table.compact(&session.ctx, options).await?;
        let rows = batches::compacted(&compacted)?;
        session.show_batch(rows, start).await?;
        said(session, &compacted);
        Ok(())
    }
}

fn said(session: &Session, compacted: &Compacted) {
    let groups = &compacted.groups;
    let is_dry_run = groups
        .iter()
        .any(|group| group.outcome == CompactOutcome::Planned);
    let (before, after) = (compacted.files_before(), compacted.files_after());
    match (groups.is_empty(), is_dry_run) {
        (true, _) => tell(&session.print, "Nothing is to be compacted."),
        (false, true) => tell(
            &session.print,
            format_args!(
                "A dry run: {} would become about {after}, and nothing was written. \
                 The same command with --yes does it.",
                files(before)
            ),
        ),
        // All of them gave way.
        (false, false) if before == 0 => {}
        (false, false) => tell(
            &session.print,
            format_args!("{} became {after}.", files(before)),
        ),
    }
    if compacted.gave_way() > 0 {
        tell(
            &session.print,
            "Other statements changed some of the files first: the same command compacts what is left.",
        );
    }
}

fn files(count: u64) -> String {
    match count {
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    }
}
