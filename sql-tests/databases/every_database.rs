//! What every database must do.

use atio::{ErrorKind, IfExists, write_database};
use datafusion::prelude::SessionContext;

use super::on_every_database;
use super::site::Site;
use super::slow_rows::Tap;
use crate::query::{failure, rows};
use crate::session::run;

on_every_database!(
    the_three_answers_to_a_table_that_exists,
    insert_and_overwrite_of_a_registered_table,
    query_that_fails_late_leaves_everything_as_it_was,
    constraint_that_fails_at_the_last_row_leaves_everything_as_it_was,
    readers_see_the_old_rows_until_the_commit,
    statement_that_is_dropped_writes_nothing,
    replacements_at_once_leave_one_of_them,
    rows_of_many_batches_arrive,
    explain_writes_nothing,
);

/// Values of `a` in the table `t`, in order, asked without atio.
async fn values(site: &Site) -> Vec<String> {
    site.ask("SELECT a FROM t ORDER BY a").await
}

async fn write(
    site: &Site,
    ctx: &SessionContext,
    sql: &str,
    if_exists: IfExists,
) -> datafusion::error::Result<u64> {
    let rows = ctx.sql(sql).await?;
    write_database(rows, &site.connection(), "t", if_exists).await
}

fn kind(error: &datafusion::error::DataFusionError) -> Option<ErrorKind> {
    atio::Error::find(error).map(atio::Error::kind)
}

async fn the_three_answers_to_a_table_that_exists(site: Site) {
    let ctx = site.session();
    assert_eq!(
        write(&site, &ctx, "SELECT 1 AS a", IfExists::Fail)
            .await
            .unwrap(),
        1
    );
    let error = write(&site, &ctx, "SELECT 2 AS a", IfExists::Fail)
        .await
        .unwrap_err();
    assert_eq!(kind(&error), Some(ErrorKind::TableExists));
    assert!(
        error.to_string().contains(&format!(
            "cannot write table 't' of {}: the table exists; append to it or replace it (if_exists)",
            site.connection()
        )),
        "{error}"
    );
    assert_eq!(values(&site).await, ["1"]);
    assert_eq!(
        write(&site, &ctx, "SELECT 3 AS a", IfExists::Append)
            .await
            .unwrap(),
        1
    );
    assert_eq!(values(&site).await, ["1", "3"]);
    let error = write(&site, &ctx, "VALUES (4), (5)", IfExists::Replace)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the table has no column 'column1'"),
        "{error}"
    );
    assert_eq!(values(&site).await, ["1", "3"]);
    let sql = "SELECT * FROM (VALUES (4), (5)) AS v(a)";
    assert_eq!(write(&site, &ctx, sql, IfExists::Replace).await.unwrap(), 2);
    assert_eq!(values(&site).await, ["4", "5"]);
    // No rows are a result, too.
    let sql = "SELECT 1 AS a WHERE false";
    assert_eq!(write(&site, &ctx, sql, IfExists::Replace).await.unwrap(), 0);
    assert_eq!(values(&site).await, [""; 0]);
    site.ask("DROP TABLE t").await;
    for if_exists in [IfExists::Append, IfExists::Replace] {
        assert_eq!(
            write(&site, &ctx, "SELECT 6 AS a", if_exists)
                .await
                .unwrap(),
            1
        );
        assert_eq!(values(&site).await, ["6"]);
        assert_eq!(site.tables().await, ["t"]);
        site.ask("DROP TABLE t").await;
    }
}

