//! `atio::sql` in place of the session's own: AS OF in the default dialect, and the rest as it is.

use std::sync::Arc;

use atio::ErrorKind;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};

use super::{refused, sql};
use crate::query::{open, row, rows};
use crate::session::{Place, on_every_place, run};

on_every_place!(
    every_form_of_as_of_is_honoured_in_the_default_dialect,
    as_of_is_refused_where_there_are_no_versions,
    view_and_prepared_statement_keep_the_version_that_they_name,
    statement_that_the_options_forbid_is_not_run,
    statements_of_the_engine_are_left_to_it,
    reset_takes_a_setting_of_atio_back,
    words_of_other_formats_are_told_what_is_here_in_their_place,
    plan_that_is_kept_and_run_again_changes_what_is_there_then,
    delete_works_in_every_dialect_and_never_passes_over_a_version,
    table_whose_columns_the_engine_would_lose_a_part_of_is_refused,
    function_of_the_host_may_have_a_name_like_one_of_atio,
);

/// Of `atio::sql` the text was seen; what the host runs itself may have lost an AS OF.
async fn delete_works_in_every_dialect_and_never_passes_over_a_version(place: Place) {
    let ctx = place.session();
    open(&ctx, &place, "t").await;
    for dialect in ["databricks", "bigquery", "snowflake", "mssql", "generic"] {
        rows(&ctx, "INSERT INTO t VALUES (1), (2)").await;
        sql(
            &ctx,
            &format!("SET datafusion.sql_parser.dialect = '{dialect}'"),
        )
        .await;
        let said = refused(&ctx, "DELETE FROM t VERSION AS OF 1 WHERE a = 1").await;
        assert!(
            said.contains("cannot delete from an old version"),
            "{dialect}: {said}"
        );
        let explained = sql(&ctx, "EXPLAIN DELETE FROM t WHERE a = 1").await;
        assert!(explained.join(" ").contains("AtioSink"), "{explained:?}");
        assert_eq!(
            sql(&ctx, "DELETE FROM t WHERE a = 1").await,
            ["1"],
            "{dialect}"
        );
        if dialect != "generic" {
            let said = run(&ctx, "DELETE FROM t").await.unwrap_err().to_string();
            assert!(
                said.contains("is refused in the dialect"),
                "{dialect}: {said}"
            );
        }
        sql(&ctx, "SET datafusion.sql_parser.dialect = 'generic'").await;
    }
    assert_eq!(sql(&ctx, "SELECT count(*), max(a) FROM t").await, ["5|2"]);
}

async fn table_whose_columns_the_engine_would_lose_a_part_of_is_refused(place: Place) {
    let ctx = place.session();
    let strict = "CREATE TABLE w.public.t (a INT, b INT NOT NULL) AS SELECT 1, 2";
    let said = refused(&ctx, strict).await;
    assert!(
        said.contains("the engine would lose the NOT NULL of column 'b': create the table first"),
        "{said}"
    );
    let parted = "CREATE TABLE w.public.t (a INT) PARTITIONED BY (b INT)";
    let said = refused(&ctx, parted).await;
    assert!(
        said.ends_with("CREATE TABLE w.public.t: PARTITIONED BY is not supported"),
        "{said}"
    );
    sql(
        &ctx,
        "CREATE TABLE w.public.t (a INT, b INT) AS SELECT 1, 2",
    )
    .await;
    assert_eq!(sql(&ctx, "SELECT a, b FROM w.public.t").await, ["1|2"]);
}

async fn function_of_the_host_may_have_a_name_like_one_of_atio(place: Place) {
    let ctx = place.session();
    let said = refused(&ctx, "SELECT * FROM atio_expire(1, 3)").await;
    assert!(said.contains("did you mean expire_snapshots?"), "{said}");
    let series = ctx.table_function("generate_series").unwrap();
    ctx.register_udtf("atio_expire", Arc::clone(series.function()));
    ctx.register_udtf("Atio_Series", Arc::clone(series.function()));
    for name in ["atio_expire", "Atio_Series"] {
        let found = sql(&ctx, &format!("SELECT count(*) FROM {name}(1, 3)")).await;
        assert_eq!(found, ["3"], "{name}");
    }
    // A session that was made from this one has functions of its own.
    let other = SessionContext::new_with_state(ctx.state());
    other.register_udtf("history", Arc::clone(series.function()));
    let found = sql(&other, "SELECT count(*) FROM history(1, 3)").await;
    assert_eq!(found, ["3"]);
}

