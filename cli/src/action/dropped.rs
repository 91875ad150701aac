//! Tables that were dropped from the warehouse: which there are, and bringing them back.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::UInt64Type;
use datafusion::arrow::record_batch::RecordBatch;
use indicatif::HumanBytes;

use crate::failure::Failure;
use crate::functions::literal;
use crate::session::Session;
use crate::tell::tell;

/// The dropped table that a command is about.
#[derive(Debug, Args)]
struct Named {
    /// The name that the table had in the warehouse
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    table: String,

    /// Which of several that were dropped under this name, as 'atio dropped' shows it
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

impl Named {
    /// The first arguments of a function of SQL.
    fn arguments(&self, session: &Session) -> Result<String, Failure> {
        check_warehouse(session)?;
        let id = self.id.as_ref();
        let id = id.map_or(String::new(), |id| format!(", id => {}", literal(id)));
        Ok(literal(&self.table) + &id)
    }
}

fn check_warehouse(session: &Session) -> Result<(), Failure> {
    match session.has_warehouse() {
        true => Ok(()),
        false => Err(Failure::usage(
            "dropped tables are kept in a warehouse alone: say which with --warehouse DIR",
        )),
    }
}

/// Shows the tables that were dropped from a warehouse and can come back.
///
/// On a local disk DROP TABLE deletes nothing for seven days. On an object store it is final.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  atio dropped --warehouse ./wh")]
pub(crate) struct Dropped {}

impl Dropped {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        check_warehouse(session)?;
        let all = "SELECT * FROM atio_dropped() \
                   ORDER BY table_catalog, table_schema, table_name, dropped_at DESC";
        session.show(all).await
    }
}

/// Brings a dropped table back, with all its versions.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  atio undrop sales --warehouse ./wh\n  \
                        atio undrop sales --as old_sales --warehouse ./wh")]
pub(crate) struct Undrop {
    #[command(flatten)]
    table: Named,

    /// The name that it gets [default: the one that it had]
    #[arg(long = "as", value_name = "NAME")]
    new_name: Option<String>,
}

impl Undrop {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut arguments = self.table.arguments(session)?;
        if let Some(name) = &self.new_name {
            arguments += &format!(", new_name => {}", literal(name));
        }
        session
            .show(&format!("SELECT * FROM atio_undrop({arguments})"))
            .await
    }
}

/// Deletes what was dropped under a name, for good.
///
/// Without --yes nothing is deleted: what would go is shown.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  atio purge sales --warehouse ./wh          what would go\n  \
                        atio purge sales --warehouse ./wh --yes    delete it"
)]
pub(crate) struct Purge {
    #[command(flatten)]
    table: Named,

    /// Delete it, for ever
    #[arg(long)]
    yes: bool,
}

impl Purge {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let arguments = self.table.arguments(session)?;
        let tables = session
            .rows(&format!(
                "SELECT * FROM atio_purge({arguments}, dry_run => {})",
                !self.yes
            ))
            .await?;
        let found = found(&tables.batches);
        session.show_rows(tables).await?;
        let (bytes, stay) = found.ok_or_else(|| {
            Failure::new("what a purge found cannot be counted: the rows above are all of it")
        })?;
        let bytes = HumanBytes(bytes);
        match (self.yes, stay) {
            (true, false) => tell(&session.print, format_args!("Deleted {bytes}.")),
            (true, true) => {
                return Err(Failure::new(
                    "files could not be deleted, as the log says; no table comes back with them, \
                     and a later DROP or CREATE tries again",
                ));
            }
            (false, _) => tell(
                &session.print,
                format_args!(
                    "A dry run: {bytes} would go, and nothing was deleted. \
                     The same command with --yes deletes them."
                ),
            ),
        }
        Ok(())
    }
}

/// The bytes of all tables that a purge is about, and whether some of them are still there.
fn found(batches: &[RecordBatch]) -> Option<(u64, bool)> {
    let (mut bytes, mut stay) = (0, false);
    for batch in batches {
        let of_batch = batch.column_by_name("bytes")?;
        let of_batch = of_batch.as_primitive_opt::<UInt64Type>()?;
        bytes += of_batch.iter().flatten().sum::<u64>();
        let deleted = batch.column_by_name("deleted")?.as_boolean_opt()?;
        stay |= deleted.false_count() > 0;
    }
    Some((bytes, stay))
}
