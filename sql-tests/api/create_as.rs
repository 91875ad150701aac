//! CREATE TABLE .. AS, CREATE OR REPLACE TABLE and DROP TABLE of a catalog, by `atio::sql`.

use std::sync::Arc;

use atio::{AtioPolicy, AtioTable, CommitOptions, ErrorKind, TagOptions};
use datafusion::prelude::{SessionConfig, SessionContext};

use super::{meanwhile, refused, sql};
use crate::objects::{assert_same, objects};
use crate::session::{Place, on_every_place};

on_every_place!(
    table_of_a_query_has_its_rows_in_one_version,
    query_that_fails_leaves_no_table_and_no_file,
    table_is_made_once_and_if_it_may_be_missing,
    replaced_table_keeps_its_history_and_tags,
    replacement_that_fails_leaves_the_old_table,
    table_is_replaced_by_rows_of_its_own,
    replacement_that_loses_to_an_append_leaves_the_append,
    what_is_set_is_for_the_table_of_its_session,
    drop_tells_what_went_wrong,
    session_that_may_not_create_neither_replaces_nor_drops,
);

async fn table_of_a_query_has_its_rows_in_one_version(place: Place) {
    let ctx = place.session();
    let made =
        "CREATE TABLE w.public.t AS SELECT a, 'x' AS b FROM generate_series(1, 5000) AS g(a)";
    assert!(sql(&ctx, made).await.is_empty());
    let told = "SELECT version, operation, rows, files FROM atio_history('w.public.t')";
    assert_eq!(sql(&ctx, told).await, ["0|create|0|0", "1|append|5000|1"]);
    let sum = "SELECT sum(a), count(b) FROM w.public.t";
    assert_eq!(sql(&ctx, sum).await, ["12502500|5000"]);
    // A literal that is never null is no promise.
    sql(&ctx, "INSERT INTO w.public.t VALUES (NULL, NULL)").await;
    sql(
        &ctx,
        "CREATE TABLE w.public.none AS SELECT 1 AS a WHERE false",
    )
    .await;
    sql(&ctx, "INSERT INTO w.public.none VALUES (NULL)").await;
    sql(&ctx, "CREATE TABLE w.public.kept (a INT NOT NULL)").await;
    let null = refused(&ctx, "INSERT INTO w.public.kept SELECT NULL").await;
    assert!(null.contains("null") || null.contains("NULL"), "{null}");
    for (clause, words) in [
        ("(a INT PRIMARY KEY)", "PRIMARY KEY"),
        ("(a INT DEFAULT 1)", "DEFAULT"),
    ] {
        let text = format!("CREATE TABLE w.public.other {clause}");
        let said = refused(&ctx, &text).await;
        assert!(said.contains(words), "{text}: {said}");
    }
}

async fn query_that_fails_leaves_no_table_and_no_file(place: Place) {
    let ctx = place.session();
    sql(&ctx, "CREATE TABLE w.public.other AS SELECT 1 AS a").await;
    let before = objects(&place).await;
    let fails = "SELECT 1 / (a - 9999) AS a FROM generate_series(0, 9999) AS g(a)";
    for create in [
        "CREATE TABLE",
        "CREATE TABLE IF NOT EXISTS",
        "CREATE OR REPLACE TABLE",
    ] {
        let said = refused(&ctx, &format!("{create} w.public.t AS {fails}")).await;
        assert!(said.contains("Divide by zero"), "{said}");
        let missing = refused(&ctx, "SELECT * FROM w.public.t").await;
        assert!(missing.contains("not found"), "{missing}");
    }
    match place {
        Place::Disk(_) => assert_same(&before, &objects(&place).await, "queries that fail"),
        // The log of a table that was there for a moment stays as tombstones.
        Place::Memory(_) => {
            let after = objects(&place).await;
            let data = after.keys().filter(|name| name.contains("/data/")).count();
            let had = before.keys().filter(|name| name.contains("/data/")).count();
            assert_eq!(data, had, "{:?}", after.keys());
        }
    }
    // The name is free.
    sql(&ctx, "CREATE TABLE w.public.t AS SELECT 7 AS a").await;
    assert_eq!(sql(&ctx, "SELECT a FROM w.public.t").await, ["7"]);
}

