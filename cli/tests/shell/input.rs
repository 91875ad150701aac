//! Where statements come from, and what the flags do.

use std::fs;
use std::process::Stdio;

use tempfile::TempDir;

use crate::{atio, failed, run, run_with_input, stderr, stdout, succeeded};

#[test]
fn standard_input_runs_without_a_prompt() {
    let home = TempDir::new().unwrap();
    let input = "CREATE TABLE t AS\nSELECT 1 AS a; -- first\n/* ; */ SELECT a + 1 AS b FROM t";
    let output = run_with_input(home.path(), &["-q", "--format", "csv"], input);
    assert_eq!(succeeded(&output), "b\n2\n");
}

#[test]
fn standard_input_that_fails_names_the_statement() {
    let home = TempDir::new().unwrap();
    let input = "SELECT 1;\nSELECT * FROM missing;\nSELECT 'unreached';\n";
    let output = run_with_input(home.path(), &[], input);
    assert_eq!(
        failed(&output),
        "Error: standard input: statement 2: table 'datafusion.public.missing' not found\n"
    );
    assert!(!stdout(&output).contains("unreached"));
}

#[test]
fn standard_input_can_be_rows_for_a_command() {
    let home = TempDir::new().unwrap();
    let output = run_with_input(
        home.path(),
        &[
            "-q",
            "-c",
            "CREATE EXTERNAL TABLE piped STORED AS CSV LOCATION '/dev/stdin'; \
             SELECT sum(a) AS total FROM piped",
        ],
        "a,b\n1,x\n2,y\n",
    );
    let printed = succeeded(&output);
    assert!(printed.contains("| 3     |"), "{printed}");
}

#[test]
fn dialect_set_by_a_statement_reads_the_next_one() {
    let home = TempDir::new().unwrap();
    let output = run(
        home.path(),
        &[
            "-q",
            "--format",
            "csv",
            "-c",
            r"SET datafusion.sql_parser.dialect = 'mysql'; SELECT 'it\'s; one' AS `a`",
        ],
    );
    assert_eq!(succeeded(&output), "a\nit's; one\n");
}

#[test]
fn rows_are_deleted_in_a_dialect_that_has_an_as_of() {
    let home = TempDir::new().unwrap();
    let sql = "CREATE TABLE t AS VALUES (1), (2); \
               SET datafusion.sql_parser.dialect = 'databricks'; \
               DELETE FROM t WHERE column1 = 1; SELECT * FROM t";
    let shell = |sql| {
        run(
            home.path(),
            &["-q", "--format", "csv", "--warehouse", "wh", "-c", sql],
        )
    };
    assert_eq!(succeeded(&shell(sql)), "count\n1\ncolumn1\n2\n");
    let old = "SET datafusion.sql_parser.dialect = 'databricks'; DELETE FROM t VERSION AS OF 1";
    let said = stderr(&shell(old));
    assert!(said.contains("cannot delete from an old version"), "{said}");
}

#[test]
fn files_stand_for_tables() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("june.csv"), "a\n1\n2\n").unwrap();
    let output = run(
        home.path(),
        &[
            "-q",
            "--format",
            "csv",
            "-c",
            "SELECT sum(a) AS total FROM 'june.csv'",
        ],
    );
    assert_eq!(succeeded(&output), "total\n3\n");
}

#[test]
fn data_path_moves_statements_but_not_the_command_line() {
    let home = TempDir::new().unwrap();
    fs::create_dir(home.path().join("data")).unwrap();
    fs::write(home.path().join("data/june.csv"), "a\n7\n").unwrap();
    fs::write(home.path().join("june.sql"), "SELECT a FROM 'june.csv'").unwrap();
    let output = run(
        home.path(),
        &["-q", "--format", "csv", "-p", "data", "-f", "june.sql"],
    );
    assert_eq!(succeeded(&output), "a\n7\n");
}

#[test]
fn rc_files_run_first() {
    let home = TempDir::new().unwrap();
    fs::write(
        home.path().join("setup.sql"),
        "CREATE TABLE t AS SELECT 5 AS a",
    )
    .unwrap();
    let output = run(
        home.path(),
        &[
            "-q",
            "--format",
            "csv",
            "--rc",
            "setup.sql",
            "-c",
            "SELECT a FROM t",
        ],
    );
    // The rc file's CREATE prints no rows in this format.
    assert_eq!(succeeded(&output), "a\n5\n");
}

#[test]
fn limits_are_read_with_units() {
    let home = TempDir::new().unwrap();
    let sql = "SELECT count(DISTINCT value) AS n FROM generate_series(1, 2000000)";
    let generous = [
        "-q", "--format", "csv", "-m", "1g", "-d", "1g", "-b", "1000", "-c", sql,
    ];
    assert_eq!(succeeded(&run(home.path(), &generous)), "n\n2000000\n");
    let message = failed(&run(
        home.path(),
        &["-m", "1k", "--mem-pool-type", "fair", "-c", sql],
    ));
    assert!(message.starts_with("Error: "), "{message}");
    assert!(message.contains("Resources exhausted"), "{message}");
    let wrong = run(home.path(), &["-m", "1x", "-c", sql]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("the unit 'x' is none of b, k, m, g, t"));
}

#[test]
fn credentials_are_in_no_message() {
    let home = TempDir::new().unwrap();
    for sql in [
        // A syntax error right at the credential.
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 's3://b/x.csv' \
         OPTIONS ('aws.access_key_id' 'id' 'HUSH')",
        // A double-quoted value, which no option can have.
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 's3://b/x.csv' \
         OPTIONS ('aws.secret_access_key' \"HUSH\")",
        // Credentials for a place that has no use for them.
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'x.csv' \
         OPTIONS ('aws.secret_access_key' 'HUSH')",
        "EXPLAIN COPY (SELECT 1) TO 'x.csv' OPTIONS ('aws.secret_access_key' 'HUSH')",
    ] {
        let message = failed(&run(home.path(), &["-c", sql]));
        assert!(message.starts_with("Error: "), "{message}");
        assert!(!message.contains("HUSH"), "{message}");
    }
}

#[test]
fn explain_of_a_copy_shows_no_credential() {
    let home = TempDir::new().unwrap();
    let output = run(
        home.path(),
        &[
            "-c",
            "EXPLAIN COPY (SELECT 1 AS a) TO 's3://bucket/x.csv' STORED AS CSV OPTIONS \
             ('aws.region' 'r', 'aws.access_key_id' 'HUSH', 'aws.secret_access_key' 'HUSH')",
        ],
    );
    assert!(!succeeded(&output).contains("HUSH"));
}

#[test]
fn output_that_nobody_reads_is_no_error_message() {
    let home = TempDir::new().unwrap();
    let mut child = atio(home.path())
        .args([
            "--format",
            "csv",
            "-c",
            "SELECT value FROM generate_series(1, 1000000)",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(failed(&output), "");
}
