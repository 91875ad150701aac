//! Statements that fail: the message, the status, and what is not run.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::{failed, run, run_with_input, stdout, succeeded};

#[test]
fn command_that_fails_ends_the_run() {
    let home = TempDir::new().unwrap();
    let output = run(
        home.path(),
        &[
            "-c",
            "SELECT 1 AS before; SELECT * FROM missing; SELECT 2 AS after",
            "-c",
            "SELECT 3 AS later",
        ],
    );
    assert_eq!(
        failed(&output),
        "Error: table 'datafusion.public.missing' not found\n"
    );
    let printed = stdout(&output);
    assert!(printed.contains("before"), "{printed}");
    assert!(!printed.contains("after"), "{printed}");
    assert!(!printed.contains("later"), "{printed}");
}

#[test]
fn file_that_fails_names_the_statement_and_runs_no_more() {
    let home = TempDir::new().unwrap();
    fs::write(
        home.path().join("report.sql"),
        "#!/usr/bin/env atio\n\
         -- not a statement; only a comment\n\
         CREATE TABLE t AS SELECT 'a;b' AS a;\n\
         SELECT a FROM t; SELECT b\n\
         FROM t;\n\
         SELECT 'unreached' AS c;\n",
    )
    .unwrap();
    let output = run(home.path(), &["-f", "report.sql", "-c", "SELECT 'later'"]);
    let message = failed(&output);
    assert!(
        message.starts_with("Error: report.sql: statement 3: No field named b."),
        "{message}"
    );
    let printed = stdout(&output);
    assert!(printed.contains("| a;b |"), "{printed}");
    assert!(!printed.contains("unreached"), "{printed}");
    assert!(!printed.contains("later"), "{printed}");
}

#[test]
fn syntax_error_keeps_earlier_statements_and_tells_the_line() {
    let home = TempDir::new().unwrap();
    fs::write(
        home.path().join("typo.sql"),
        "SELECT 'reached' AS a;\n\nSELECT 'é'; SELEC 1;\nSELECT 'unreached' AS b;\n",
    )
    .unwrap();
    let output = run(home.path(), &["-f", "typo.sql"]);
    assert_eq!(
        failed(&output),
        "Error: typo.sql: statement 3: syntax error: \
         Expected: an SQL statement, found: SELEC at Line: 3, Column: 13\n"
    );
    let printed = stdout(&output);
    assert!(printed.contains("| reached |"), "{printed}");
    assert!(!printed.contains("unreached"), "{printed}");
}

#[test]
fn unterminated_string_fails_as_the_last_statement() {
    let home = TempDir::new().unwrap();
    let input = "SELECT 'reached' AS a; SELECT 'open; SELECT 2;\nSELECT 3;\n";
    let output = run_with_input(home.path(), &[], input);
    assert_eq!(
        failed(&output),
        "Error: standard input: statement 2: syntax error: \
         Unterminated string literal at Line: 1, Column: 31\n"
    );
    assert!(stdout(&output).contains("| reached |"));
}

#[test]
fn file_that_is_missing_fails_before_anything_runs() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("there.sql"), "SELECT 'ran';").unwrap();
    let output = run(home.path(), &["-f", "there.sql", "-f", "missing.sql"]);
    assert_eq!(
        failed(&output),
        "Error: missing.sql: cannot be read: No such file or directory (os error 2)\n"
    );
    assert_eq!(stdout(&output), "");
}

#[cfg(unix)]
#[test]
fn file_size_limit_fails_the_statement_and_not_the_shell() {
    let home = TempDir::new().unwrap();
    let create = "CREATE TABLE t AS SELECT 1 AS a";
    succeeded(&run(home.path(), &["--warehouse", "w", "-q", "-c", create]));
    let limited = Command::new("sh")
        .args(["-c", "ulimit -f 4; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_atio"))
        .args(["--warehouse", "w", "-q", "-c"])
        .arg("INSERT INTO t SELECT value FROM generate_series(1, 100000)")
        .current_dir(home.path())
        .env("HOME", home.path())
        .output()
        .unwrap();
    let message = failed(&limited);
    assert!(message.contains("File too large"), "{message}");
    let count = "SELECT 'rows: ' || count(*) AS n FROM t";
    let output = run(home.path(), &["--warehouse", "w", "-c", count]);
    assert!(succeeded(&output).contains("rows: 1 "));
}
