//! Values come back as they went, or the loss is known.

use super::on_every_database;
use super::site::{Kind, Site};
use crate::query::{failure, rows};
use crate::session::run;

on_every_database!(
    values_of_every_type_come_back,
    values_that_do_not_fit_are_errors,
    columns_made_elsewhere_are_read,
);

/// A value of each type, and what comes back of it: its type and its text on SQLite,
/// PostgreSQL and MariaDB. An empty type is the one that it had.
const VALUES: &[(&str, [(&str, &str); 3])] = &[
    ("true", [("Boolean", "true"); 3]),
    (
        "arrow_cast(-128, 'Int8')",
        [("Int64", "-128"), ("Int16", "-128"), ("Int8", "-128")],
    ),
    (
        "arrow_cast(-32768, 'Int16')",
        [
            ("Int64", "-32768"),
            ("Int16", "-32768"),
            ("Int16", "-32768"),
        ],
    ),
    (
        "arrow_cast(-2147483648, 'Int32')",
        [
            ("Int64", "-2147483648"),
            ("Int32", "-2147483648"),
            ("Int32", "-2147483648"),
        ],
    ),
    (
        "-9223372036854775808",
        [("Int64", "-9223372036854775808"); 3],
    ),
    (
        "arrow_cast(255, 'UInt8')",
        [("Int64", "255"), ("Int16", "255"), ("UInt8", "255")],
    ),
    (
        "arrow_cast(65535, 'UInt16')",
        [("Int64", "65535"), ("Int32", "65535"), ("UInt16", "65535")],
    ),
    (
        "arrow_cast(4294967295, 'UInt32')",
        [
            ("Int64", "4294967295"),
            ("Int64", "4294967295"),
            ("UInt32", "4294967295"),
        ],
    ),
    (
        "arrow_cast(9223372036854775807, 'UInt64')",
        [
            ("UInt64", "9223372036854775807"),
            ("Decimal128(20, 0)", "9223372036854775807"),
            ("UInt64", "9223372036854775807"),
        ],
    ),
    (
        "arrow_cast(0.1, 'Float32')",
        [
            ("Float64", "0.10000000149011612"),
            ("Float32", "0.1"),
            ("Float32", "0.1"),
        ],
    ),
    ("arrow_cast('0.1', 'Float64')", [("Float64", "0.1"); 3]),
    (
        "arrow_cast('-1.7976931348623157e308', 'Float64')",
        [("Float64", "-1.7976931348623157e308"); 3],
    ),
    (
        "arrow_cast('12345678901234567890123456789012.345678', 'Decimal128(38, 6)')",
        [(
            "Decimal128(38, 6)",
            "12345678901234567890123456789012.345678",
        ); 3],
    ),
    (
        "arrow_cast('-0.000001', 'Decimal128(38, 6)')",
        [("Decimal128(38, 6)", "-0.000001"); 3],
    ),
    (
        "arrow_cast('1234567890123456789012345678901234567890.5', 'Decimal256(60, 2)')",
        [(
            "Decimal256(60, 2)",
            "1234567890123456789012345678901234567890.50",
        ); 3],
    ),
    (
        "'grüße, 世界 🚀 \\ '' \" ; --'",
        [("Utf8", "grüße, 世界 🚀 \\ ' \" ; --"); 3],
    ),
    ("''", [("Utf8", ""); 3]),
    ("arrow_cast('large', 'LargeUtf8')", [("Utf8", "large"); 3]),
    (
        "arrow_cast('word', 'Dictionary(Int32, Utf8)')",
        [("Utf8", "word"); 3],
    ),
    ("X'00ff0a5c27'", [("Binary", "00ff0a5c27"); 3]),
    ("DATE '1969-12-31'", [("Date32", "1969-12-31"); 3]),
    ("DATE '9999-12-31'", [("Date32", "9999-12-31"); 3]),
    (
        "TIME '23:59:59.123456'",
        [("Time64(µs)", "23:59:59.123456"); 3],
    ),
    (
        "TIMESTAMP '2024-02-29 12:34:56.789012'",
        [("Timestamp(µs)", "2024-02-29T12:34:56.789012"); 3],
    ),
    (
        "arrow_cast('1000-01-01T00:00:00', 'Timestamp(Microsecond, None)')",
        [("Timestamp(µs)", "1000-01-01T00:00:00"); 3],
    ),
    (
        "arrow_cast(TIMESTAMP '2024-07-01 12:00:00', 'Timestamp(Millisecond, Some(\"Europe/Berlin\"))')",
        [("Timestamp(µs, \"UTC\")", "2024-07-01T10:00:00Z"); 3],
    ),
    (
        "[1, NULL, 3]",
        [
            ("Utf8", "[1,null,3]"),
            ("List(Int64)", "[1, NULL, 3]"),
            ("Utf8", "[1,null,3]"),
        ],
    ),
    (
        "['a', 'b,c', '\"']",
        [
            ("Utf8", "[\"a\",\"b,c\",\"\\\"\"]"),
            ("List(Utf8)", "[a, b,c, \"]"),
            ("Utf8", "[\"a\",\"b,c\",\"\\\"\"]"),
        ],
    ),
    (
        "[DATE '2024-01-01']",
        [
            ("Utf8", "[\"2024-01-01\"]"),
            ("List(Date32)", "[2024-01-01]"),
            ("Utf8", "[\"2024-01-01\"]"),
        ],
    ),
    (
        "[[1], [2, 3]]",
        [
            ("Utf8", "[[1],[2,3]]"),
            ("Utf8", "[[1], [2, 3]]"),
            ("Utf8", "[[1],[2,3]]"),
        ],
    ),
    (
        "named_struct('x', 1, 'y', 'z')",
        [
            ("Utf8", "{\"x\":1,\"y\":\"z\"}"),
            ("Utf8", "{\"x\": 1, \"y\": \"z\"}"),
            ("Utf8", "{\"x\":1,\"y\":\"z\"}"),
        ],
    ),
    (
        "MAP {'k': 1.5}",
        [
            ("Utf8", "{\"k\":1.5}"),
            ("Utf8", "{\"k\": 1.5}"),
            ("Utf8", "{\"k\":1.5}"),
        ],
    ),
    ("NULL", [("Utf8", "NULL"); 3]),
];

