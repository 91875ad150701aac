//! Names that look like SQL are names.

use atio::{IfExists, write_database};

use super::on_every_database;
use super::site::{Kind, Site};
use crate::query::{failure, rows};
use crate::session::run;

on_every_database!(
    names_that_look_like_sql_are_names,
    schemas_that_do_not_agree_are_refused,
    names_that_are_too_long_are_refused,
    columns_of_one_name_are_refused_by_databases
);

const COLUMNS: [&str; 7] = [
    "select",
    "two words",
    "a\"b",
    "a`b",
    "x'); DROP TABLE victim; --",
    "Größe",
    "?",
];

async fn names_that_look_like_sql_are_names(site: Site) {
    let ctx = site.session();
    site.ask("CREATE TABLE victim (a INT)").await;
    let columns = COLUMNS.iter().enumerate();
    let columns = columns.map(|(at, name)| format!("{at} AS \"{}\"", name.replace('"', "\"\"")));
    let sql = format!("SELECT {}", columns.collect::<Vec<_>>().join(", "));
    let tables = [
        "t; DROP TABLE victim; --",
        "quo\"te",
        "tick`",
        "order",
        "Case",
        "a b",
        "d'or",
    ];
    for table in tables {
        let named = format!("\"{}\"", table.replace('"', "\"\""));
        let query = ctx.sql(&sql).await.unwrap();
        for if_exists in [IfExists::Fail, IfExists::Append, IfExists::Replace] {
            let connection = site.connection();
            write_database(query.clone(), &connection, &named, if_exists)
                .await
                .unwrap();
        }
        let location = format!("db/{named}").replace('\'', "''");
        let open = format!(
            "CREATE EXTERNAL TABLE o STORED AS {} LOCATION '{location}'",
            site.stored_as()
        );
        run(&ctx, &open).await.unwrap();
        assert_eq!(rows(&ctx, "SELECT * FROM o").await, ["0|1|2|3|4|5|6"]);
        let found = ctx.table("o").await.unwrap().schema().field_names();
        assert_eq!(found, COLUMNS.map(|name| format!("o.{name}")));
        run(&ctx, "DROP TABLE o").await.unwrap();
        let count = site
            .ask(&format!("SELECT count(*) FROM {}", site.quoted(table)))
            .await;
        assert_eq!(count, ["1"]);
    }
    let mut expected: Vec<_> = tables.map(str::to_owned).into();
    expected.push("victim".to_owned());
    expected.sort();
    let mut found = site.tables().await;
    found.sort();
    assert_eq!(found, expected);
}

async fn schemas_that_do_not_agree_are_refused(site: Site) {
    let ctx = site.session();
    let stored_as = site.stored_as();
    let copy = |sql: &str, if_exists: &str| {
        format!("COPY ({sql}) TO 'db/t' STORED AS {stored_as} OPTIONS (if_exists '{if_exists}')")
    };
    site.ask("CREATE TABLE t (a INT NOT NULL, b VARCHAR(10), c INT DEFAULT 7)")
        .await;
    site.ask("INSERT INTO t (a, b) VALUES (1, 'x')").await;
    for if_exists in ["append", "replace"] {
        for (sql, said) in [
            (
                "SELECT 2 AS a, 3 AS d",
                "the table has no column 'd'; it has (a, b, c)",
            ),
            (
                "SELECT 2 AS \"A\"",
                "the table has no column 'A'; it has (a, b, c)",
            ),
            ("SELECT 'x' AS a", "column 'a' of the table is "),
            ("SELECT 1.5 AS a", "does not hold "),
            ("SELECT 2 AS a, 3 AS b", "does not hold Int64; cast it"),
            (
                "SELECT 'y' AS b",
                "the rows say nothing of column 'a', which takes no NULL and has no default",
            ),
            ("SELECT arrow_cast(NULL, 'Int64') AS a", ""),
        ] {
            let error = failure(&ctx, &copy(sql, if_exists)).await;
            assert!(error.contains(said), "{sql}: {error}");
            assert!(
                error.contains("cannot write table 't' of "),
                "{sql}: {error}"
            );
            assert_eq!(site.ask("SELECT a FROM t").await, ["1"]);
        }
    }
    assert_eq!(
        rows(&ctx, &copy("SELECT 'y' AS b, 2 AS a", "append")).await,
        ["1"]
    );
    assert_eq!(site.ask("SELECT c FROM t WHERE b = 'y'").await, ["7"]);
    for (sql, said) in [
        ("SELECT 1 AS \"\"", "column '': a name is empty"),
        (
            "SELECT 1 AS \"a\tb\"",
            "column 'a\\tb': a name holds a control character",
        ),
    ] {
        let error = failure(&ctx, &copy(sql, "append")).await;
        assert!(error.contains(said), "{sql}: {error}");
    }
}

async fn names_that_are_too_long_are_refused(site: Site) {
    let ctx = site.session();
    let copy = |column: &str, table: &str| {
        let stored_as = site.stored_as();
        format!("COPY (SELECT 1 AS \"{column}\") TO 'db/{table}' STORED AS {stored_as}")
    };
    // PostgreSQL would cut it after 63 bytes, without a word.
    let long = "x".repeat(70);
    for sql in [copy(&long, "t"), copy("a", &long)] {
        let said = match site.kind {
            Kind::Sqlite(_) => {
                assert_eq!(rows(&ctx, &sql).await, ["1"]);
                continue;
            }
            Kind::Postgres(_, _) => "has at most 63 bytes",
            Kind::MariaDb(_, _) if sql.contains("'db/t'") => "is too long",
            Kind::MariaDb(_, _) => "Incorrect table name",
        };
        let error = failure(&ctx, &sql).await;
        assert!(error.contains("cannot write table "), "{error}");
        assert!(error.contains(said), "{error}");
        assert_eq!(site.tables().await, [""; 0]);
    }
}

async fn columns_of_one_name_are_refused_by_databases(site: Site) {
    let ctx = site.session();
    site.ask("CREATE TABLE t (a INT)").await;
    site.ask("INSERT INTO t VALUES (1)").await;
    let pair = "(SELECT 2 AS a) x, (SELECT 3 AS a) y";
    for if_exists in ["fail", "append", "replace"] {
        let stored_as = site.stored_as();
        for table in ["t", "new"] {
            let sql = format!(
                "COPY (SELECT x.a, y.a FROM {pair}) TO 'db/{table}' STORED AS {stored_as} \
                 OPTIONS (if_exists '{if_exists}')"
            );
            let error = failure(&ctx, &sql).await;
            assert!(
                error.contains("two columns are called 'a'"),
                "{sql}: {error}"
            );
        }
    }
    // To these two the case of a letter makes no other name.
    let sql = format!(
        "COPY (SELECT 2 AS a, 3 AS \"A\") TO 'db/new' STORED AS {}",
        site.stored_as()
    );
    match site.kind {
        Kind::Postgres(_, _) => assert_eq!(rows(&ctx, &sql).await, ["1"]),
        Kind::Sqlite(_) | Kind::MariaDb(_, _) => {
            let error = failure(&ctx, &sql).await.to_lowercase();
            assert!(error.contains("duplicate column"), "{error}");
            assert_eq!(site.tables().await, ["t"]);
        }
    }
    assert_eq!(site.ask("SELECT a FROM t").await, ["1"]);
}
