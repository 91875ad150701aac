//! The health of a table: how large it is, what is wrong with it, and mending that.

use atio::{CheckOptions, RepairOptions, Severity, batches};
use clap::Args;
use datafusion::common::instant::Instant;

use super::table::Named;
use crate::failure::Failure;
use crate::session::Session;
use crate::tell::tell;

/// Shows how large a table is, and what could be cleared up.
///
/// Small files have less than half of the table's target size. 'expirable' is what 'atio expire'
/// removes if it is given nothing but --yes.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  atio stats ./sales --format json")]
pub(crate) struct Stats {
    #[command(flatten)]
    table: Named,
}

impl Stats {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let start = Instant::now();
        let table = self.table.open(session).await?;
        let stats = table.stats().await?;
        session.show_batch(batches::stats(&[stats])?, start).await
    }
}

/// Looks for damage in a table, and says what to do about it.
///
/// It looks at everything that a version needs which has not expired. The exit status is 1 if there is
/// an error; warnings alone are no failure. Nothing is changed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  atio check ./sales           sizes, lists and footers\n  \
                        atio check ./sales --deep    also every byte of what holds rows"
)]
pub(crate) struct Check {
    #[command(flatten)]
    table: Named,

    /// Read all data files and deletion vectors: their checksums, and rows against statistics
    #[arg(long)]
    deep: bool,
}

impl Check {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let start = Instant::now();
        let table = self.table.open(session).await?;
        let findings = table.check(CheckOptions { deep: self.deep }).await?;
        session
            .show_batch(batches::findings(&findings)?, start)
            .await?;
        let of = |severity| {
            findings
                .iter()
                .filter(|finding| finding.severity == severity)
                .count()
        };
        let errors = of(Severity::Error);
        match (errors, of(Severity::Warning)) {
            (0, 0) => tell(&session.print, "Nothing is wrong."),
            (0, warnings) => tell(
                &session.print,
                format_args!("{}, and no error.", counted(warnings, "warning")),
            ),
            _ => {}
        }
        match errors {
            0 => Ok(()),
            errors => Err(Failure::new(format!(
                "the table has {}, as the rows tell",
                counted(errors, "error")
            ))),
        }
    }
}

/// Mends what can be mended in a table without losing anything.
///
/// That is the pointer to the newest version, the marker, and numbers whose records are lost. Without
/// --yes nothing is changed: what would be done is shown, and what a person has to do.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  atio repair ./sales          what would be done\n  \
                        atio repair ./sales --yes    do it"
)]
pub(crate) struct Repair {
    #[command(flatten)]
    table: Named,

    /// Do it
    #[arg(long)]
    yes: bool,
}

impl Repair {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let start = Instant::now();
        let table = self.table.open(session).await?;
        let options = RepairOptions { dry_run: !self.yes };
        let rows = table.repair(options).await?;
        session.show_batch(batches::repaired(&rows)?, start).await?;
        let left = rows.iter().filter(|row| !row.done).count();
        match (rows.len(), left) {
            (0, _) => tell(&session.print, "Nothing is wrong."),
            (_, 0) => tell(&session.print, "Everything is mended."),
            (_, _) if !self.yes => tell(
                &session.print,
                "A dry run: nothing was changed. The same command with --yes mends what can be mended.",
            ),
            (_, left) => {
                return Err(Failure::new(format!(
                    "{} could not be mended, as the rows tell",
                    counted(left, "problem")
                )));
            }
        }
        Ok(())
    }
}

fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}