async fn table_is_made_once_and_if_it_may_be_missing(place: Place) {
    let ctx = place.session();
    sql(&ctx, "CREATE TABLE w.public.t AS SELECT 1 AS a").await;
    let twice = refused(&ctx, "CREATE TABLE w.public.t AS SELECT 2 AS a").await;
    assert!(twice.contains("there is a table 't' already"), "{twice}");
    sql(
        &ctx,
        "CREATE TABLE IF NOT EXISTS w.public.t AS SELECT 2 AS a",
    )
    .await;
    sql(&ctx, "CREATE TABLE IF NOT EXISTS w.public.t (b INT)").await;
    assert_eq!(sql(&ctx, "SELECT * FROM w.public.t").await, ["1"]);
    let both = "CREATE OR REPLACE TABLE IF NOT EXISTS w.public.t AS SELECT 2 AS a";
    assert!(refused(&ctx, both).await.contains("cannot coexist"));
}

async fn replaced_table_keeps_its_history_and_tags(place: Place) {
    let ctx = place.session();
    let replace = "CREATE OR REPLACE TABLE w.public.t AS";
    sql(&ctx, &format!("{replace} SELECT 1 AS a")).await;
    let table = AtioTable::named(&ctx, "w.public.t").await.unwrap();
    table.tag("first", TagOptions::default()).await.unwrap();
    sql(&ctx, &format!("{replace} SELECT 'x' AS b, 2 AS a")).await;
    assert_eq!(sql(&ctx, "SELECT * FROM w.public.t").await, ["x|2"]);
    sql(&ctx, &format!("{replace} SELECT 'y' AS b, 3 AS a")).await;
    sql(&ctx, "CREATE OR REPLACE TABLE w.public.t (c INT NOT NULL)").await;
    assert!(sql(&ctx, "SELECT c FROM w.public.t").await.is_empty());
    let null = refused(&ctx, "INSERT INTO w.public.t SELECT NULL").await;
    assert!(null.contains("null") || null.contains("NULL"), "{null}");

    let told = "SELECT version, operation, rows FROM atio_history('w.public.t')";
    assert_eq!(
        sql(&ctx, told).await,
        [
            "0|create|0",
            "1|append|1",
            "2|tag|1",
            "3|overwrite|1",
            "4|overwrite|1",
            "5|overwrite|0"
        ]
    );
    let other = place.session();
    for (version, expected) in [("VERSION AS OF 3", "x|2"), ("VERSION AS OF 4", "y|3")] {
        let old = format!("SELECT * FROM w.public.t {version}");
        assert_eq!(sql(&other, &old).await, [expected]);
    }
    let tagged = "SELECT * FROM atio_table('w.public.t', tag => 'first')";
    assert_eq!(sql(&other, tagged).await, ["1"]);
}

async fn replacement_that_fails_leaves_the_old_table(place: Place) {
    let ctx = place.session();
    sql(&ctx, "CREATE TABLE w.public.t AS SELECT 1 AS a").await;
    let before = objects(&place).await;
    for query in [
        "SELECT 'x' AS b, 1 / (a - 9999) AS a FROM generate_series(0, 9999) AS g(a)",
        "SELECT 1 / (a - 9999) AS a FROM generate_series(0, 9999) AS g(a)",
        "SELECT 1 AS a, 2 AS \"A\"",
        "SELECT * FROM missing",
    ] {
        refused(
            &ctx,
            &format!("CREATE OR REPLACE TABLE w.public.t AS {query}"),
        )
        .await;
        assert_same(&before, &objects(&place).await, query);
    }
    assert_eq!(sql(&ctx, "SELECT a FROM w.public.t").await, ["1"]);
}

async fn table_is_replaced_by_rows_of_its_own(place: Place) {
    let ctx = place.session();
    sql(&ctx, "CREATE TABLE w.public.t AS VALUES (1), (2)").await;
    let own =
        "CREATE OR REPLACE TABLE w.public.t AS SELECT column1 * 10 AS a, 'x' AS b FROM w.public.t";
    sql(&ctx, own).await;
    assert_eq!(
        sql(&ctx, "SELECT * FROM w.public.t").await,
        ["10|x", "20|x"]
    );
}

async fn replacement_that_loses_to_an_append_leaves_the_append(place: Place) {
    let ctx = place.session();
    sql(&ctx, "CREATE TABLE w.public.t AS SELECT 1 AS a").await;
    // While its query runs, another session appends.
    let append = "INSERT INTO w.public.t VALUES (2)";
    ctx.register_udf(meanwhile(place.session(), append));
    let replace =
        "CREATE OR REPLACE TABLE w.public.t AS SELECT meanwhile(a) AS a, 'x' AS b FROM w.public.t";
    let said = refused(&ctx, replace).await;
    assert!(said.contains("cannot commit to 't'"), "{said}");
    assert_eq!(sql(&ctx, "SELECT * FROM w.public.t").await, ["1", "2"]);
}