async fn insert_and_overwrite_of_a_registered_table(site: Site) {
    let ctx = site.session();
    let stored_as = site.stored_as();
    let copy =
        |sql: &str, option: &str| format!("COPY ({sql}) TO 'db/t' STORED AS {stored_as} {option}");
    assert_eq!(
        rows(&ctx, &copy("SELECT 1 AS a, 'x' AS b", "")).await,
        ["1"]
    );
    let open = format!("CREATE EXTERNAL TABLE t STORED AS {stored_as} LOCATION 'db/t'");
    run(&ctx, &open).await.unwrap();
    assert_eq!(
        rows(&ctx, "INSERT INTO t VALUES (2, 'y'), (3, NULL)").await,
        ["2"]
    );
    assert_eq!(
        rows(&ctx, "SELECT a, b FROM t ORDER BY a").await,
        ["1|x", "2|y", "3|NULL"]
    );
    assert_eq!(rows(&ctx, "SELECT b FROM t WHERE a = 2").await, ["y"]);
    assert_eq!(rows(&ctx, "SELECT count(*) FROM t").await, ["3"]);
    assert_eq!(
        rows(&ctx, "SELECT count(*) FROM (SELECT * FROM t LIMIT 2)").await,
        ["2"]
    );
    // From itself.
    assert_eq!(
        rows(
            &ctx,
            "INSERT OVERWRITE t SELECT a * 10, b FROM t WHERE a > 1"
        )
        .await,
        ["2"]
    );
    assert_eq!(
        rows(&ctx, "SELECT a, b FROM t ORDER BY a").await,
        ["20|y", "30|NULL"]
    );
    assert_eq!(
        rows(
            &ctx,
            &copy("SELECT 4 AS a", "OPTIONS ('if_exists' 'append')")
        )
        .await,
        ["1"]
    );
    assert_eq!(
        rows(
            &ctx,
            &copy("SELECT 5 AS a", "OPTIONS (if_exists 'replace')")
        )
        .await,
        ["1"]
    );
    assert_eq!(
        rows(&ctx, "SELECT a, b FROM t ORDER BY a").await,
        ["5|NULL"]
    );
    let error = run(&ctx, &copy("SELECT 5 AS a", "")).await.unwrap_err();
    assert_eq!(kind(&error), Some(ErrorKind::TableExists));
    // What the database has no condition for is refused, not done to all rows.
    for (sql, verb) in [
        ("DELETE FROM t WHERE a IN (SELECT 99)", "delete"),
        ("UPDATE t SET b = 'z' WHERE a IN (SELECT 99)", "update"),
        ("DELETE FROM t", "delete"),
    ] {
        let error = run(&ctx, sql).await.unwrap_err().to_string();
        let refusal = format!(
            "cannot {verb} rows of table 't' of {} from here; rows can be added, or all replaced",
            site.connection()
        );
        assert!(error.contains(&refusal), "{error}");
    }
    assert_eq!(values(&site).await, ["5"]);
    site.ask("DROP TABLE t").await;
    let error = run(&ctx, "INSERT INTO t VALUES (1, 'x')")
        .await
        .unwrap_err();
    assert_eq!(kind(&error), Some(ErrorKind::TableNotFound), "{error}");
}

/// Divides by zero at one of the last rows.
const LATE: &str = "SELECT value / (value - 49990) AS a FROM generate_series(1, 50000) AS s(value)";

async fn query_that_fails_late_leaves_everything_as_it_was(site: Site) {
    let ctx = site.session();
    for if_exists in [IfExists::Fail, IfExists::Append, IfExists::Replace] {
        let error = write(&site, &ctx, LATE, if_exists).await.unwrap_err();
        assert!(error.to_string().contains("Divide by zero"), "{error}");
        assert_eq!(site.tables().await, [""; 0]);
    }
    write(&site, &ctx, "SELECT 7 AS a", IfExists::Fail)
        .await
        .unwrap();
    for if_exists in [IfExists::Append, IfExists::Replace] {
        let error = write(&site, &ctx, LATE, if_exists).await.unwrap_err();
        assert!(error.to_string().contains("Divide by zero"), "{error}");
        assert_eq!(values(&site).await, ["7"]);
        let (tap, query) = Tap::open(&ctx);
        let give = async {
            tap.give(0..100).await;
            tap.fail().await;
        };
        let connection = site.connection();
        let (written, ()) = tokio::join!(write_database(query, &connection, "t", if_exists), give);
        assert!(written.unwrap_err().to_string().contains("the tap broke"));
        assert_eq!(values(&site).await, ["7"]);
    }
    assert_eq!(site.tables().await, ["t"]);
}

async fn constraint_that_fails_at_the_last_row_leaves_everything_as_it_was(site: Site) {
    let ctx = site.session();
    site.ask("CREATE TABLE t (a BIGINT NOT NULL UNIQUE)").await;
    site.ask("INSERT INTO t VALUES (7)").await;
    let twice = "SELECT CASE value WHEN 20000 THEN 1 ELSE value + 7 END AS a FROM generate_series(1, 20000) AS s(value) UNION ALL SELECT 1 ORDER BY a DESC";
    for if_exists in [IfExists::Append, IfExists::Replace] {
        let error = write(&site, &ctx, twice, if_exists).await.unwrap_err();
        let said = error.to_string().to_lowercase();
        assert!(
            said.contains("unique") || said.contains("duplicate"),
            "{error}"
        );
        assert_eq!(values(&site).await, ["7"]);
    }
    let open = format!(
        "CREATE EXTERNAL TABLE t STORED AS {} LOCATION 'db/t'",
        site.stored_as()
    );
    rows(&ctx, &open).await;
    for insert in ["INSERT INTO t", "INSERT OVERWRITE t"] {
        let error = failure(&ctx, &format!("{insert} {twice}")).await;
        let said = error.to_lowercase();
        assert!(
            said.contains("unique") || said.contains("duplicate"),
            "{error}"
        );
        assert_eq!(values(&site).await, ["7"]);
    }
    assert_eq!(site.tables().await, ["t"]);
}

