//! Signals that end an ingest.

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{begin, home, json, rows, wait_for};
use crate::{atio, stderr};

#[track_caller]
fn signal(child: &Child, signal: &str) {
    let kill = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
}

#[test]
fn a_signal_ends_a_run_whose_input_does_not_pause() {
    let home = home();
    const ALL: usize = 4_000_000;
    let input = home.path().join("in.json");
    fs::write(&input, "{\"id\":0}\n".repeat(ALL)).unwrap();
    let child = atio(home.path())
        .args(["ingest", "t", "--format", "json", "--rows", "10000"])
        .stdin(fs::File::open(input).unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("a commit", || {
        rows(home.path(), "count(*) AS n") != "n\n0\n"
    });
    signal(&child, "-TERM");
    let output = child.wait_with_output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(143), "{said}");
    let count = rows(home.path(), "count(*) AS n");
    let count = count.trim_start_matches("n\n").trim();
    assert_eq!(said, format!("Added {count} rows to t.\n"));
    let count: usize = count.parse().unwrap();
    assert!(count < ALL, "it went on to the end");
}

#[test]
fn a_second_signal_ends_at_once_a_run_that_hangs() {
    let home = TempDir::new().unwrap();
    // It takes connections, and answers none.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = atio(home.path())
        .args(["ingest", "s3://bucket/t", "--format", "json"])
        .env(
            "AWS_ENDPOINT",
            format!("http://{}", silent.local_addr().unwrap()),
        )
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_ACCESS_KEY_ID", "someone")
        .env("AWS_SECRET_ACCESS_KEY", "HUSH")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let connection = silent.accept().unwrap();
    signal(&child, "-TERM");
    sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none());
    signal(&child, "-INT");
    let told = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if told.elapsed() > Duration::from_secs(15) {
            child.kill().unwrap();
            panic!("it hangs");
        }
        sleep(Duration::from_millis(20));
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(connection);
}

#[test]
fn a_signal_commits_what_was_read() {
    for (name, status) in [("-INT", 130), ("-TERM", 143)] {
        let home = home();
        let mut child = begin(home.path(), &["--format", "json", "--every", "1h"]);
        let mut stdin = child.stdin.take().unwrap();
        // More than a pipe holds: once it is written, some of it was read.
        stdin.write_all(json(0..20_000).as_bytes()).unwrap();
        sleep(Duration::from_millis(500));
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{}", stderr(&output));
        let counted = rows(home.path(), "count(*), sum(id), max(id)");
        let counted = counted.lines().nth(1).unwrap().to_owned();
        let count: u64 = counted.split(',').next().unwrap().parse().unwrap();
        assert!(count > 0, "{counted}");
        let (sum, last) = (count * (count - 1) / 2, count - 1);
        assert_eq!(counted, format!("{count},{sum},{last}"));
        assert_eq!(stderr(&output), format!("Added {count} rows to t.\n"));
        drop(stdin);
    }
}
