//! One version of each table per statement, the newest one, whatever it is called.

#![cfg(test)]

use std::sync::Arc;

use atio::{AtioCatalog, AtioTable};
use datafusion::arrow::array::Int64Array;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::MemTable;
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{CreateMemoryTable, DdlStatement, LogicalPlan};
use datafusion::prelude::SessionContext;
use url::Url;

use super::one_version::assert_agrees;
use crate::query::{failure, open, row, rows, texts};
use crate::session::{Place, on_every_place, run};

on_every_place!(
    view_prepared_statement_and_frame_see_what_was_committed_after_they_were_made,
    session_sees_its_own_writes_and_those_of_others_at_once,
    planned_statement_keeps_its_version_until_it_is_planned_again,
    any_number_of_partitions_gives_the_same_rows_and_one_version,
    frame_written_to_a_table_makes_one_version,
    frame_with_a_value_that_does_not_fit_is_refused_and_not_made_null,
    table_opened_without_sql_reads_and_writes,
    session_without_atio_scans_an_opened_table,
    table_recreated_with_other_columns_is_seen_by_the_next_statement_of_a_catalog,
    table_replaced_under_a_registration_works_at_the_latest_when_run_again,
    table_made_by_a_query_of_no_rows_takes_null_in_any_session,
);

async fn view_prepared_statement_and_frame_see_what_was_committed_after_they_were_made(
    place: Place,
) {
    let ctx = place.session();
    open(&ctx, &place, "t").await;
    rows(&ctx, "CREATE VIEW v AS SELECT a FROM t WHERE a > 0").await;
    rows(
        &ctx,
        "CREATE VIEW w AS SELECT count(*) AS n FROM atio_table('t')",
    )
    .await;
    rows(&ctx, "PREPARE p AS SELECT count(*) FROM t").await;
    rows(
        &ctx,
        "PREPARE q(BIGINT) AS SELECT count(*) FROM v WHERE a >= $1",
    )
    .await;
    let frame = ctx.sql("SELECT count(*) FROM t").await.unwrap();
    let kept = ctx.table("t").await.unwrap();

    let other = place.session();
    open(&other, &place, "t").await;
    for n in 1..=3 {
        rows(&other, &format!("INSERT INTO t VALUES ({n})")).await;
        let expected = n.to_string();
        assert_eq!(row(&ctx, "SELECT count(*) FROM v").await, expected);
        assert_eq!(row(&ctx, "SELECT n FROM w").await, expected);
        assert_eq!(row(&ctx, "EXECUTE p").await, expected);
        assert_eq!(row(&ctx, "EXECUTE q(2)").await, (n - 1).to_string());
        assert_eq!(texts(&frame.clone().collect().await.unwrap()), [expected]);
        assert_eq!(kept.clone().count().await.unwrap(), n);
    }
}

async fn planned_statement_keeps_its_version_until_it_is_planned_again(place: Place) {
    let ctx = place.session();
    open(&ctx, &place, "t").await;
    rows(&ctx, "INSERT INTO t VALUES (1)").await;
    let frame = ctx.sql("SELECT a FROM t").await.unwrap();
    let planned = frame.clone().create_physical_plan().await.unwrap();

    let other = place.session();
    open(&other, &place, "t").await;
    rows(&other, "INSERT OVERWRITE t VALUES (2)").await;

    let old = datafusion::physical_plan::collect(planned, ctx.task_ctx())
        .await
        .unwrap();
    assert_eq!(texts(&old), ["1"]);
    assert_eq!(texts(&frame.collect().await.unwrap()), ["2"]);
}

async fn session_sees_its_own_writes_and_those_of_others_at_once(place: Place) {
    let (one, two) = (place.session(), place.session());
    open(&one, &place, "t").await;
    open(&two, &place, "t").await;
    for n in 0..4 {
        let (writer, reader) = if n % 2 == 0 {
            (&one, &two)
        } else {
            (&two, &one)
        };
        rows(writer, &format!("INSERT INTO t VALUES ({n})")).await;
        let expected: Vec<_> = (0..=n).map(|a: i64| a.to_string()).collect();
        assert_eq!(rows(writer, "SELECT a FROM t").await, expected);
        assert_eq!(rows(reader, "SELECT a FROM t").await, expected);
    }
    rows(&two, "INSERT OVERWRITE t SELECT 9").await;
    assert_eq!(rows(&two, "SELECT a FROM t").await, ["9"]);
    assert_eq!(rows(&one, "SELECT a FROM t").await, ["9"]);
}

