//! Brings the year in as it happened: one day, one INSERT, one version.

use std::time::Instant;

use datafusion::error::Result;
use datafusion::prelude::SessionContext;

use crate::ALL_FLIGHTS;
use crate::story::{ask, chapter, ensure};

/// The real flights: see `examples/data/README.md`.
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data");

/// Loads the files of `examples/data` into the session: tables `delivery` and `airlines`.
///
/// `delivery` is in memory and plays the system that hands over a day's flights each night.
async fn open_source(ctx: &SessionContext) -> Result<()> {
    let data = DATA.replace('\'', "''");
    let archive = format!("STORED AS PARQUET LOCATION '{data}/flights.parquet'");
    let airlines = format!("STORED AS CSV LOCATION '{data}/airlines.csv'");
    ask(ctx, &format!("CREATE EXTERNAL TABLE archive {archive}")).await?;
    ask(ctx, &format!("CREATE EXTERNAL TABLE airlines {airlines}")).await?;
    ask(ctx, "CREATE TABLE delivery AS SELECT * FROM archive").await?;
    Ok(())
}

/// Inserts the flights of each day by a statement of its own.
pub(crate) async fn load_the_year(ctx: &SessionContext) -> Result<()> {
    chapter("Every INSERT commits one version: a year of them, one a day");
    open_source(ctx).await?;
    let days = "SELECT day, count(*) AS flights FROM delivery GROUP BY day ORDER BY day";
    let days = ask(ctx, days).await?;

    let (start, mut in_month, mut in_all) = (Instant::now(), 0, 0);
    for row in 0..days.rows() {
        let day = days.text(row, "day")?;
        let insert = format!("INSERT INTO flights SELECT * FROM delivery WHERE day = DATE '{day}'");
        if row == 0 {
            println!("\n  {insert};\n  -- and so on, day by day\n");
        }
        let inserted = ask(ctx, &insert).await?;
        inserted.must_be(0, "count", days.text(row, "flights")?)?;
        in_month += inserted.number(0, "count")? as u64;

        let month = &day[.."2013-01".len()];
        if row + 1 == days.rows() || !days.text(row + 1, "day")?.starts_with(month) {
            in_all += in_month;
            let (version, seconds) = (row + 1, start.elapsed().as_secs_f64());
            println!(
                "  {month} {in_month:>7} flights, newest version {version:>3} {seconds:>6.1} s"
            );
            in_month = 0;
        }
    }
    println!("          {in_all:>7} flights");
    ensure(in_all == ALL_FLIGHTS, format!("{ALL_FLIGHTS} were loaded"))
}
