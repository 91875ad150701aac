//! Memory does not grow with the rows: measured from outside, in a process for each size.

use std::fs;
use std::process::Command;

use crate::long_form::long;
use crate::session::Place;

use super::copy;

const ROWS: &str = "ATIO_TEST_XLSX_ROWS";
const SAYS: &str = "peak kB: ";

/// Does nothing unless the test below gave it a number of rows.
#[tokio::test]
async fn child() {
    let Ok(rows) = std::env::var(ROWS) else {
        return;
    };
    let place = Place::disk();
    let query = format!("SELECT value AS a, md5(CAST(value AS TEXT)) AS b FROM range({rows})");
    copy(&place.session(), &place, &query, "").await;
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.unwrap().trim().trim_end_matches(" kB");
    println!("\n{SAYS}{peak}");
}

fn peak(rows: u32) -> u64 {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "xlsx::memory_use::child", "--nocapture"])
        .env(ROWS, rows.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let peak = said.lines().find_map(|line| line.strip_prefix(SAYS));
    peak.unwrap_or_else(|| panic!("{output:?}"))
        .parse()
        .unwrap()
}

#[test]
fn memory_stays_flat_while_the_rows_grow_tenfold() {
    let few = if long() { 100_000 } else { 10_000 };
    let (low, high) = (peak(few), peak(few * 10));
    println!("{few} rows: {low} kB, ten times as many: {high} kB");
    // Held in memory, each row would take more than 500 bytes. What is packed is uploaded in
    // parts of ten megabytes, of which some are under way at once.
    let room = if long() { 100_000 } else { 20_000 };
    assert!(high < low + room, "{low} kB became {high} kB");
}
