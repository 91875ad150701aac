//! The shell as its users meet it: the built binary, its output, its exit status.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot start the shell has failed"
)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The shell in `directory`, with a home of its own and nothing to read.
fn atio(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_atio"));
    command
        .current_dir(directory)
        .env("HOME", directory)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    atio(directory).args(arguments).output().unwrap()
}

fn run_with_input(directory: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = atio(directory)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Standard output of a run that must have succeeded without a word of complaint.
#[track_caller]
fn succeeded(output: &Output) -> String {
    assert_eq!(stderr(output), "");
    assert_eq!(output.status.code(), Some(0));
    stdout(output)
}

/// Standard error of a run that must have failed with status 1.
#[track_caller]
fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", stdout(output));
    stderr(output)
}

#[test]
fn commands_run_in_order_in_one_session() {
    let home = TempDir::new().unwrap();
    let output = run(
        home.path(),
        &[
            "-c",
            "CREATE TABLE memo AS SELECT 1 AS a; INSERT INTO memo VALUES (2)",
            "-c",
            "SELECT sum(a) AS total FROM memo",
        ],
    );
    let printed = succeeded(&output);
    assert!(
        printed.contains("| total |\n+-------+\n| 3     |"),
        "{printed}"
    );
    assert!(printed.contains("1 row(s) fetched."), "{printed}");
    assert!(printed.contains("Elapsed "), "{printed}");
}

#[test]
fn quiet_prints_only_rows() {
    let home = TempDir::new().unwrap();
    let output = run(home.path(), &["-q", "-c", "SELECT 1 AS a"]);
    assert_eq!(succeeded(&output), "+---+\n| a |\n+---+\n| 1 |\n+---+\n");
}

#[test]
fn formats_hold_every_row() {
    let home = TempDir::new().unwrap();
    let sql = "SELECT value AS a FROM generate_series(1, 20000)";
    let output = run(home.path(), &["-q", "--format", "csv", "-c", sql]);
    let printed = succeeded(&output);
    assert_eq!(printed.lines().next(), Some("a"));
    assert_eq!(printed.lines().count(), 20_001);
    assert_eq!(printed.lines().last(), Some("20000"));

    let output = run(home.path(), &["-q", "--format", "json", "-c", sql]);
    let printed = succeeded(&output);
    assert!(printed.starts_with(r#"[{"a":1},{"a":2},"#));
    assert!(printed.ends_with("{\"a\":20000}]\n"));
    assert_eq!(printed.matches('[').count(), 1);
}

#[test]
fn table_format_stops_at_maxrows_and_counts_the_rest() {
    let home = TempDir::new().unwrap();
    let sql = "SELECT value AS a FROM generate_series(1, 20000)";
    let printed = succeeded(&run(home.path(), &["--maxrows", "2", "-c", sql]));
    assert!(printed.contains("| 2 |\n| . |\n"), "{printed}");
    assert!(!printed.contains("| 3 |"), "{printed}");
    assert!(
        printed.contains("20000 row(s) fetched. (First 2 displayed. Use --maxrows to adjust)"),
        "{printed}"
    );
}

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

#[test]
fn warehouse_keeps_tables_for_the_next_process() {
    let home = TempDir::new().unwrap();
    let warehouse = ["-q", "--format", "csv", "--warehouse", "wh", "-c"];
    let shell = |sql: &str| run(home.path(), &[&warehouse[..], &[sql]].concat());

    let output = shell(
        "CREATE TABLE sales (id BIGINT, city VARCHAR); \
         INSERT INTO sales VALUES (1, 'Lima'), (2, 'Oslo'); \
         SELECT count(*) AS n FROM sales",
    );
    assert_eq!(succeeded(&output), "count\n2\nn\n2\n");

    let output = shell("INSERT INTO sales VALUES (3, NULL)");
    assert_eq!(succeeded(&output), "count\n1\n");
    let output = shell("SELECT id, city FROM sales ORDER BY id");
    assert_eq!(succeeded(&output), "id,city\n1,Lima\n2,Oslo\n3,\n");
    let output = shell("SELECT count(*) AS n FROM atio_table('sales', version => 1)");
    assert_eq!(succeeded(&output), "n\n2\n");
    let output = shell(
        "SELECT table_catalog, table_schema FROM information_schema.tables \
         WHERE table_name = 'sales'",
    );
    assert_eq!(
        succeeded(&output),
        "table_catalog,table_schema\natio,public\n"
    );

    assert_eq!(succeeded(&shell("DROP TABLE sales")), "");
    assert_eq!(
        failed(&shell("SELECT * FROM sales")),
        "Error: table 'atio.public.sales' not found\n"
    );
}

#[test]
fn warehouse_takes_rows_from_files() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("june.csv"), "id,city\n1,Lima\n2,Oslo\n").unwrap();
    let output = run(
        home.path(),
        &[
            "-q",
            "--format",
            "csv",
            "--warehouse",
            "wh",
            "-c",
            "CREATE TABLE sales AS SELECT * FROM 'june.csv'; \
             INSERT INTO sales SELECT id + 2, city FROM 'june.csv'; \
             SELECT sum(id) AS total FROM sales",
        ],
    );
    assert_eq!(succeeded(&output), "count\n2\ntotal\n10\n");
}

