//! Data many times larger than the memory that queries may use is written to a file and to a
//! table, and the process stays small.

use datafusion::error::Result;

use crate::process::Process;
use crate::session::session;
use crate::story::{ensure, show};

/// What queries may use, in bytes, and what the process may have beside it.
const LIMIT: u64 = 20_000_000;
const GROWS: u64 = 4 * LIMIT;
/// Of rows of about a kilobyte.
const LITTLE: u64 = 2_200;
const MUCH: u64 = 220_000;

pub(crate) async fn run() -> Result<()> {
    let ctx = session()?;
    show(&ctx, "CREATE TABLE wide (id BIGINT, text TEXT)").await?;
    println!("\n  {};", statements(MUCH).join(";\n  "));
    let little = Process::sql(&statements(LITTLE))?.succeed()?.peak_memory;
    let much = Process::sql(&statements(MUCH))?.succeed()?.peak_memory;

    let rows = "SELECT count(*) AS rows, sum(length(text)) AS bytes FROM wide";
    let rows = show(&ctx, rows).await?;
    rows.must_be(0, "rows", MUCH)?;
    let bytes = rows.number(0, "bytes")? as u64;
    ensure(
        bytes > 10 * LIMIT,
        "the data is ten times larger than the limit",
    )?;
    if much == 0 {
        println!("  How much memory the process had this system does not tell.");
        return Ok(());
    }
    println!(
        "  At most the process had {} MB of memory with a hundredth",
        little / 1000
    );
    println!("  of the rows, and {} MB with all.", much / 1000);
    let grown = much.saturating_sub(little) * 1024;
    ensure(grown < GROWS, "memory does not grow with the data")
}

fn statements(rows: u64) -> [String; 4] {
    let wide = format!(
        "SELECT value AS id, repeat(CAST(value AS TEXT), 160) AS text FROM generate_series(100001, {})",
        100_000 + rows
    );
    [
        "SET datafusion.runtime.memory_limit = '20M'".to_owned(),
        "SET datafusion.execution.batch_size = 1024".to_owned(),
        format!("COPY ({wide}) TO 'wide.parquet' STORED AS PARQUET"),
        format!("INSERT OVERWRITE wide {wide}"),
    ]
}