/// A program may keep a statement that was analyzed and optimized.
async fn plan_that_is_kept_and_run_again_changes_what_is_there_then(place: Place) {
    let ctx = place.session();
    open(&ctx, &place, "t").await;
    for value in [1, 2] {
        rows(&ctx, &format!("INSERT INTO t VALUES ({value})")).await;
    }
    for (text, left) in [
        ("DELETE FROM t WHERE a = 9", "2|10"),
        ("DELETE FROM t WHERE a > 8", "2|10"),
        ("UPDATE t SET a = 100 WHERE a = 9", "3|110"),
        ("TRUNCATE TABLE t", "0|NULL"),
    ] {
        rows(&ctx, "TRUNCATE TABLE t").await;
        for value in [1, 2] {
            rows(&ctx, &format!("INSERT INTO t VALUES ({value})")).await;
        }
        let plan = ctx.sql(text).await.unwrap().into_optimized_plan().unwrap();
        let run = |plan| async {
            ctx.execute_logical_plan(plan)
                .await
                .unwrap()
                .collect()
                .await
        };
        if !text.starts_with("TRUNCATE") {
            run(plan.clone()).await.unwrap();
        }
        // Files have other numbers now.
        rows(&ctx, "DELETE FROM t WHERE a = 1").await;
        rows(&ctx, "INSERT INTO t VALUES (9)").await;
        rows(&ctx, "INSERT INTO t VALUES (8)").await;
        run(plan).await.unwrap();
        let found = row(&ctx, "SELECT count(*), sum(a) FROM t").await;
        assert_eq!(found, left, "{text}");
    }
}

async fn every_form_of_as_of_is_honoured_in_the_default_dialect(place: Place) {
    let ctx = place.session();
    open(&ctx, &place, "t").await;
    rows(&ctx, "INSERT INTO t VALUES (1)").await;
    rows(&ctx, "INSERT INTO t VALUES (2)").await;
    let at = "SELECT CAST(committed_at AS VARCHAR) FROM atio_history('t') WHERE version = 1";
    let at = row(&ctx, at).await.replace('Z', "");
    for dialect in ["generic", "postgresql", "mysql", "databricks", "ansi"] {
        let set = format!("SET datafusion.sql_parser.dialect = '{dialect}'");
        sql(&ctx, &set).await;
        for version in [
            "VERSION AS OF 1".to_owned(),
            "FOR VERSION AS OF 1".to_owned(),
            format!("TIMESTAMP AS OF '{at}'"),
            format!("FOR TIMESTAMP AS OF TIMESTAMP '{at}'"),
            format!("FOR SYSTEM_TIME AS OF '{at}'"),
            "AT (VERSION => 1)".to_owned(),
            format!("AT (TIMESTAMP => TIMESTAMP '{at}')"),
        ] {
            let text = format!("SELECT s.a FROM t {version} AS s WHERE s.a > 0");
            assert_eq!(sql(&ctx, &text).await, ["1"], "{dialect}: {text}");
        }
    }
    sql(&ctx, "SET datafusion.sql_parser.dialect = 'generic'").await;
    let both = "SELECT o.a, n.a FROM t VERSION AS OF 1 o JOIN t n ON o.a = n.a - 1";
    assert_eq!(sql(&ctx, both).await, ["1|2"]);
    let copied = "INSERT INTO t SELECT a + 10 FROM t VERSION AS OF 1";
    assert_eq!(sql(&ctx, copied).await, ["1"]);
    let explained = sql(&ctx, "EXPLAIN SELECT * FROM t VERSION AS OF 1").await;
    assert!(explained.join(" ").contains(", 1)"), "{explained:?}");

    for (text, words) in [
        ("SELECT * FROM t VERSION AS OF 99", "has no version 99"),
        (
            "SELECT * FROM t VERSION AS OF 'x'",
            "version must be a whole number",
        ),
        (
            "SELECT * FROM t VERSION AS OF -1",
            "version must be a whole number",
        ),
        ("SELECT * FROM t VERSION AS OF a", "AS OF needs a constant"),
        ("SELECT * FROM t TIMESTAMP AS OF '2200-01-01'", "future"),
        ("SELECT * FROM t VERSION AS OF", "ParserError"),
        (
            "SELECT * FROM t VERSION AS OF 1; SELECT 1",
            "one SQL statement",
        ),
        ("", "one SQL statement"),
    ] {
        let said = refused(&ctx, text).await;
        assert!(said.contains(words), "{text}: {said}");
    }
}

