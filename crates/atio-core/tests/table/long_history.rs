//! Expiry of many versions takes memory for their names, not for each of their files again.

use std::env;
use std::fs;
use std::process::Command;
use std::time::Instant;

use super::{append, create, everything, on_disk};
use crate::shared::long_form::long;

const VERSIONS: &str = "ATIO_TEST_VERSIONS";
const SAYS: &str = "more kB: ";

/// Does nothing unless the test below gave it a number of versions.
#[tokio::test]
async fn child() {
    let Ok(versions) = env::var(VERSIONS) else {
        return;
    };
    let versions: u64 = versions.parse().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t");
    let writer = on_disk(&path);
    create(&writer).await;
    for _ in 0..versions {
        append(&writer).await.unwrap();
    }
    drop(writer);

    let before = peak_kb();
    let began = Instant::now();
    let table = on_disk(&path);
    let rows = table.expire(&everything(), None).await.unwrap();
    println!("{versions} versions: {:?}", began.elapsed());
    println!("\n{SAYS}{}", peak_kb() - before);
    // All their snapshots at least.
    assert!(rows.iter().filter(|row| row.deleted).count() as u64 >= versions);
    let newest = table.newest().await.unwrap();
    assert_eq!(newest.totals().rows, versions);
    assert_eq!(
        table.manifests(&newest).await.unwrap().len(),
        newest.state.manifests.len()
    );
    for entry in table.history().await.unwrap() {
        assert_eq!(entry.readable, entry.version.get() >= versions, "{entry:?}");
    }
}

/// The most memory that this process ever had.
fn peak_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.unwrap().trim().trim_end_matches(" kB");
    peak.parse().unwrap()
}

/// The long form has the history of a busy year.
#[test]
#[cfg(target_os = "linux")]
fn expiry_of_a_long_history_stays_within_its_memory() {
    let versions = if long() { 10_000 } else { 2_000 };
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "table::long_history::child", "--nocapture"])
        .env(VERSIONS, versions.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let more = said.lines().find_map(|line| line.strip_prefix(SAYS));
    let more: u64 = more
        .unwrap_or_else(|| panic!("{output:?}"))
        .parse()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    println!("{said}");
    // Ten kilobytes a version, and something for a small one.
    let most = 20_000 + versions * 10;
    assert!(
        more < most,
        "{more} kB for {versions} versions, and not {most}"
    );
}