async fn any_number_of_partitions_gives_the_same_rows_and_one_version(place: Place) {
    let ctx = place.session();
    open(&ctx, &place, "t").await;
    for n in 0..10 {
        let (from, to) = (n * 100, n * 100 + 99);
        rows(
            &ctx,
            &format!("INSERT INTO t SELECT value FROM generate_series({from}, {to})"),
        )
        .await;
    }
    for (round, partitions) in [1, 16].into_iter().enumerate() {
        rows(
            &ctx,
            &format!("SET datafusion.execution.target_partitions = {partitions}"),
        )
        .await;
        let found = row(
            &ctx,
            "SELECT count(*), count(DISTINCT a), sum(a), min(a), max(a) FROM t",
        )
        .await;
        assert_eq!(found, "1000|1000|499500|0|999");
        let found = row(
            &ctx,
            "SELECT count(*), sum(x.a) FROM t x JOIN t y ON x.a = y.a WHERE x.a % 2 = 0",
        )
        .await;
        assert_eq!(found, "500|249500");
        assert_eq!(
            row(&ctx, "SELECT a FROM t ORDER BY a DESC LIMIT 1 OFFSET 250").await,
            "749"
        );
        // Through many partitions to one version, whatever the round.
        assert_eq!(
            row(
                &ctx,
                "INSERT OVERWRITE t SELECT DISTINCT a FROM t UNION ALL SELECT a FROM t WHERE a < 0"
            )
            .await,
            "1000"
        );
        let newest = row(&ctx, "SELECT max(version) FROM atio_history('t')").await;
        assert_eq!(newest, (11 + round).to_string());
    }
}

async fn frame_with_a_value_that_does_not_fit_is_refused_and_not_made_null(place: Place) {
    let ctx = place.session();
    let create = format!(
        "CREATE EXTERNAL TABLE t (a SMALLINT) STORED AS ATIO LOCATION '{}/t'",
        place.root()
    );
    rows(&ctx, &create).await;
    for value in ["'x'", "40000"] {
        let frame = ctx.sql(&format!("SELECT {value} AS a")).await.unwrap();
        let written = frame.write_table("t", DataFrameWriteOptions::new()).await;
        assert!(written.is_err(), "{value} was written");
    }
    assert_eq!(
        rows(&ctx, "SELECT version FROM atio_history('t')").await,
        ["0"]
    );
    let frame = ctx.sql("SELECT '7' AS a").await.unwrap();
    frame
        .write_table("t", DataFrameWriteOptions::new())
        .await
        .unwrap();
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["7"]);
}

async fn frame_written_to_a_table_makes_one_version(place: Place) {
    let ctx = place.session();
    open(&ctx, &place, "t").await;
    let write = |sql: &'static str, operation| {
        let ctx = ctx.clone();
        let options = DataFrameWriteOptions::new().with_insert_operation(operation);
        async move { ctx.sql(sql).await.unwrap().write_table("t", options).await }
    };
    write(
        "SELECT value AS a FROM generate_series(1, 3)",
        InsertOp::Append,
    )
    .await
    .unwrap();
    write(
        "SELECT value AS a FROM generate_series(4, 5)",
        InsertOp::Append,
    )
    .await
    .unwrap();
    assert_eq!(
        rows(&ctx, "SELECT a FROM t").await,
        ["1", "2", "3", "4", "5"]
    );
    write("SELECT a * 10 AS a FROM t WHERE a > 4", InsertOp::Overwrite)
        .await
        .unwrap();
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["50"]);
    let error = write("SELECT CAST(7 AS BIGINT) AS a", InsertOp::Replace)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.to_lowercase().contains("replace"), "{error}");
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["50"]);
    assert_eq!(
        row(&ctx, "SELECT max(version) FROM atio_history('t')").await,
        "3"
    );
}

