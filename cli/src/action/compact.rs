//! Compaction: few large files in place of many small ones.

use std::num::NonZeroU64;

use atio::{AtioTable, CommitOptions, CompactOptions, CompactOutcome, Compacted, batches};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use datafusion::common::instant::Instant;

use crate::failure::Failure;
use crate::session::Session;
use crate::size::parse_file_size;
use crate::tell::tell;

/// Writes the rows of many small files of a table into few large ones.
///
/// Without --yes nothing is written: the files that would be are shown. Files that are too large are
/// split, and rows that were only marked as deleted go. Each group of files becomes a version of its
/// own; the old files go when the older versions expire. Files that another statement changes first are
/// chosen anew, up to three times in all. The exit status is 1 if nothing came of any of them.
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

    /// About so large a file is to be, such as '256m' [default: as the table says, or 256m]
    #[arg(long, value_name = "SIZE", value_parser = parse_file_size)]
    target_file_size: Option<NonZeroU64>,

    /// Only files that may hold rows which meet this condition: "day >= '2026-01-01'"
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,

    /// Write all of these files anew, with their rows in this order: 'day, price DESC'
    #[arg(long, value_name = "ORDER")]
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
        let gave_way = compacted.gave_way();
        check(
            &self.table,
            compacted.groups.len() as u64 - gave_way,
            gave_way,
        )
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
        // All of them gave way, which is an error.
        (false, false) if before == 0 => return,
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

/// Fails if groups of files gave way and none was compacted: what runs this every night is to know.
fn check(table: &str, compacted: u64, gave_way: u64) -> Result<(), Failure> {
    match (compacted, gave_way) {
        (0, 1..) => Err(Failure::new(format!(
            "nothing of {table} was compacted: each time other statements changed the files first; \
             run it again, or when fewer statements write"
        ))),
        _ => Ok(()),
    }
}

fn files(count: u64) -> String {
    match count {
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fails_if_all_gave_way_and_not_if_some_did() {
        for (compacted, gave_way) in [(0, 0), (2, 0), (1, 3)] {
            check("sales", compacted, gave_way).unwrap();
        }
        let failure = check("sales", 0, 2).unwrap_err();
        assert_eq!(failure.status(), 1);
        let Failure::Message(said) = failure else {
            panic!("{failure:?}")
        };
        assert!(said.starts_with("nothing of sales was compacted"), "{said}");
    }
}