#[test]
fn tables_need_no_warehouse() {
    let home = TempDir::new().unwrap();
    let shell = |sql: &str| run(home.path(), &["-q", "--format", "csv", "-c", sql]);
    let output = shell(
        "CREATE EXTERNAL TABLE sales (id BIGINT) STORED AS ATIO LOCATION 'sales'; \
         INSERT INTO sales VALUES (1), (2)",
    );
    assert_eq!(succeeded(&output), "count\n2\n");
    let output = shell(
        "CREATE EXTERNAL TABLE again STORED AS ATIO LOCATION 'sales'; \
         SELECT sum(id) AS total FROM again; DROP TABLE again",
    );
    assert_eq!(succeeded(&output), "total\n3\n");
    let output = shell("SELECT version, rows_added FROM atio_history('./sales') ORDER BY version");
    assert_eq!(succeeded(&output), "version,rows_added\n0,0\n1,2\n");
}

#[test]
fn warehouse_is_relative_to_the_command_line() {
    let home = TempDir::new().unwrap();
    fs::create_dir(home.path().join("data")).unwrap();
    let output = run(
        home.path(),
        &[
            "-q",
            "-p",
            "data",
            "--warehouse",
            "wh",
            "-c",
            "CREATE TABLE t (a INT)",
        ],
    );
    succeeded(&output);
    assert!(home.path().join("wh/public/t/metadata").is_dir());
    assert!(!home.path().join("data/wh").exists());
}

#[test]
fn drop_of_a_missing_table_fails_unless_it_may_be_missing() {
    let home = TempDir::new().unwrap();
    let shell = |sql: &str| run(home.path(), &["-q", "--warehouse", "wh", "-c", sql]);
    assert_eq!(
        failed(&shell("DROP TABLE missing")),
        "Error: there is no table 'missing' in schema 'public'\n"
    );
    succeeded(&shell("DROP TABLE IF EXISTS missing"));
    succeeded(&shell("DROP TABLE IF EXISTS atio.nowhere.missing"));
}

#[test]
fn schemas_come_and_go_with_their_tables() {
    let home = TempDir::new().unwrap();
    let shell = |sql: &str| {
        run(
            home.path(),
            &["-q", "--format", "csv", "--warehouse", "wh", "-c", sql],
        )
    };
    succeeded(&shell(
        "CREATE SCHEMA raw; CREATE TABLE raw.t AS SELECT 1 AS a",
    ));
    assert_eq!(succeeded(&shell("SELECT a FROM raw.t")), "a\n1\n");
    succeeded(&shell("DROP TABLE raw.t; DROP SCHEMA raw"));
    failed(&shell("SELECT a FROM raw.t"));
}

#[test]
fn tables_of_the_session_live_beside_a_warehouse() {
    let home = TempDir::new().unwrap();
    let output = run(
        home.path(),
        &[
            "-q",
            "--format",
            "csv",
            "--warehouse",
            "wh",
            "-c",
            "CREATE TABLE datafusion.public.memo AS SELECT 1 AS a; \
             SELECT a FROM datafusion.public.memo; \
             DROP TABLE datafusion.public.memo",
        ],
    );
    assert_eq!(succeeded(&output), "a\n1\n");
}

#[test]
fn files_of_a_table_are_not_read_as_files() {
    let home = TempDir::new().unwrap();
    let output = run(
        home.path(),
        &[
            "-q",
            "--warehouse",
            "wh",
            "-c",
            "CREATE TABLE t AS SELECT 1 AS a",
        ],
    );
    succeeded(&output);
    let message = failed(&run(home.path(), &["-c", "SELECT * FROM 'wh/public/t'"]));
    assert_eq!(
        message,
        "Error: 'wh/public/t' is an atio table, and its files are those of many versions; \
         read it as atio_table('wh/public/t')\n"
    );
}

#[test]
fn drop_that_fails_tells_the_true_reason() {
    let home = TempDir::new().unwrap();
    let shell = |sql: &str| {
        run(
            home.path(),
            &["-q", "--format", "csv", "--warehouse", "wh", "-c", sql],
        )
    };
    succeeded(&shell("CREATE TABLE t AS SELECT 1 AS a"));
    // Somebody else's file, which a drop must not delete.
    let foreign = home.path().join("wh/public/t/notes.txt");
    fs::write(&foreign, "mine").unwrap();
    for sql in ["DROP TABLE t", "DROP TABLE IF EXISTS t"] {
        let message = failed(&shell(sql));
        assert!(message.contains("notes.txt"), "{message}");
    }
    assert_eq!(succeeded(&shell("SELECT a FROM t")), "a\n1\n");
    assert!(foreign.exists());
    fs::remove_file(&foreign).unwrap();
    succeeded(&shell("DROP TABLE t"));
}
