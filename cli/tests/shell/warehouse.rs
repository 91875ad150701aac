//! Tables in a warehouse, from one process to the next.

use std::fs;

use tempfile::TempDir;

use crate::{failed, run, stderr, stdout, succeeded, wrong};

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
         read it as atio_table('wh/public/t'), or name it by \
         CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION 'wh/public/t'\n"
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

#[test]
fn dropped_table_comes_back_by_sql_and_the_shell_says_how() {
    let home = TempDir::new().unwrap();
    let shell = |sql: &str| {
        run(
            home.path(),
            &["--format", "csv", "--warehouse", "wh", "-c", sql],
        )
    };
    succeeded(&run(
        home.path(),
        &[
            "-q",
            "--warehouse",
            "wh",
            "-c",
            "CREATE TABLE \"It\" AS SELECT 1 AS a",
        ],
    ));
    let dropped = shell("DROP TABLE \"It\"");
    assert_eq!(dropped.status.code(), Some(0));
    let said = stderr(&dropped);
    let undrop = "SELECT * FROM atio_undrop('public.\"It\"')";
    assert_eq!(
        said,
        format!("Kept for seven days: {undrop} brings it back.\n")
    );
    let back = stdout(&shell(undrop));
    assert!(back.contains("\natio,public,It,"), "{back}");
    let rows = run(
        home.path(),
        &[
            "-q",
            "--format",
            "csv",
            "--warehouse",
            "wh",
            "-c",
            "SELECT a FROM \"It\"",
        ],
    );
    assert_eq!(succeeded(&rows), "a\n1\n");
    // What was not there, and what was a name of the session alone, is not kept.
    for sql in [
        "DROP TABLE IF EXISTS missing",
        "CREATE EXTERNAL TABLE e (a INT) STORED AS ATIO LOCATION 'e'; DROP TABLE e",
    ] {
        assert!(!stderr(&shell(sql)).contains("Kept"), "{sql}");
    }
}

#[test]
fn dropped_tables_have_commands_of_their_own() {
    let home = TempDir::new().unwrap();
    let atio = |arguments: &[&str]| {
        let warehouse = ["--format", "csv", "--warehouse", "wh"];
        run(home.path(), &[&warehouse[..], arguments].concat())
    };
    let quiet = |sql: &str| atio(&["-q", "-c", sql]);
    succeeded(&quiet(
        "CREATE TABLE t AS SELECT 1 AS a; DROP TABLE t; CREATE TABLE t AS SELECT 2 AS a",
    ));
    let listed = succeeded(&atio(&["-q", "dropped"]));
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(
        lines[0],
        "table_catalog,table_schema,table_name,id,dropped_at,kept_until"
    );
    assert!(
        lines.len() == 2 && lines[1].starts_with("atio,public,t,"),
        "{listed}"
    );
    let id = lines[1].split(',').nth(3).unwrap();

    let taken = failed(&atio(&["undrop", "t"]));
    assert!(
        taken.contains("there is a table 't' in schema 'public' already"),
        "{taken}"
    );
    let odd = failed(&atio(&["undrop", "t", "--id", id, "--as", "it's"]));
    assert!(odd.contains("'it\\'s' cannot name a table"), "{odd}");
    succeeded(&atio(&["-q", "undrop", "t", "--id", id, "--as", "old"]));
    assert_eq!(succeeded(&quiet("SELECT a FROM old")), "a\n1\n");

    succeeded(&quiet("DROP TABLE old"));
    let dry = atio(&["purge", "old"]);
    assert_eq!(dry.status.code(), Some(0));
    assert!(stdout(&dry).ends_with(",false\n"), "{}", stdout(&dry));
    let said = stderr(&dry);
    assert!(
        said.starts_with("A dry run: ") && said.contains("with --yes deletes them"),
        "{said}"
    );
    let purged = atio(&["purge", "old", "--yes"]);
    assert!(stdout(&purged).ends_with(",true\n"), "{}", stdout(&purged));
    assert!(
        stderr(&purged).starts_with("Deleted "),
        "{}",
        stderr(&purged)
    );
    let gone = failed(&atio(&["undrop", "old"]));
    assert!(gone.contains("no dropped table 'old'"), "{gone}");
    for command in [&["dropped"][..], &["undrop", "t"], &["purge", "t"]] {
        let without = wrong(&run(home.path(), command));
        assert!(without.contains("--warehouse"), "{without}");
    }
}
