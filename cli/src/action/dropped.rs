//! Tables that were dropped from the warehouse: which there are, and bringing them back.

use atio::{AtioCatalog, DroppedTable, PurgeOptions, UndropOptions, batches};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use datafusion::common::ResolvedTableReference;
use datafusion::common::instant::Instant;
use indicatif::HumanBytes;

use crate::failure::Failure;
use crate::session::{Session, WAREHOUSE_CATALOG};
use crate::tell::tell;

/// The dropped table that a command is about.
#[derive(Debug, Args)]
struct DroppedName {
    /// The name that the table had in the warehouse
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    table: String,

    /// Which of several that were dropped under this name, as 'atio dropped' shows it
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

impl DroppedName {
    /// The catalog, and the schema and the name that the table had.
    fn resolve<'a>(
        &self,
        session: &'a Session,
    ) -> Result<(&'a AtioCatalog, ResolvedTableReference), Failure> {
        let catalog = warehouse(session)?;
        let named = session.in_warehouse(&self.table);
        match *named.catalog == *WAREHOUSE_CATALOG {
            true => Ok((catalog, named)),
            false => Err(Failure::usage(format!(
                "'{named}' is no table of the warehouse"
            ))),
        }
    }
}

fn warehouse(session: &Session) -> Result<&AtioCatalog, Failure> {
    session.warehouse().ok_or_else(|| {
        Failure::usage(
            "dropped tables are kept in a warehouse alone: say which with --warehouse DIR",
        )
    })
}

/// Shows the tables that were dropped from a warehouse and can come back.
///
/// On a local disk DROP TABLE deletes nothing for seven days. On an object store it is final.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  atio dropped --warehouse ./wh")]
pub(crate) struct Dropped {}

impl Dropped {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let start = Instant::now();
        let mut tables = warehouse(session)?.dropped_tables().await?;
        tables.sort_by(|one, two| {
            let name = |table: &DroppedTable| (table.schema.clone(), table.table.clone());
            let newest_first = two.dropped_at.cmp(&one.dropped_at);
            name(one).cmp(&name(two)).then(newest_first)
        });
        let rows = batches::dropped(tables.iter().map(|table| (WAREHOUSE_CATALOG, table)))?;
        session.show_batch(rows, start).await
    }
}

/// Brings a dropped table back, with all its versions.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  atio undrop sales --warehouse ./wh\n  \
                        atio undrop sales --as old_sales --warehouse ./wh")]
pub(crate) struct Undrop {
    #[command(flatten)]
    table: DroppedName,

    /// The name that it gets [default: the one that it had]
    #[arg(long = "as", value_name = "NAME")]
    new_name: Option<String>,
}

impl Undrop {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let start = Instant::now();
        let (catalog, named) = self.table.resolve(session)?;
        let options = UndropOptions {
            id: self.table.id,
            new_name: self.new_name,
        };
        let back = catalog.undrop_table(&named.schema, &named.table, &options);
        let mut back = back.await?;
        // As it is called by now.
        back.table = options.new_name.unwrap_or(back.table);
        let rows = batches::undropped([(WAREHOUSE_CATALOG, &back)])?;
        session.show_batch(rows, start).await
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
    table: DroppedName,

    /// Delete it, for ever
    #[arg(long)]
    yes: bool,
}

impl Purge {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let start = Instant::now();
        let (catalog, named) = self.table.resolve(session)?;
        let options = PurgeOptions {
            id: self.table.id,
            dry_run: !self.yes,
        };
        let purged = catalog.purge_table(&named.schema, &named.table, &options);
        let purged = purged.await?;
        let bytes: u64 = purged.iter().map(|purged| purged.bytes).sum();
        let stay = purged.iter().any(|purged| !purged.deleted);
        let rows = batches::purged(purged.iter().map(|purged| (WAREHOUSE_CATALOG, purged)))?;
        session.show_batch(rows, start).await?;
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