async fn readers_see_the_old_rows_until_the_commit(site: Site) {
    let ctx = site.session();
    write(&site, &ctx, "SELECT 7 AS a", IfExists::Fail)
        .await
        .unwrap();
    for (if_exists, after) in [(IfExists::Append, 1 + 2000), (IfExists::Replace, 2000)] {
        let before = site.count().await;
        let (tap, query) = Tap::open(&ctx);
        let connection = site.connection();
        let observe = async {
            tap.give(0..1000).await;
            tap.taken().await;
            assert_eq!(site.count().await, before);
            tap.give(1000..2000).await;
            tap.taken().await;
            assert_eq!(site.count().await, before);
            drop(tap);
        };
        let (written, ()) =
            tokio::join!(write_database(query, &connection, "t", if_exists), observe);
        assert_eq!(written.unwrap(), 2000);
        assert_eq!(site.count().await, Some(after));
    }
    site.ask("DROP TABLE t").await;
    // A table that is made is not there before the commit.
    let (tap, query) = Tap::open(&ctx);
    let connection = site.connection();
    let observe = async {
        tap.give(0..1000).await;
        tap.taken().await;
        assert_eq!(site.count().await, None);
        drop(tap);
    };
    let (written, ()) = tokio::join!(
        write_database(query, &connection, "t", IfExists::Fail),
        observe
    );
    assert_eq!(written.unwrap(), 1000);
    assert_eq!(site.count().await, Some(1000));
}

async fn statement_that_is_dropped_writes_nothing(site: Site) {
    let ctx = site.session();
    write(&site, &ctx, "SELECT 7 AS a", IfExists::Fail)
        .await
        .unwrap();
    for if_exists in [IfExists::Append, IfExists::Replace] {
        let (tap, query) = Tap::open(&ctx);
        let connection = site.connection();
        let task =
            tokio::spawn(async move { write_database(query, &connection, "t", if_exists).await });
        tap.give(0..1000).await;
        tap.taken().await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        drop(tap);
        assert_eq!(values(&site).await, ["7"]);
    }
    // Nothing stands in the way of the next.
    write(&site, &ctx, "SELECT 8 AS a", IfExists::Replace)
        .await
        .unwrap();
    assert_eq!(values(&site).await, ["8"]);
}

async fn replacements_at_once_leave_one_of_them(site: Site) {
    let ctx = site.session();
    for round in 0..3 {
        let write = |n: i64| {
            let (ctx, connection) = (ctx.clone(), site.connection());
            tokio::spawn(async move {
                let sql = format!("SELECT {n} AS a FROM generate_series(1, 500)");
                let rows = ctx.sql(&sql).await.unwrap();
                write_database(rows, &connection, "t", IfExists::Replace).await
            })
        };
        let writes: Vec<_> = (1..=4).map(write).collect();
        let mut done = 0;
        for write in writes {
            match write.await.unwrap() {
                Ok(_) => done += 1,
                // Only the table's first writers can be in each other's way.
                Err(error) => assert_eq!(round, 0, "{error}"),
            }
        }
        assert!(done > 0);
        let found = site.ask("SELECT DISTINCT a FROM t").await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(site.count().await, Some(500));
    }
}

async fn rows_of_many_batches_arrive(site: Site) {
    let ctx = site.session();
    let sql = "SELECT value AS a, repeat('x', 100) AS b FROM generate_series(1, 30000) AS s(value)";
    assert_eq!(
        write(&site, &ctx, sql, IfExists::Fail).await.unwrap(),
        30_000
    );
    let open = format!(
        "CREATE EXTERNAL TABLE t STORED AS {} LOCATION 'db/t'",
        site.stored_as()
    );
    run(&ctx, &open).await.unwrap();
    let found = rows(
        &ctx,
        "SELECT count(*), count(DISTINCT a), sum(a), min(length(b)) FROM t",
    )
    .await;
    assert_eq!(found, ["30000|30000|450015000|100"]);
}

async fn explain_writes_nothing(site: Site) {
    let ctx = site.session();
    let stored_as = site.stored_as();
    let sql = format!("EXPLAIN COPY (SELECT 1 AS a) TO 'db/t' STORED AS {stored_as}");
    let plan = rows(&ctx, &sql).await.join("\n");
    assert!(
        plan.contains("DatabaseSink(connection=db, table=t, operation=create)"),
        "{plan}"
    );
    assert!(!plan.contains("SECRET"), "{plan}");
    assert_eq!(site.tables().await, [""; 0]);
    write(&site, &ctx, "SELECT 7 AS a", IfExists::Fail)
        .await
        .unwrap();
    let open = format!("CREATE EXTERNAL TABLE t STORED AS {stored_as} LOCATION 'db/t'");
    run(&ctx, &open).await.unwrap();
    let plan = rows(&ctx, "EXPLAIN INSERT OVERWRITE t SELECT a FROM t LIMIT 1")
        .await
        .join("\n");
    assert!(
        plan.contains("DatabaseSink(connection=db, table=t, operation=replace)"),
        "{plan}"
    );
    assert!(
        plan.contains("DatabaseScan(connection=db, table=t, columns=[a], limit=1)"),
        "{plan}"
    );
    assert_eq!(values(&site).await, ["7"]);
}
