//! What a command line may say, and its help.

use tempfile::TempDir;

use crate::tables::make;
use crate::{run, succeeded, wrong};

#[test]
fn short_help_leaves_out_what_is_rarely_set() {
    let home = TempDir::new().unwrap();
    for command in ["write", "compact", "history"] {
        let short = succeeded(&run(home.path(), &[command, "-h"]));
        let long = succeeded(&run(home.path(), &[command, "--help"]));
        for rare in ["--memory-limit", "--object-store-profiling", "--batch-size"] {
            assert!(!short.contains(rare) && long.contains(rare), "{short}");
        }
        for common in ["--warehouse", "--format", "--quiet"] {
            assert!(short.contains(common), "{short}");
        }
    }
}

#[test]
fn a_wrong_command_line_has_status_2_and_does_nothing() {
    let home = TempDir::new().unwrap();
    make(home.path(), "./t");
    for arguments in [
        vec!["history"],
        vec!["history", ""],
        vec!["history", "t", "more"],
        vec!["history", "t", "--limit", "few"],
        vec!["history", "t", "--format", "xml"],
        vec!["histroy", "t"],
        vec!["tag", "t"],
        vec!["tag", "t", "best", "first"],
        vec!["rollback", "t"],
        vec!["expire", "t", "--keep-for", "7"],
        vec!["expire", "t", "--keep-for", "-1d"],
        vec!["expire", "t", "--keep-for", "soon"],
        vec!["expire", "t", "--retain-last", "0"],
        vec!["expire", "t", "--yes=1"],
        vec!["compact", "t", "--target-file-size", "0"],
        vec!["compact", "t", "--target-file-size", "10 MB"],
        vec!["compact", "t", "--target-file-size", "ten"],
        vec!["compact", "t", "--yes=1"],
        vec!["write", "t"],
        vec!["upsert", "t", "in.csv"],
        vec!["upsert", "t", "in.csv", "--key", ""],
        vec!["upsert", "t", "--key", "id"],
        vec![
            "upsert",
            "t",
            "-",
            "--from",
            "csv",
            "--key",
            "a",
            "--retries",
            "2",
        ],
        vec!["write", "-", "t", "--from", "csv", "--retries", "2"],
        vec![
            "write",
            "/dev/stdin",
            "t",
            "--from",
            "csv",
            "--retries",
            "2",
        ],
        vec!["write", "t", "t.csv", "--retries", "2"],
        vec!["ingest", "t"],
        vec!["ingest", "t", "--format", "table"],
        vec!["ingest", "t", "--format", "json", "--every", "0s"],
        vec!["--format", "tsv", "ingest", "t"],
        vec!["-c", "SELECT 1", "--", "history", "t"],
    ] {
        let message = wrong(&run(home.path(), &arguments));
        assert!(message.contains("--help"), "{arguments:?}: {message}");
    }
    let both = wrong(&run(home.path(), &["-q", "-f=x.sql", "history", "t"]));
    assert!(both.contains("'history' runs no SQL"), "{both}");
    let history = run(home.path(), &["history", "t", "--format", "csv"]);
    assert_eq!(succeeded(&history).lines().count(), 4);
}

#[test]
fn every_command_has_help_with_an_example() {
    let home = TempDir::new().unwrap();
    let all = succeeded(&run(home.path(), &["--help"]));
    assert!(all.contains("Examples:\n  atio "), "{all}");
    for command in [
        "write", "upsert", "history", "tag", "tags", "untag", "rollback", "expire", "compact",
        "ingest",
    ] {
        assert!(all.contains(&format!("\n  {command} ")), "{all}");
        let help = succeeded(&run(home.path(), &[command, "--help"]));
        assert!(help.contains(&format!("Usage: atio {command} ")), "{help}");
        let (_, examples) = help.split_once("\nExample").unwrap_or_default();
        assert!(examples.contains(&format!(" atio {command} ")), "{help}");
    }
}