async fn values_of_every_type_come_back(site: Site) {
    let ctx = site.session();
    let stored_as = site.stored_as();
    let which = match site.kind {
        Kind::Sqlite(_) => 0,
        Kind::Postgres(_, _) => 1,
        Kind::MariaDb(_, _) => 2,
    };
    let columns = VALUES.iter().enumerate();
    let columns = columns.map(|(at, (value, _))| format!("{value} AS c{at}"));
    let columns = columns.collect::<Vec<_>>().join(", ");
    let sql = format!("COPY (SELECT {columns}) TO 'db/t' STORED AS {stored_as}");
    assert_eq!(rows(&ctx, &sql).await, ["1"]);
    // A row of NULLs.
    let sql = format!(
        "COPY (SELECT CASE WHEN c0 THEN NULL ELSE c0 END AS c0 FROM (SELECT {columns})) TO 'db/t' STORED AS {stored_as} OPTIONS (if_exists 'append')"
    );
    assert_eq!(rows(&ctx, &sql).await, ["1"]);
    let open = format!("CREATE EXTERNAL TABLE t STORED AS {stored_as} LOCATION 'db/t'");
    run(&ctx, &open).await.unwrap();
    for (at, (value, expected)) in VALUES.iter().enumerate() {
        let sql = format!("SELECT arrow_typeof(c{at}) FROM t WHERE c0");
        assert_eq!(rows(&ctx, &sql).await, [expected[which].0], "{value}");
        let sql = format!("SELECT c{at} FROM t WHERE c0");
        assert_eq!(rows(&ctx, &sql).await, [expected[which].1], "{value}");
        let sql = format!("SELECT c{at} FROM t WHERE c0 IS NULL");
        assert_eq!(rows(&ctx, &sql).await, ["NULL"], "{value}");
    }
    // And once more, into a table that is there.
    let sql = format!("COPY t TO 'db/t' STORED AS {stored_as} OPTIONS (if_exists 'append')");
    assert_eq!(rows(&ctx, &sql).await, ["2"]);
    for (at, (value, expected)) in VALUES.iter().enumerate() {
        let sql = format!("SELECT c{at} FROM t WHERE c0");
        assert_eq!(rows(&ctx, &sql).await, [expected[which].1; 2], "{value}");
    }
    // A timestamp of ours is one to the database, too.
    if which == 1 {
        let found = site
            .ask("SELECT c25 AT TIME ZONE 'Asia/Tokyo' FROM t WHERE c0 LIMIT 1")
            .await;
        assert_eq!(found, ["2024-07-01 19:00:00"]);
        let found = site
            .ask("SELECT (c30 -> 'x')::int + 1 FROM t WHERE c0 LIMIT 1")
            .await;
        assert_eq!(found, ["2"]);
    }
}

