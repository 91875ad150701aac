//! A process is killed while it replaces a file: the old file is untouched.

use std::fs;

use atio::Marker;
use datafusion::error::Result;

use crate::process::Process;
use crate::session::session;
use crate::story::{ensure, show};

pub(crate) async fn run() -> Result<()> {
    let ctx = session()?;
    let report = "COPY (SELECT value AS id FROM generate_series(1, 3)) TO 'report.csv' STORED AS CSV OPTIONS ('atio.marker' 'true')";
    show(&ctx, report).await?;
    let before = fs::read("report.csv")?;

    println!(
        "\n  Another process begins to replace it by a billion rows, and is killed (kill -9):"
    );
    let replace = report.replace("1, 3", "1, 1000000000");
    let mut writer = Process::sql(&[&replace])?;
    let pid = writer.id();
    writer.wait_until(|| written(pid) > 1_000_000)?;
    let bytes = written(pid);
    writer.kill()?;
    println!("  it had written {bytes} bytes, into a file that has no name");

    ensure(
        fs::read("report.csv")? == before,
        "report.csv is what it was, to the byte",
    )?;
    println!("  report.csv is what it was, to the byte");
    let rows = Marker::read("report.csv")?.map(|marker| marker.rows);
    ensure(rows == Some(3), "the marker still says that it is complete")?;

    let entries = fs::read_dir(".")?.filter_map(|entry| entry.ok());
    let left = entries.filter(|entry| entry.file_name().to_string_lossy().contains("atio-"));
    ensure(left.count() == 0, "nothing of the dead process is left")?;
    println!("  Nothing of what it had written is left.");
    show(&ctx, report).await.map(drop)
}

/// Returns how many bytes the process has written, as Linux counts them.
fn written(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let mut lines = text.lines();
    let bytes = lines.find_map(|line| line.strip_prefix("wchar: "));
    bytes.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}