async fn as_of_is_refused_where_there_are_no_versions(place: Place) {
    let ctx = place.session();
    sql(&ctx, "CREATE TABLE plain AS VALUES (1)").await;
    for text in [
        "SELECT * FROM plain VERSION AS OF 1",
        "SELECT * FROM missing VERSION AS OF 1",
        "WITH c AS (SELECT 1) SELECT * FROM c VERSION AS OF 1",
    ] {
        let said = refused(&ctx, text).await;
        assert!(
            said.contains("only atio tables can be read AS OF"),
            "{said}"
        );
    }
    // Where nobody would look at AS OF, no text is run at all.
    let without = SessionContext::new();
    let said = atio::sql(&without, "SELECT 1").await.unwrap_err();
    let said = atio::Error::find(&said).unwrap();
    assert_eq!(said.kind(), ErrorKind::InvalidInput);
    assert!(
        said.message().contains("call atio::register first"),
        "{said}"
    );
}

async fn view_and_prepared_statement_keep_the_version_that_they_name(place: Place) {
    let ctx = place.session();
    open(&ctx, &place, "t").await;
    rows(&ctx, "INSERT INTO t VALUES (1)").await;
    sql(&ctx, "CREATE VIEW old AS SELECT a FROM t VERSION AS OF 1").await;
    sql(&ctx, "PREPARE p AS SELECT a FROM t AT (VERSION => 1)").await;
    rows(&ctx, "INSERT INTO t VALUES (2)").await;
    assert_eq!(sql(&ctx, "SELECT * FROM old").await, ["1"]);
    assert_eq!(sql(&ctx, "EXECUTE p").await, ["1"]);
    assert_eq!(sql(&ctx, "SELECT count(*) FROM t").await, ["2"]);
}

async fn statement_that_the_options_forbid_is_not_run(place: Place) {
    let ctx = place.session();
    sql(&ctx, "CREATE TABLE w.public.t AS SELECT 1 AS a").await;
    let queries = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    for text in [
        "DROP TABLE w.public.t",
        "CREATE OR REPLACE TABLE w.public.t AS SELECT 2 AS a",
        "CREATE TABLE w.public.u AS SELECT 2 AS a",
        "INSERT INTO w.public.t VALUES (2)",
        "SET datafusion.sql_parser.dialect = 'mysql'",
    ] {
        let refused = atio::sql_with_options(&ctx, text, queries).await;
        assert!(refused.is_err(), "{text}");
    }
    let old = "SELECT a FROM w.public.t VERSION AS OF 1";
    let old = atio::sql_with_options(&ctx, old, queries).await.unwrap();
    assert_eq!(old.count().await.unwrap(), 1);
    assert_eq!(sql(&ctx, "SELECT a FROM w.public.t").await, ["1"]);
    assert!(run(&ctx, "SELECT * FROM w.public.u").await.is_err());
}

async fn statements_of_the_engine_are_left_to_it(place: Place) {
    let ctx = place.session();
    for (text, expected) in [
        ("CREATE TABLE memo AS SELECT 1 AS a", vec![]),
        ("CREATE OR REPLACE TABLE memo AS SELECT 2 AS a", vec![]),
        ("SELECT a FROM memo", vec!["2"]),
        ("DROP TABLE memo", vec![]),
        ("CREATE VIEW one AS SELECT 1", vec![]),
        ("DROP VIEW one", vec![]),
        ("DROP TABLE IF EXISTS memo", vec![]),
        ("CREATE SCHEMA w.raw", vec![]),
        ("DROP SCHEMA w.raw", vec![]),
    ] {
        assert_eq!(sql(&ctx, text).await, expected, "{text}");
    }
    assert!(
        refused(&ctx, "DROP TABLE memo")
            .await
            .contains("doesn't exist")
    );
    let nowhere = refused(&ctx, "CREATE TABLE w.nowhere.t AS SELECT 1 AS a").await;
    assert!(nowhere.contains("nowhere"), "{nowhere}");

    // A host that lets paths stand for tables wraps every catalog.
    let runtime = place.session().runtime_env();
    let wrapped = SessionContext::new_with_config_rt(SessionConfig::new(), runtime);
    let wrapped = wrapped.enable_url_table();
    atio::register(&wrapped).unwrap();
    let catalog = atio::AtioCatalog::open(&wrapped, &format!("{}/other", place.root()));
    wrapped.register_catalog("o", Arc::new(catalog.unwrap()));
    sql(&wrapped, "CREATE TABLE o.public.t AS SELECT 1 AS a").await;
    sql(
        &wrapped,
        "CREATE OR REPLACE TABLE o.public.t AS SELECT 'x' AS b",
    )
    .await;
    assert_eq!(sql(&wrapped, "SELECT * FROM o.public.t").await, ["x"]);
    assert_eq!(
        sql(&wrapped, "SELECT * FROM o.public.t VERSION AS OF 1").await,
        ["1"]
    );
    sql(&wrapped, "DROP TABLE o.public.t").await;
    assert!(
        refused(&wrapped, "DROP TABLE o.public.t")
            .await
            .contains("there is no table 't'")
    );
}

