//! A process is killed while it replaces a file: the old file is untouched.

use std::fs;

use atio::Marker;
use datafusion::error::Result;

use crate::process::Process;
use crate::session::session;
use crate::story::{ensure, show};

pub(crate) async fn run() -> Result<()> {
    let ctx = session()?;
    let report =
        "COPY (SELECT value AS id FROM generate_series(1, 3)) TO 'report.csv' STORED AS CSV";
    show(&ctx, report).await?;
    let before = fs::read("report.csv")?;

    println!(
        "\n  Another process begins to replace it by a billion rows, and is killed (kill -9):"
    );
    let replace = report.replace("1, 3", "1, 1000000000");
    let mut writer = Process::sql(&[&replace])?;
    writer.wait_until(|| unfinished().is_some_and(|(_, bytes)| bytes > 1_000_000))?;
    writer.kill()?;
    let Some((name, bytes)) = unfinished() else {
        return ensure(false, "a killed process cannot clean up");
    };
    println!("  it had written {bytes} bytes, into {name}");

    ensure(
        fs::read("report.csv")? == before,
        "report.csv is what it was, to the byte",
    )?;
    println!("  report.csv is what it was, to the byte");
    let rows = Marker::read("report.csv")?.map(|marker| marker.rows);
    ensure(rows == Some(3), "the marker still says that it is complete")?;

    println!("\n  Whoever writes the file next removes what the dead process left:");
    show(&ctx, report).await?;
    ensure(unfinished().is_none(), "nothing is left")
}

/// Returns the name and size of a file that is being written: it is hidden, and ends in `.tmp`.
fn unfinished() -> Option<(String, u64)> {
    let mut entries = fs::read_dir(".").ok()?.filter_map(|entry| entry.ok());
    entries.find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let unfinished = name.starts_with(".report.csv.atio-") && name.ends_with(".tmp");
        unfinished.then_some((name, entry.metadata().ok()?.len()))
    })
}
