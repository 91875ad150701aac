//! Values that a database would change are refused, and nothing of the write is there.

use datafusion::prelude::SessionContext;

use super::on_every_database;
use super::site::{Kind, Site};
use crate::query::{failure, row, rows};
use crate::session::run;

on_every_database!(
    times_finer_than_the_column_are_refused,
    times_finer_than_microseconds_are_refused,
);

fn append(site: &Site, value: &str, column: &str) -> String {
    format!(
        "COPY (SELECT {value} AS {column}) TO 'db/t' STORED AS {} OPTIONS (if_exists 'append')",
        site.stored_as()
    )
}

async fn open(ctx: &SessionContext, site: &Site) {
    let open = format!(
        "CREATE EXTERNAL TABLE t STORED AS {} LOCATION 'db/t'",
        site.stored_as()
    );
    run(ctx, &open).await.unwrap();
}

async fn times_finer_than_the_column_are_refused(site: Site) {
    let ctx = site.session();
    let create = match site.kind {
        // It keeps what it gets.
        Kind::Sqlite(_) => return,
        Kind::Postgres(_, _) => {
            "CREATE TABLE t (d timestamp(0), m timestamp(3), z timestamptz(0), h time(0), l timestamp(0)[], a timestamp)"
        }
        Kind::MariaDb(_, _) => {
            "CREATE TABLE t (d DATETIME, m DATETIME(3), z TIMESTAMP NULL, h TIME, a DATETIME(6))"
        }
    };
    site.ask(create).await;
    let zoned = |text: &str| {
        format!("arrow_cast(TIMESTAMP '{text}', 'Timestamp(Microsecond, Some(\"UTC\"))')")
    };
    let mut columns = vec![
        (
            "d",
            "TIMESTAMP '2024-01-01 10:00:00.5'".to_owned(),
            "TIMESTAMP '2024-01-01 10:00:00'".to_owned(),
        ),
        (
            "m",
            "TIMESTAMP '2024-01-01 10:00:00.0005'".to_owned(),
            "TIMESTAMP '1969-12-31 23:59:59.999'".to_owned(),
        ),
        (
            "z",
            zoned("2024-01-01 10:00:00.000001"),
            zoned("2024-01-01 10:00:00"),
        ),
        (
            "h",
            "TIME '10:00:00.5'".to_owned(),
            "TIME '10:00:01'".to_owned(),
        ),
    ];
    if matches!(site.kind, Kind::Postgres(_, _)) {
        columns.push((
            "l",
            "[TIMESTAMP '2024-01-01 10:00:00.5']".to_owned(),
            "[TIMESTAMP '2024-01-01 10:00:00', NULL]".to_owned(),
        ));
    }
    for (column, finer, fitting) in &columns {
        let error = failure(&ctx, &append(&site, finer, column)).await;
        let said = format!("column '{column}': it is ");
        assert!(error.contains(&said), "{error}");
        assert!(error.contains("and would change "), "{error}");
        assert_eq!(site.count().await, Some(0));
        let sql = append(&site, fitting, column);
        assert_eq!(rows(&ctx, &sql).await, ["1"], "{fitting}");
        site.ask("DELETE FROM t").await;
    }
    let sql = append(&site, "TIMESTAMP '2024-01-01 10:00:00.000001'", "a");
    assert_eq!(rows(&ctx, &sql).await, ["1"]);
    open(&ctx, &site).await;
    assert_eq!(
        row(&ctx, "SELECT a FROM t").await,
        "2024-01-01T10:00:00.000001"
    );
}

