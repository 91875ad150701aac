//! Rows of a file into a table by a key: those that are there are updated, the others inserted.

use atio::{CommitOptions, RowsChanged};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use datafusion::catalog::TableProvider;

use super::columns::found_by_name;
use super::format::Format;
use super::input::{Input, check_may_be_read_again, existing_table};
use crate::failure::Failure;
use crate::session::Session;
use crate::tell::tell;

/// Updates the rows of a table that a file has anew, and inserts the others.
///
/// Rows are the same if they have the same values in the columns of --key. All rows of the file are
/// in one version of the table afterwards, or none. Columns are found by their names, and have the
/// types of the table. One that the file has not keeps its value in rows that are updated, and is
/// NULL in rows that are inserted. The file must not have a key twice. A row with NULL in its key
/// is the same as no other, and is inserted each time. Without such rows, the same upsert run again
/// makes a version with the same rows.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atio upsert ./stock counted.csv --key id                       by one column
  atio upsert ./sales june.parquet --key shop,day                by two
  curl .. | atio upsert ./stock - --from json --key id           from standard input")]
pub(crate) struct Upsert {
    /// The table, which must be there: a name in the warehouse, a path, or a URL
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    table: String,

    /// What to read: a file, a directory of files, a table, or '-' for standard input
    #[arg(value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    input: String,

    /// The columns by which rows are the same; several with commas, or --key again
    #[arg(
        long,
        value_name = "COLUMN",
        required = true,
        value_delimiter = ',',
        value_parser = NonEmptyStringValueParser::new()
    )]
    key: Vec<String>,

    /// What FILE is, where its name does not tell: one of the words of 'atio write --to'
    #[arg(long, value_name = "FORMAT", value_enum, hide_possible_values = true)]
    from: Option<Format>,

    /// What the history says of it
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,

    /// Run it again up to so many times if another statement changes the same rows first
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    retries: u32,
}

impl Upsert {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        check_may_be_read_again(&self.input, self.retries)?;
        let (_, table) = existing_table(session, &self.table).await?;
        session.show_bars();
        let input = Input::find(session, &self.input, self.from).await?;
        let rows = input.rows(session, Some(&table.schema())).await?;
        let rows = found_by_name(rows, &table.schema())?;
        let commit = CommitOptions {
            message: self.message,
            retries: self.retries,
            ..CommitOptions::default()
        };
        let upsert = table.merge(rows).on(self.key).update_all().insert_all();
        let changed = upsert.execute(commit).await?;
        tell(&session.print, sentence(&self.table, &changed));
        Ok(())
    }
}

fn sentence(table: &str, changed: &RowsChanged) -> String {
    let rows = |rows: u64| match rows {
        1 => "1 row".to_owned(),
        rows => format!("{rows} rows"),
    };
    match changed.version {
        None => format!("There are no rows to write: {table} stays as it is."),
        Some(version) => format!(
            "Updated {} and inserted {} in {table}: version {version}.",
            rows(changed.updated),
            rows(changed.inserted)
        ),
    }
}