async fn what_is_set_is_for_the_table_of_its_session(place: Place) {
    let ctx = place.session();
    let commit = |message: &str| CommitOptions {
        message: Some(message.to_owned()),
        ..CommitOptions::default()
    };
    let once = |message: &str| atio::with_commit(&ctx, commit(message)).unwrap();
    sql(&once("rows"), "CREATE TABLE w.public.t AS SELECT 1 AS a").await;
    sql(
        &once("other"),
        "CREATE OR REPLACE TABLE w.public.t AS SELECT 'x' AS b",
    )
    .await;
    sql(
        &once("none"),
        "CREATE TABLE w.public.u AS SELECT 1 AS a WHERE random() > 2",
    )
    .await;
    sql(&once("empty"), "CREATE TABLE w.public.v (a INT)").await;
    sql(&ctx, "SET atio.message = 'set'").await;
    sql(&ctx, "CREATE TABLE w.public.x AS SELECT 1 AS a").await;
    sql(&ctx, "INSERT INTO w.public.x VALUES (2)").await;
    for (table, expected) in [
        (
            "t",
            vec!["0|create|NULL", "1|append|rows", "2|overwrite|other"],
        ),
        ("u", vec!["0|create|NULL", "1|overwrite|none"]),
        ("v", vec!["0|create|empty"]),
        ("x", vec!["0|create|NULL", "1|append|set", "2|append|NULL"]),
    ] {
        let told =
            format!("SELECT version, operation, message FROM atio_history('w.public.{table}')");
        assert_eq!(sql(&ctx, &told).await, expected, "{table}");
    }
    sql(&ctx, "SET atio.commit_every_rows = 1").await;
    let chunks = refused(&ctx, "CREATE OR REPLACE TABLE w.public.t AS SELECT 1 AS a").await;
    assert!(chunks.contains("CREATE TABLE is one version"), "{chunks}");
}

async fn drop_tells_what_went_wrong(place: Place) {
    let ctx = place.session();
    let missing = refused(&ctx, "DROP TABLE w.public.t").await;
    assert!(
        missing.contains("there is no table 't' in schema 'public'"),
        "{missing}"
    );
    sql(&ctx, "DROP TABLE IF EXISTS w.public.t").await;
    sql(&ctx, "CREATE TABLE w.public.t AS SELECT 1 AS a").await;
    sql(&ctx, "CREATE VIEW w.public.v AS SELECT 1").await;
    let view = refused(&ctx, "DROP TABLE w.public.v").await;
    assert!(view.contains("is a view, not a table"), "{view}");
    if let Place::Disk(_) = &place {
        let foreign = place.path().join("warehouse/public/t/notes.txt");
        std::fs::write(&foreign, "mine").unwrap();
        for text in ["DROP TABLE w.public.t", "DROP TABLE IF EXISTS w.public.t"] {
            let said = refused(&ctx, text).await;
            assert!(said.contains("holds 'notes.txt'"), "{said}");
        }
        std::fs::remove_file(&foreign).unwrap();
    }
    sql(&ctx, "DROP TABLE w.public.t").await;
    let gone = AtioTable::named(&ctx, "w.public.t").await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::InvalidInput, "{gone}");
}

async fn session_that_may_not_create_neither_replaces_nor_drops(place: Place) {
    let owner = place.session();
    sql(&owner, "CREATE TABLE w.public.t AS SELECT 1 AS a").await;
    let runtime = place.session().runtime_env();
    let ctx = SessionContext::new_with_config_rt(SessionConfig::new(), runtime);
    atio::register_with(&ctx, AtioPolicy::default().with_create(false)).unwrap();
    let catalog = atio::AtioCatalog::open(&ctx, &format!("{}/warehouse", place.root()));
    ctx.register_catalog("w", Arc::new(catalog.unwrap()));
    let before = objects(&place).await;
    for text in [
        "CREATE OR REPLACE TABLE w.public.t AS SELECT 2 AS a",
        "CREATE OR REPLACE TABLE w.public.t AS SELECT 'x' AS b",
        "CREATE TABLE w.public.u AS SELECT 2 AS a",
        "DROP TABLE w.public.t",
        "DROP TABLE IF EXISTS w.public.t",
    ] {
        let said = refused(&ctx, text).await;
        assert!(
            said.contains("may not create or drop tables"),
            "{text}: {said}"
        );
    }
    assert_same(
        &before,
        &objects(&place).await,
        "a session that may not create",
    );
}