async fn times_finer_than_microseconds_are_refused(site: Site) {
    let ctx = site.session();
    let nanos = |text: &str, data_type: &str| format!("arrow_cast('{text}', '{data_type}')");
    let finer = "2024-01-01 10:00:00.123456789";
    let early = "1969-12-31 23:59:59.999999999";
    let micros = "1969-12-31 23:59:59.123456";
    let mut cases = vec![
        (
            nanos(finer, "Timestamp(Nanosecond, None)"),
            nanos(micros, "Timestamp(Nanosecond, None)"),
        ),
        (
            nanos(early, "Timestamp(Nanosecond, Some(\"UTC\"))"),
            nanos(
                "2024-01-01 10:00:00.123456",
                "Timestamp(Nanosecond, Some(\"UTC\"))",
            ),
        ),
        (
            format!(
                "arrow_cast({}, 'Dictionary(Int32, Timestamp(Nanosecond, None))')",
                nanos(finer, "Timestamp(Nanosecond, None)")
            ),
            format!(
                "arrow_cast({}, 'Dictionary(Int32, Timestamp(Nanosecond, None))')",
                nanos(micros, "Timestamp(Nanosecond, None)")
            ),
        ),
        (
            nanos("10:00:00.000000001", "Time64(Nanosecond)"),
            nanos("10:00:00.000001", "Time64(Nanosecond)"),
        ),
    ];
    if matches!(site.kind, Kind::Postgres(_, _)) {
        let (list, fitting) = (&cases[0].0, &cases[0].1);
        cases.push((format!("[{list}]"), format!("[{fitting}, NULL]")));
    }
    for (finer, fitting) in &cases {
        site.try_ask("DROP TABLE t").await.ok();
        let error = failure(&ctx, &append(&site, finer, "a")).await;
        assert!(error.contains("column 'a': it is "), "{finer}: {error}");
        assert!(error.contains("and would change "), "{finer}: {error}");
        let sql = append(&site, &format!("{fitting} AS a UNION ALL SELECT NULL"), "a");
        assert_eq!(rows(&ctx, &sql).await, ["2"], "{fitting}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_that_mariadb_would_round_are_refused() {
    let Some(site) = Site::mariadb().await else {
        return;
    };
    let ctx = site.session();
    site.ask("CREATE TABLE t (a INT, d DOUBLE(10,2), f FLOAT(7,1) UNSIGNED, p DOUBLE, q FLOAT)")
        .await;
    for (column, value) in [("d", "CAST(1.239 AS DOUBLE)"), ("f", "CAST(1.25 AS REAL)")] {
        let error = failure(&ctx, &append(&site, value, column)).await;
        assert!(error.contains(&format!("column '{column}' is ")), "{error}");
        assert!(error.contains("rounds"), "{error}");
        assert_eq!(site.count().await, Some(0));
    }
    // The other columns are written to.
    let sql = append(
        &site,
        "1 AS a, CAST(1.239 AS DOUBLE) AS p, CAST(1.25 AS REAL)",
        "q",
    );
    assert_eq!(rows(&ctx, &sql).await, ["1"]);
}

#[tokio::test]
async fn rows_that_sqlite_leaves_out_are_an_error() {
    let site = Site::sqlite();
    let ctx = site.session();
    let database = rusqlite::Connection::open(site.file()).unwrap();
    for (case, tables) in [
        (
            "a constraint",
            "CREATE TABLE t (a INTEGER UNIQUE ON CONFLICT IGNORE, s STRING)",
        ),
        (
            "a trigger that does something else first",
            "CREATE TABLE t (a INTEGER, s STRING); CREATE TABLE log (a INTEGER);
             CREATE TRIGGER ignore BEFORE INSERT ON t WHEN NEW.a = 2 BEGIN
             INSERT INTO log VALUES (NEW.a); SELECT RAISE(IGNORE); END",
        ),
    ] {
        database
            .execute_batch(&format!("DROP TABLE IF EXISTS t; {tables}"))
            .unwrap();
        for columns in ["column1 AS a", "column1 AS a, column2 AS s"] {
            let sql = format!(
                "COPY (SELECT {columns} FROM (VALUES (1, 'x'), (2, 'y'), (2, 'z'), (3, 'v'))) \
                 TO 'db/t' STORED AS SQLITE OPTIONS ('atio.if_exists' 'append')"
            );
            let error = failure(&ctx, &sql).await;
            assert!(
                error.contains("the table leaves out a row"),
                "{case}: {error}"
            );
            assert_eq!(site.count().await, Some(0), "{case}");
        }
    }
    // What a view gets is where its trigger puts it.
    database
        .execute_batch(
            "CREATE VIEW v AS SELECT a FROM log;
             CREATE TRIGGER put INSTEAD OF INSERT ON v BEGIN INSERT INTO log VALUES (NEW.a); END",
        )
        .unwrap();
    let sql = "COPY (SELECT 7 AS a) TO 'db/v' STORED AS SQLITE OPTIONS (if_exists 'append')";
    assert_eq!(rows(&ctx, sql).await, ["1"]);
    assert_eq!(site.ask("SELECT a FROM log").await, ["7"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numeric_with_more_digits_than_are_read_is_an_error() {
    let Some(site) = Site::postgres().await else {
        return;
    };
    let ctx = site.session();
    site.ask("CREATE TABLE t (a INTEGER, n numeric)").await;
    site.ask("INSERT INTO t VALUES (1, 1.5), (2, 0.33333333333333333333333333333333333333), (3, 2.000000000000000000000000000000000000000000)").await;
    open(&ctx, &site).await;
    assert_eq!(
        rows(&ctx, "SELECT a, n FROM t").await,
        [
            "1|1.50000000000000000000000000000000000000",
            "2|0.33333333333333333333333333333333333333",
            "3|2.00000000000000000000000000000000000000",
        ]
    );
    site.ask("INSERT INTO t VALUES (4, 0.333333333333333333333333333333333333333)")
        .await;
    let error = failure(&ctx, "SELECT n FROM t").await;
    assert!(
        error.contains("column 'n': 0.333333333333333333333333333333333333333 has more than 38 digits after the point"),
        "{error}"
    );
    assert_eq!(rows(&ctx, "SELECT count(*) FROM t").await, ["4"]);
    site.ask("DROP TABLE t").await;
    site.ask("CREATE TABLE t (n numeric[])").await;
    site.ask("INSERT INTO t VALUES (ARRAY[1, 1e-39])").await;
    run(&ctx, "DROP TABLE t").await.unwrap();
    open(&ctx, &site).await;
    let error = failure(&ctx, "SELECT n FROM t").await;
    assert!(error.contains("digits after the point"), "{error}");
}

#[tokio::test]
async fn values_that_sqlite_would_make_numbers_are_refused() {
    let site = Site::sqlite();
    let ctx = site.session();
    site.ask(
        "CREATE TABLE t (s STRING, j JSON, n NUMERIC(38,2), m DECIMAL(10,2), x, c VARCHAR(9))",
    )
    .await;
    let decimal = |text: &str| format!("arrow_cast('{text}', 'Decimal128(38, 2)')");
    for (column, value, kept) in [
        ("s", "'1.0'".to_owned(), "'1'"),
        ("s", "'007'".to_owned(), "'7'"),
        ("s", "' 5'".to_owned(), "'5'"),
        ("s", "'1e3'".to_owned(), "'1000'"),
        (
            "s",
            "'12345678901234567890'".to_owned(),
            "'12345678901234567000'",
        ),
        ("j", "'1.50'".to_owned(), "'1.5'"),
        (
            "n",
            decimal("123456789012345678.91"),
            "123456789012345680.00",
        ),
    ] {
        let error = failure(&ctx, &append(&site, &value, column)).await;
        assert!(
            error.contains(&format!("column '{column}': ")),
            "{value}: {error}"
        );
        assert!(
            error.contains(&format!("would become {kept}")),
            "{value}: {error}"
        );
        assert_eq!(site.count().await, Some(0), "{value}");
    }
    for (column, value) in [
        ("s", "word"),
        ("s", "1"),
        ("s", "-12.5"),
        ("j", "{\"a\": 1.50}"),
        ("x", "1.0"),
        ("c", "1.0"),
    ] {
        let sql = append(&site, &format!("'{value}'"), column);
        assert_eq!(rows(&ctx, &sql).await, ["1"], "{value}");
    }
    for (column, value) in [
        ("n", "1234567890123.25"),
        ("m", "12345678.90"),
        ("m", "3.00"),
    ] {
        let sql = append(
            &site,
            &format!("arrow_cast('{value}', 'Decimal128(38, 2)')"),
            column,
        );
        let sql = sql.replace("38, 2", if column == "m" { "10, 2" } else { "38, 2" });
        assert_eq!(rows(&ctx, &sql).await, ["1"], "{value}");
    }
    open(&ctx, &site).await;
    for (column, values) in [
        ("s", vec!["-12.5", "1", "word"]),
        ("j", vec!["{\"a\": 1.50}"]),
        ("n", vec!["1234567890123.25"]),
        ("m", vec!["12345678.90", "3.00"]),
        ("x", vec!["1.0"]),
        ("c", vec!["1.0"]),
    ] {
        let sql = format!("SELECT {column} FROM t WHERE {column} IS NOT NULL");
        assert_eq!(rows(&ctx, &sql).await, values, "{column}");
    }
}

#[tokio::test]
async fn decimal_of_sqlite_with_more_digits_than_declared_is_an_error() {
    let site = Site::sqlite();
    let ctx = site.session();
    site.ask("CREATE TABLE t (a INTEGER, m DECIMAL(10,2))")
        .await;
    // The noise of a sum in binary is none of its digits.
    site.ask("INSERT INTO t VALUES (1, 0.1 + 0.2), (2, 7), (3, 12345678.91)")
        .await;
    open(&ctx, &site).await;
    assert_eq!(
        rows(&ctx, "SELECT a, m FROM t").await,
        ["1|0.30", "2|7.00", "3|12345678.91"]
    );
    site.ask("INSERT INTO t VALUES (4, 1.005)").await;
    let error = failure(&ctx, "SELECT m FROM t").await;
    assert!(
        error.contains("column 'm': 1.005 has more than 2 digits after the point"),
        "{error}"
    );
}