async fn table_opened_without_sql_reads_and_writes(place: Place) {
    let ctx = place.session();
    let location = format!("{}/t", place.root());
    let error = AtioTable::open(&ctx, &location)
        .await
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no atio table") && error.contains("/t"),
        "{error}"
    );

    open(&ctx, &place, "t").await;
    rows(&ctx, "INSERT INTO t VALUES (1)").await;
    let table = Arc::new(AtioTable::open(&ctx, &location).await.unwrap());
    ctx.register_table("opened", Arc::clone(&table) as _)
        .unwrap();
    rows(&ctx, "INSERT INTO opened VALUES (2)").await;
    rows(&ctx, "INSERT INTO t VALUES (3)").await;
    assert_eq!(rows(&ctx, "SELECT a FROM opened").await, ["1", "2", "3"]);
    assert_agrees(
        "opened",
        &row(
            &ctx,
            "SELECT (SELECT sum(a) FROM opened), (SELECT sum(a) FROM t)",
        )
        .await,
    );
    assert_eq!(ctx.read_table(table).unwrap().count().await.unwrap(), 3);
}

async fn session_without_atio_scans_an_opened_table(place: Place) {
    let ctx = place.session();
    open(&ctx, &place, "t").await;
    rows(&ctx, "INSERT INTO t VALUES (1), (2), (3)").await;

    let plain = SessionContext::new();
    if let Place::Memory(store) = &place {
        plain.register_object_store(
            &Url::parse("memory://test/").unwrap(),
            Arc::clone(store) as _,
        );
    }
    let table = AtioTable::open(&plain, &format!("{}/t", place.root()))
        .await
        .unwrap();
    plain.register_table("t", Arc::new(table)).unwrap();
    assert_eq!(
        rows(&plain, "SELECT a FROM t WHERE a >= 2").await,
        ["2", "3"]
    );
    rows(&ctx, "INSERT INTO t VALUES (4)").await;
    assert_eq!(row(&plain, "SELECT count(*), sum(a) FROM t").await, "4|10");
}

async fn table_recreated_with_other_columns_is_seen_by_the_next_statement_of_a_catalog(
    place: Place,
) {
    let (one, two) = (place.session(), place.session());
    rows(&one, "CREATE TABLE w.public.s (a BIGINT)").await;
    rows(&one, "INSERT INTO w.public.s VALUES (1)").await;
    assert_eq!(rows(&two, "SELECT * FROM w.public.s").await, ["1"]);

    rows(&one, "DROP TABLE w.public.s").await;
    rows(&one, "CREATE TABLE w.public.s (b VARCHAR, c DOUBLE)").await;
    rows(&one, "INSERT INTO w.public.s VALUES ('x', 1.5)").await;

    assert_eq!(rows(&two, "SELECT c, b FROM w.public.s").await, ["1.5|x"]);
    rows(&two, "INSERT INTO w.public.s VALUES ('y', 2.5)").await;
    assert_eq!(
        rows(&one, "SELECT * FROM w.public.s").await,
        ["x|1.5", "y|2.5"]
    );
    failure(&two, "SELECT a FROM w.public.s").await;
}

async fn table_replaced_under_a_registration_works_at_the_latest_when_run_again(place: Place) {
    let ctx = place.session();
    open(&ctx, &place, "t").await;
    rows(&ctx, "INSERT INTO t VALUES (1)").await;
    let kept = ctx.sql("SELECT a FROM t").await.unwrap();

    remove_everything(&place).await;
    let other = place.session();
    let create = format!(
        "CREATE EXTERNAL TABLE n (b VARCHAR, a INT) STORED AS ATIO LOCATION '{}/t'",
        place.root()
    );
    rows(&other, &create).await;
    rows(&other, "INSERT INTO n VALUES ('x', 7)").await;

    match run(&ctx, "SELECT * FROM t").await {
        Ok(batches) => assert_eq!(texts(&batches), ["x|7"]),
        Err(error) => assert!(error.to_string().contains("run it again"), "{error}"),
    }
    assert_eq!(rows(&ctx, "SELECT * FROM t").await, ["x|7"]);
    rows(&ctx, "INSERT INTO t VALUES ('y', 8)").await;
    assert_eq!(rows(&other, "SELECT b, a FROM n").await, ["x|7", "y|8"]);
    // Planned with a column type that is gone: refused, or right.
    match kept.collect().await {
        Ok(batches) => assert_eq!(texts(&batches), ["7", "8"]),
        Err(error) => assert!(error.to_string().contains("run it again"), "{error}"),
    }
}

