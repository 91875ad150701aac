//! The health of a table: how large it is, what is wrong with it, and mending that.

use std::io::{self, Write};

use atio::{CheckOptions, Finding, RepairOptions, RepairRow, Severity, batches};
use clap::Args;
use datafusion::common::instant::Instant;
use datafusion_cli::print_format::PrintFormat;

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
        match session.print.format {
            PrintFormat::Automatic => show_findings(&findings)?,
            _ => {
                let rows = batches::findings(&findings)?;
                session.show_batch(rows, start).await?;
            }
        }
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
        match session.print.format {
            PrintFormat::Automatic => show_repaired(&rows)?,
            _ => session.show_batch(batches::repaired(&rows)?, start).await?,
        }
        let left = rows.iter().filter(|row| !row.done).count();
        match (rows.len(), left) {
            (0, _) => tell(&session.print, "Nothing is wrong."),
            (_, 0) => {
                // What was mended may have hidden something else.
                let findings = table.check(CheckOptions::default()).await?;
                let errors = findings.iter();
                let errors = errors.filter(|finding| finding.severity == Severity::Error);
                match errors.count() {
                    0 => tell(&session.print, "Everything is mended."),
                    errors => {
                        return Err(Failure::new(format!(
                            "all of this is mended, and the table still has {}: 'atio check' shows what",
                            counted(errors, "error")
                        )));
                    }
                }
            }
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

/// One finding after another: they are too wide for a table.
fn show_findings(findings: &[Finding]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    for finding in findings {
        let (severity, object) = (finding.severity, shown(&finding.object));
        match finding.version {
            Some(version) => writeln!(output, "{severity}: {object}, version {version}")?,
            None => writeln!(output, "{severity}: {object}")?,
        }
        show_lines(&mut output, &finding.finding, &finding.action)?;
    }
    output.flush()
}

fn show_repaired(rows: &[RepairRow]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    for row in rows {
        let object = shown(&row.object);
        match row.done {
            true => writeln!(output, "mended: {object}")?,
            false => writeln!(output, "not mended: {object}")?,
        }
        show_lines(&mut output, &row.problem, &row.action)?;
    }
    output.flush()
}

fn show_lines(output: &mut impl Write, what: &str, action: &str) -> io::Result<()> {
    writeln!(output, "    {}", shown(what))?;
    writeln!(output, "    {}", shown(action))
}

/// Names come from the storage: what a terminal could take for a command is taken out.
fn shown(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}
