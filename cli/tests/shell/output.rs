//! What the shell prints, and how.

use tempfile::TempDir;

use crate::{run, succeeded};

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
fn no_rows_are_an_empty_array_of_json() {
    let home = TempDir::new().unwrap();
    let printed = |sql| {
        let output = run(home.path(), &["-q", "--format", "json", "-c", sql]);
        succeeded(&output)
    };
    assert_eq!(printed("SELECT 1 AS a WHERE false"), "[]\n");
    assert_eq!(
        printed("SELECT value FROM generate_series(1, 9) WHERE value > 9"),
        "[]\n"
    );
    assert_eq!(printed("SET datafusion.execution.batch_size = 100"), "");
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