async fn reset_takes_a_setting_of_atio_back(place: Place) {
    let ctx = place.session();
    for (name, value, unset) in [
        ("message", "why", "NULL"),
        ("properties.model", "m-17", ""),
        ("retries", "3", "NULL"),
        ("isolation", "serializable", "write-serializable"),
        ("delete_mode", "rewrite", "NULL"),
    ] {
        let shown = format!(
            "SELECT coalesce(value, 'NULL') FROM information_schema.df_settings WHERE name = 'atio.{name}'"
        );
        sql(&ctx, &format!("SET atio.{name} = '{value}'")).await;
        assert_eq!(sql(&ctx, &shown).await, [value]);
        sql(&ctx, &format!("RESET atio.{name}")).await;
        let expected = match unset {
            "" => Vec::new(),
            unset => vec![unset],
        };
        assert_eq!(sql(&ctx, &shown).await, expected, "{name}");
    }
    let said = refused(&ctx, "RESET atio.delete_mood").await;
    assert!(said.contains("did you mean 'atio.delete_mode'?"), "{said}");
    let queries = SQLOptions::new().with_allow_statements(false);
    let forbidden = atio::sql_with_options(&ctx, "RESET atio.message", queries).await;
    assert!(forbidden.is_err());
    // Those of the engine are still its own.
    sql(&ctx, "SET datafusion.execution.batch_size = 7").await;
    sql(&ctx, "RESET datafusion.execution.batch_size").await;
    assert_eq!(
        sql(&ctx, "SELECT value FROM information_schema.df_settings WHERE name = 'datafusion.execution.batch_size'").await,
        ["8192"]
    );
}

async fn words_of_other_formats_are_told_what_is_here_in_their_place(place: Place) {
    let ctx = place.session();
    open(&ctx, &place, "t").await;
    for (text, has) in [
        (
            "OPTIMIZE t",
            "atio has SELECT * FROM atio_compact('t') for this",
        ),
        (
            "OPTIMIZE TABLE t",
            "atio has SELECT * FROM atio_compact('t') for this",
        ),
        ("VACUUM t", "SELECT * FROM expire_snapshots('t')"),
        ("DESCRIBE HISTORY t", "SELECT * FROM atio_history('t')"),
        (
            "RESTORE TABLE t TO VERSION AS OF 3",
            "SELECT * FROM atio_rollback('t', version => 3)",
        ),
        (
            "SELECT * FROM table_changes('t', 1, 2)",
            "SELECT * FROM atio_changes('t', from => 3, to => 7)",
        ),
        (
            "CALL system.rollback_to_snapshot('t', 1)",
            "SELECT * FROM atio_rollback('t', version => 3)",
        ),
        (
            "MERGE INTO t USING (VALUES (1)) AS s(a) ON t.a = s.a WHEN MATCHED THEN UPDATE SET *",
            "MERGE needs its columns by their names",
        ),
        (
            "MERGE INTO t USING (VALUES (1)) AS s(a) ON t.a = s.a WHEN NOT MATCHED THEN INSERT *",
            "update_all() and insert_all() in Rust",
        ),
    ] {
        let said = refused(&ctx, text).await;
        assert!(said.contains(has), "{text}: {said}");
    }
    for text in [
        "OPTIMIZE_ALL t",
        "SELECT * FROM table_change('t')",
        "SELECT * FRM t",
    ] {
        let said = refused(&ctx, text).await;
        assert!(!said.contains("atio has"), "{text}: {said}");
    }
}
