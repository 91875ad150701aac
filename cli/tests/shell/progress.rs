//! Bars of long writes on a terminal, and the steps that `--verbose` times.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::{run, stderr, stdout, succeeded};

const LONG: &str =
    "CREATE TABLE t AS SELECT 0 AS a; INSERT INTO t SELECT value FROM generate_series(1, 20000000)";

/// Runs the shell on a terminal of its own; None where there is no Python to make one.
fn on_a_terminal(directory: &Path, arguments: &[&str]) -> Option<Output> {
    let spawn = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let output = Command::new("python3")
        .args(["-c", spawn, env!("CARGO_BIN_EXE_atio")])
        .args(arguments)
        .current_dir(directory)
        .env("HOME", directory)
        .env("TERM", "xterm")
        .output();
    match output {
        Ok(output) => Some(output),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "no python3: {error}");
            None
        }
    }
}

#[test]
fn long_insert_shows_a_bar_on_a_terminal_unless_it_is_to_be_quiet() {
    let home = TempDir::new().unwrap();
    let Some(output) = on_a_terminal(home.path(), &["--warehouse", "w", "-c", LONG]) else {
        return;
    };
    let shown = stdout(&output);
    assert!(output.status.success(), "{shown}");
    assert!(
        shown.contains(" rows, ") && shown.contains("/s, "),
        "{shown}"
    );

    let quiet = ["--warehouse", "q", "-q", "-c", LONG];
    let shown = stdout(&on_a_terminal(home.path(), &quiet).unwrap());
    assert!(!shown.contains(" rows, "), "{shown}");
}

#[test]
fn without_a_terminal_there_is_no_bar_and_verbose_says_how_long_each_step_took() {
    let home = TempDir::new().unwrap();
    let plain = run(home.path(), &["--warehouse", "w", "-c", LONG]);
    assert_eq!(stderr(&plain), "");

    let verbose = [
        "--warehouse",
        "w",
        "--verbose",
        "-c",
        "INSERT INTO t SELECT a FROM t",
    ];
    let output = run(home.path(), &verbose);
    let said = stderr(&output);
    for step in ["plan", "write", "commit"] {
        let begin = format!("{step}{{table=\"t\"}}: close time.busy=");
        assert!(said.contains(&begin), "no {step}: {said}");
    }
    assert!(said.contains("fsync: close time.busy="), "{said}");

    let overwrite = "INSERT OVERWRITE t SELECT 1 AS a";
    succeeded(&run(
        home.path(),
        &["--warehouse", "w", "-q", "-c", overwrite],
    ));
    let expire = [
        "--warehouse",
        "w",
        "--verbose",
        "expire",
        "t",
        "--keep-for",
        "0s",
        "--yes",
    ];
    let said = stderr(&run(home.path(), &expire));
    for step in ["plan", "commit", "delete"] {
        let begin = format!("{step}{{table=\"t\"}}: close time.busy=");
        assert!(said.contains(&begin), "no {step}: {said}");
    }
}

#[test]
fn long_copy_shows_a_bar_with_its_end_and_bytes_unless_it_is_to_be_quiet() {
    let home = TempDir::new().unwrap();
    // Hashes take a while, wherever it runs.
    let copy = "CREATE TABLE t AS SELECT value AS a FROM generate_series(1, 3000000); \
                COPY (SELECT a, md5(md5(md5(CAST(a AS VARCHAR)))) AS hash FROM t) TO 'a.csv'";
    let Some(output) = on_a_terminal(home.path(), &["-c", copy]) else {
        return;
    };
    let shown = stdout(&output);
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("a.csv ["), "{shown}");
    for part in ["/3,000,000 rows, ", "MiB, ", "ETA "] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let quiet = stdout(&on_a_terminal(home.path(), &["-q", "-c", copy]).unwrap());
    assert!(!quiet.contains(" rows, "), "{quiet}");
    let plain = run(home.path(), &["-c", copy]);
    assert_eq!(stderr(&plain), "");
}

#[test]
fn verbose_says_how_long_the_steps_of_copies_and_databases_took() {
    let home = TempDir::new().unwrap();
    let sql = "COPY (SELECT 1 AS a) TO 'a.csv'; COPY (SELECT 1 AS a) TO 'a.db/t' STORED AS SQLITE";
    let output = run(home.path(), &["--verbose", "-c", sql]);
    assert!(output.status.success());
    let said = stderr(&output);
    let target = home.path().canonicalize().unwrap().join("a.csv");
    let target = target.display();
    for step in [
        format!("write{{target=\"{target}\"}}"),
        format!("publish{{target=\"{target}\"}}"),
        "write{table=\"t\"}".to_owned(),
        "commit{table=\"t\"}".to_owned(),
        "plan".to_owned(),
    ] {
        let begin = format!("{step}: close time.busy=");
        assert!(said.contains(&begin), "no {step}: {said}");
    }
    assert!(said.contains("fsync: close time.busy="), "{said}");
}
