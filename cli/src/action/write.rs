//! Rows of a file, a table or a database into another.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::format::Format;
use super::input::{Input, check_may_be_read_again};
use super::output::Output;
use super::wishes::{IfExists, Wishes};
use crate::failure::Failure;
use crate::session::Session;
use crate::tell::tell;

/// Writes the rows of a file or table to another file or table.
///
/// All rows are there afterwards, or none: a file is replaced in one step once it is complete,
/// and has a marker beside it then ('.<name>._SUCCESS'); a table gets one version more; a
/// database one transaction. What a name is, its ending tells: csv, tsv, json (an object a
/// line), parquet, arrow, avro (to read), xlsx (to write), also with .gz, .bz2, .xz or .zst
/// after the first three. Without an ending it is an atio table: a directory, a URL, or with
/// --warehouse a name.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atio write june.csv june.parquet                 from one format to another
  atio write june.csv ./sales --create             into a table, which is made if it is missing
  atio write ./sales sales.xlsx --if-exists fail   from a table to Excel
  atio write sales.csv env:SHOP/sales              into a database; SHOP holds its URL
  atio write sales.csv shop.db/sales               into a table of a file of SQLite
  curl .. | atio write - june.csv --from json      from standard input")]
pub(crate) struct Write {
    /// What to read: a file, a directory of files, a table, or '-' for standard input
    #[arg(value_name = "IN", value_parser = NonEmptyStringValueParser::new())]
    input: String,

    /// What to write: a file, an atio table, or a table of a database
    #[arg(value_name = "OUT", value_parser = NonEmptyStringValueParser::new())]
    output: String,

    /// What IN is, where its name does not tell: one of the words of --to
    #[arg(long, value_name = "FORMAT", value_enum, hide_possible_values = true)]
    from: Option<Format>,

    /// What OUT is, where its name does not tell
    #[arg(long, value_name = "FORMAT", value_enum)]
    to: Option<Format>,

    /// What to do if OUT is there [default: replace a file, append to an atio table, fail for a
    /// table of a database]
    #[arg(long, value_name = "WHAT", value_enum)]
    if_exists: Option<IfExists>,

    /// Make the atio table OUT if it is missing, with the columns of IN
    #[arg(long)]
    create: bool,

    /// Keep the file that is replaced: SELECT * FROM atio_restore('OUT') puts it back
    #[arg(long)]
    backup: bool,

    /// Where the marker of a file lies, or 'none' [default: beside it, where programs that read
    /// all files of a directory, hidden ones too, take it for data]
    #[arg(long, value_name = "PATH", value_parser = NonEmptyStringValueParser::new())]
    marker: Option<String>,

    /// What the history of an atio table says of it
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,

    /// Write to an atio table again up to so many times if another statement comes first
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    retries: u32,
}

impl Write {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        check_may_be_read_again(&self.input, self.retries)?;
        let wishes = Wishes {
            if_exists: self.if_exists,
            create: self.create,
            backup: self.backup,
            marker: self.marker.as_deref(),
            message: self.message.as_deref(),
            retries: self.retries,
        };
        // Before anything is read: what cannot be written need not be.
        let output = Output::find(session, &self.output, self.to, &wishes).await?;
        let input = Input::find(session, &self.input, self.from).await?;
        match output.write(session, input, &wishes).await? {
            Some(1) => tell(
                &session.print,
                format_args!("Wrote 1 row to {}.", self.output),
            ),
            Some(rows) => tell(
                &session.print,
                format_args!("Wrote {rows} rows to {}.", self.output),
            ),
            None => tell(
                &session.print,
                format_args!("{} is there already: nothing was written.", self.output),
            ),
        }
        Ok(())
    }
}