async fn values_that_do_not_fit_are_errors(site: Site) {
    let ctx = site.session();
    let stored_as = site.stored_as();
    let long = "x".repeat(20);
    let mut wrong = vec![("interval '1 day'", "cast it")];
    match site.kind {
        Kind::Sqlite(_) => {
            wrong.push((
                "arrow_cast('NaN', 'Float64')",
                "column 'a': SQLite does not hold NaN; make it NULL",
            ));
            wrong.push((
                "arrow_cast(18446744073709551615, 'UInt64')",
                "column 'a': SQLite does not hold 18446744073709551615; cast it to text",
            ));
        }
        Kind::Postgres(_, _) => {
            wrong.push((
                "chr(1) || arrow_cast(X'00', 'Utf8')",
                "invalid byte sequence",
            ));
        }
        Kind::MariaDb(_, _) => {
            wrong.push((
                "arrow_cast('NaN', 'Float64')",
                "column 'a': MySQL does not hold NaN; make it NULL",
            ));
            wrong.push((
                "arrow_cast('inf', 'Float64')",
                "column 'a': MySQL does not hold inf; make it NULL",
            ));
            wrong.push(("arrow_cast(TIMESTAMP '1950-01-01 00:00:00', 'Timestamp(Microsecond, Some(\"UTC\"))')", "Incorrect datetime value"));
        }
    }
    wrong.push((
        "[X'00']",
        "JSON does not hold binary values; encode them, for example as hex",
    ));
    for (value, said) in wrong {
        if value.starts_with('[') && matches!(site.kind, Kind::Postgres(_, _)) {
            continue;
        }
        let sql = format!("COPY (SELECT {value} AS a) TO 'db/t' STORED AS {stored_as}");
        let error = failure(&ctx, &sql).await;
        assert!(error.contains(said), "{value}: {error}");
        assert_eq!(site.tables().await, [""; 0], "{value}");
    }
    // Into a column of a table that is there.
    if !matches!(site.kind, Kind::Sqlite(_)) {
        site.ask("CREATE TABLE t (a SMALLINT, b VARCHAR(10), c DECIMAL(5,2))")
            .await;
        for (values, said) in [
            ("100000 AS a".to_owned(), "column 'a': "),
            (format!("'{long}' AS b"), "the server says: "),
            (
                "arrow_cast('1000.00', 'Decimal128(10, 2)') AS c".to_owned(),
                "column 'c': ",
            ),
        ] {
            let sql = format!(
                "COPY (SELECT {values}) TO 'db/t' STORED AS {stored_as} OPTIONS (if_exists 'append')"
            );
            let error = failure(&ctx, &sql).await;
            assert!(error.contains(said), "{values}: {error}");
            assert_eq!(site.count().await, Some(0));
        }
    }
}

