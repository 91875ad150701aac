//! Columns that a statement does not name get what the database gives them.

use super::on_every_database;
use super::site::{Kind, Site};
use crate::query::{failure, rows};
use crate::session::run;

on_every_database!(columns_that_an_insert_does_not_name_get_their_defaults);

async fn columns_that_an_insert_does_not_name_get_their_defaults(site: Site) {
    let ctx = site.session();
    let (key, twice) = match site.kind {
        Kind::Sqlite(_) => ("INTEGER PRIMARY KEY", "a * 2"),
        Kind::Postgres(_, _) => ("serial PRIMARY KEY", "a * 2"),
        Kind::MariaDb(_, _) => ("INT AUTO_INCREMENT PRIMARY KEY", "a * 2"),
    };
    site.ask(&format!(
        "CREATE TABLE t (i {key}, a INT, b INT DEFAULT 7, c VARCHAR(10) DEFAULT 'x', d INT NOT NULL DEFAULT 5, e VARCHAR(5), g INT GENERATED ALWAYS AS ({twice}) STORED)"
    ))
    .await;
    let stored_as = site.stored_as();
    let open = format!("CREATE EXTERNAL TABLE t STORED AS {stored_as} LOCATION 'db/t'");
    run(&ctx, &open).await.unwrap();
    for sql in [
        "INSERT INTO t (a) VALUES (1)",
        // NULL is a value where it is said.
        "INSERT INTO t (a, b, c) VALUES (2, NULL, NULL)",
        "INSERT INTO t (c, a) SELECT 'y', 3",
        "INSERT INTO t (a, b) SELECT a + 3, b FROM t WHERE a = 1",
        "INSERT INTO t (a) SELECT 5 UNION ALL SELECT 6 WHERE false",
    ] {
        assert_eq!(rows(&ctx, sql).await, ["1"], "{sql}");
    }
    run(&ctx, "PREPARE p(INT) AS INSERT INTO t (a) VALUES ($1)")
        .await
        .unwrap();
    assert_eq!(rows(&ctx, "EXECUTE p(6)").await, ["1"]);
    let all = "SELECT a, b, c, d, e, g FROM t";
    assert_eq!(
        rows(&ctx, all).await,
        [
            "1|7|x|5|NULL|2",
            "2|NULL|NULL|5|NULL|4",
            "3|7|y|5|NULL|6",
            "4|7|x|5|NULL|8",
            "5|7|x|5|NULL|10",
            "6|7|x|5|NULL|12",
        ]
    );
    assert_eq!(
        rows(&ctx, "SELECT count(DISTINCT i), min(i) FROM t").await,
        ["6|1"]
    );
    assert_eq!(
        rows(
            &ctx,
            "INSERT OVERWRITE t (a) SELECT a + 10 FROM t WHERE a = 1"
        )
        .await,
        ["1"]
    );
    assert_eq!(rows(&ctx, all).await, ["11|7|x|5|NULL|22"]);
    // What the plan says of it.
    let plan = rows(&ctx, "EXPLAIN INSERT INTO t (a) VALUES (1)")
        .await
        .join("\n");
    assert!(
        plan.contains("DatabaseSink(connection=db, table=t, operation=append)"),
        "{plan}"
    );

    site.ask("CREATE TABLE r (a INT NOT NULL, b INT)").await;
    let open = format!("CREATE EXTERNAL TABLE r STORED AS {stored_as} LOCATION 'db/r'");
    run(&ctx, &open).await.unwrap();
    let error = failure(&ctx, "INSERT INTO r (b) VALUES (1)").await;
    assert!(
        error
            .contains("the rows say nothing of column 'a', which takes no NULL and has no default"),
        "{error}"
    );
}
