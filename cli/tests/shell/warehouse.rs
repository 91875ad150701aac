//! Tables in a warehouse, from one process to the next.

use std::fs;

use tempfile::TempDir;

use crate::{failed, run, succeeded};

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
