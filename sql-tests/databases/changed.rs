//! Values that a database would change are refused, and nothing of the write is there.

use datafusion::prelude::SessionContext;

use super::on_every_database;
use super::site::{Kind, Site};
use crate::content::{failure, row, rows};
use crate::session::run;

on_every_database!(times_finer_than_the_column_are_refused);

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