async fn columns_made_elsewhere_are_read(site: Site) {
    let ctx = site.session();
    let (create, insert, expected): (&str, &str, &[(&str, &str)]) = match site.kind {
        Kind::Sqlite(_) => (
            "CREATE TABLE t (i INTEGER PRIMARY KEY, r REAL, v VARCHAR(10), d DATETIME, n NUMERIC, x)",
            "INSERT INTO t VALUES (1, 2, 'v', '2024-01-01 10:00:00', 1.5, 'any')",
            &[
                ("Int64", "1"),
                ("Float64", "2.0"),
                ("Utf8", "v"),
                ("Timestamp(µs)", "2024-01-01T10:00:00"),
                ("Float64", "1.5"),
                ("Utf8", "any"),
            ],
        ),
        Kind::Postgres(_, _) => (
            "CREATE TYPE mood AS ENUM ('good'); CREATE TABLE t (i serial PRIMARY KEY, u uuid, n numeric, m mood, a inet, j json, p timestamptz(3), v varchar(5)[])",
            "INSERT INTO t (u, n, m, a, j, p, v) VALUES ('123e4567-e89b-12d3-a456-426614174000', 12.50, 'good', '10.0.0.1', '{\"a\": 1}', '2024-01-01 10:00:00.123+02', ARRAY['x', NULL])",
            &[
                ("Int32", "1"),
                ("Utf8", "123e4567-e89b-12d3-a456-426614174000"),
                (
                    "Decimal256(76, 38)",
                    "12.50000000000000000000000000000000000000",
                ),
                ("Utf8", "good"),
                ("Utf8", "10.0.0.1/32"),
                ("Utf8", "{\"a\": 1}"),
                ("Timestamp(µs, \"UTC\")", "2024-01-01T08:00:00.123Z"),
                ("List(Utf8)", "[x, NULL]"),
            ],
        ),
        Kind::MariaDb(_, _) => (
            "CREATE TABLE t (i INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, e ENUM('good'), b BIT(4), y YEAR, s SET('a', 'b'), m MEDIUMINT, t TIME, u TIMESTAMP NULL, g GEOMETRY)",
            "INSERT INTO t (e, b, y, s, m, t, u) VALUES ('good', b'101', 2024, 'a,b', 7, '10:00:00', '2024-01-01 10:00:00')",
            &[
                ("UInt32", "1"),
                ("Utf8", "good"),
                ("Utf8", "\u{5}"),
                ("Int32", "2024"),
                ("Utf8", "a,b"),
                ("Int32", "7"),
                ("Time64(µs)", "10:00:00"),
                ("Timestamp(µs, \"UTC\")", ""),
                ("Utf8", "NULL"),
            ],
        ),
    };
    site.ask(create).await;
    site.ask(insert).await;
    let open = format!(
        "CREATE EXTERNAL TABLE t STORED AS {} LOCATION 'db/t'",
        site.stored_as()
    );
    run(&ctx, &open).await.unwrap();
    let schema = ctx.table("t").await.unwrap().schema().clone();
    let names: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    assert_eq!(names.len(), expected.len());
    for (name, (data_type, value)) in names.iter().zip(expected) {
        let found = rows(&ctx, &format!("SELECT arrow_typeof({name}) FROM t")).await;
        assert_eq!(found, [*data_type], "{name}");
        if !value.is_empty() {
            assert_eq!(
                rows(&ctx, &format!("SELECT {name} FROM t")).await,
                [*value],
                "{name}"
            );
        }
    }
    // What says nothing of a column leaves it to the database.
    let append = |columns: &str| {
        format!(
            "COPY (SELECT {columns}) TO 'db/t' STORED AS {} OPTIONS (if_exists 'append')",
            site.stored_as()
        )
    };
    let column = &names[2];
    match site.kind {
        Kind::Sqlite(_) => {
            assert_eq!(rows(&ctx, &append("'w' AS v")).await, ["1"]);
            assert_eq!(site.ask("SELECT i FROM t WHERE v = 'w'").await, ["2"]);
        }
        Kind::Postgres(_, _) => {
            assert_eq!(
                rows(
                    &ctx,
                    &append("'00000000-0000-0000-0000-000000000001' AS u, 3 AS n")
                )
                .await,
                ["1"]
            );
            assert_eq!(site.ask("SELECT i FROM t WHERE n = 3").await, ["2"]);
            let error = failure(&ctx, &append("'good' AS m")).await;
            assert!(
                error.contains("column 'm' is mood, which is read but not written"),
                "{error}"
            );
            let error = failure(&ctx, &append("'x' AS u")).await;
            assert!(error.contains("column 'u': 'x' is no UUID"), "{error}");
        }
        Kind::MariaDb(_, _) => {
            assert_eq!(rows(&ctx, &append("'good' AS e")).await, ["1"]);
            assert_eq!(site.ask("SELECT i FROM t ORDER BY i").await, ["1", "2"]);
            for (columns, said) in [
                (
                    "'1' AS e",
                    "column 'e': '1' is none of 'good', letter for letter",
                ),
                ("'GOOD' AS e", "column 'e': 'GOOD' is none of"),
                (
                    "'b,a' AS s",
                    "column 's': 'b,a' is not made of 'a', 'b', letter for letter",
                ),
                ("24 AS y", "column 'y': 24 is no year that MySQL holds"),
            ] {
                let error = failure(&ctx, &append(columns)).await;
                assert!(error.contains(said), "{error}");
            }
            assert_eq!(rows(&ctx, &append("'a,b' AS s, 1999 AS y")).await, ["1"]);
            site.ask("DELETE FROM t WHERE y = 1999").await;
            let error = failure(&ctx, &append("'x' AS b")).await;
            assert!(
                error.contains("column 'b' is bit(4), which is read but not written"),
                "{column}: {error}"
            );
            site.ask("CREATE TABLE old (a INT) ENGINE = MyISAM").await;
            let error = failure(
                &ctx,
                "COPY (SELECT 1 AS a) TO 'db/old' STORED AS MYSQL OPTIONS (if_exists 'append')",
            )
            .await;
            assert!(error.contains("the table is of MyISAM, which cannot undo a write that fails; ALTER TABLE .. ENGINE = InnoDB"), "{error}");
        }
    }
}