async fn remove_everything(place: &Place) {
    match place {
        Place::Disk(_) => std::fs::remove_dir_all(format!("{}/t", place.root())).unwrap(),
        Place::Memory(store) => {
            use datafusion::object_store::ObjectStoreExt;
            for name in crate::objects::objects(place).await.into_keys() {
                store.delete(&name.into()).await.unwrap();
            }
        }
    }
}

/// A source whose schema says NOT NULL where the table does not, and the other way round.
#[tokio::test]
async fn frame_with_a_null_for_a_not_null_column_is_refused_before_anything_is_written() {
    let place = Place::disk();
    let ctx = place.session();
    let create = format!(
        "CREATE EXTERNAL TABLE t (a BIGINT NOT NULL) STORED AS ATIO LOCATION '{}/t'",
        place.root()
    );
    rows(&ctx, &create).await;
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
    let column = Arc::new(Int64Array::from(vec![Some(1), None]));
    let batch = RecordBatch::try_new(schema, vec![column]).unwrap();
    let before = crate::objects::objects(&place).await;
    let frame = ctx.read_batch(batch).unwrap();
    let error = frame
        .write_table("t", DataFrameWriteOptions::new())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("'a'") || error.contains("a "), "{error}");
    crate::objects::assert_same(
        &before,
        &crate::objects::objects(&place).await,
        "a refused write",
    );
}

/// Whether `a` may be NULL in the table of this name.
async fn is_nullable(ctx: &SessionContext, table: &str) -> bool {
    let frame = ctx.table(table).await.unwrap();
    let field = frame.schema().field_with_unqualified_name("a").unwrap();
    field.is_nullable()
}

/// With atio registered or only its catalog, in the session itself, a copy of it, or another one
/// that has the same catalog; by SQL or not.
async fn table_made_by_a_query_of_no_rows_takes_null_in_any_session(place: Place) {
    for registered in [false, true] {
        let whole = place.session();
        let ctx = match registered {
            true => whole,
            false => SessionContext::new_with_config_rt(Default::default(), whole.runtime_env()),
        };
        let catalog = format!("{}/warehouse", place.root());
        let other = place.session();
        for name in ["w", "again"] {
            let catalog = Arc::new(AtioCatalog::open(&ctx, &catalog).unwrap());
            ctx.register_catalog(name, Arc::clone(&catalog) as _);
            other.register_catalog(name, catalog);
        }
        let copy = atio::with_commit(&ctx, Default::default()).unwrap();
        let schema = format!("again.s{registered}");
        rows(&ctx, &format!("CREATE SCHEMA {schema}")).await;
        for (number, ctx) in [&ctx, &copy, &other].into_iter().enumerate() {
            let named = |what: &str| format!("{schema}.{what}{number}");
            let strict = format!("CREATE TABLE {} (a INT NOT NULL)", named("strict"));
            rows(ctx, &strict).await;
            rows(
                ctx,
                &format!("CREATE TABLE {} AS SELECT 1 AS a WHERE false", named("q")),
            )
            .await;
            let frame = ctx.sql("SELECT 1 AS a WHERE false").await.unwrap();
            let plan = frame.logical_plan().clone();
            let optimized = frame.into_optimized_plan().unwrap();
            for (name, plan) in [("plan", plan), ("optimized", optimized)] {
                let plan = LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(CreateMemoryTable {
                    name: named(name).into(),
                    constraints: Default::default(),
                    input: Arc::new(plan),
                    if_not_exists: false,
                    or_replace: false,
                    column_defaults: Vec::new(),
                    temporary: false,
                }));
                ctx.execute_logical_plan(plan).await.unwrap();
            }
            let columns = Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, false)]));
            let memory = MemTable::try_new(columns, vec![vec![]]).unwrap();
            ctx.register_table(named("memory"), Arc::new(memory))
                .unwrap();
            assert!(
                !is_nullable(ctx, &named("strict")).await,
                "{registered} {number}"
            );
            for table in ["q", "plan", "optimized", "memory"] {
                assert!(
                    is_nullable(ctx, &named(table)).await,
                    "{table} {registered} {number}"
                );
            }
        }
    }
}
