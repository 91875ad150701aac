//! What the search has found, each as a script of its own.

#![cfg(test)]

use crate::query::rows;
use crate::session::Place;

/// A session over memory in whose catalog tables are made.
async fn session(statements: &[&str]) -> datafusion::prelude::SessionContext {
    let ctx = Place::memory().session();
    rows(&ctx, "SET datafusion.catalog.default_catalog = 'w'").await;
    for sql in statements {
        rows(&ctx, sql).await;
    }
    ctx
}

/// The cells of the rows, in the order of the result.
async fn in_order(ctx: &datafusion::prelude::SessionContext, sql: &str) -> Vec<String> {
    let batches = crate::session::run(ctx, sql).await.unwrap();
    super::answer::rows(&batches)
        .iter()
        .map(|row| row.join("|"))
        .collect()
}

const GROUPS: &str = "SET datafusion.execution.parquet.max_row_group_size = '1000'";
const BLOOM: &str = "SET datafusion.execution.parquet.bloom_filter_on_write = 'true'";

/// NaN is in three of ten row groups, and each first in its own.
const NAN: &str = "CREATE TABLE big AS SELECT value AS id, CASE WHEN value IN (500, 5500, 9500) THEN CAST('NaN' AS DOUBLE) ELSE CAST(value AS DOUBLE) END AS x FROM generate_series(1, 10000)";

#[tokio::test]
async fn order_by_limit_gives_the_nan_of_every_row_group() {
    let ctx = session(&[GROUPS, NAN]).await;
    let found = in_order(&ctx, "SELECT x, id FROM big ORDER BY x DESC LIMIT 5").await;
    let mut nan = found[..3].to_vec();
    nan.sort_unstable();
    assert_eq!(nan, ["NaN|500", "NaN|5500", "NaN|9500"]);
    assert_eq!(found[3..], ["10000.0|10000", "9999.0|9999"]);
}

#[tokio::test]
async fn nan_is_above_every_number_in_a_filter_with_order_by_limit() {
    let ctx = session(&[GROUPS, NAN]).await;
    let found = in_order(
        &ctx,
        "SELECT id, x FROM big WHERE x > 5000000 ORDER BY id LIMIT 5",
    )
    .await;
    assert_eq!(found, ["500|NaN", "5500|NaN", "9500|NaN"]);
}

#[tokio::test]
async fn max_of_falling_numbers_with_nan_is_nan() {
    let create = "CREATE TABLE big AS SELECT value AS id, CASE WHEN value IN (500, 5500, 9500) THEN CAST('NaN' AS DOUBLE) ELSE CAST(0 - value AS DOUBLE) END AS x FROM generate_series(1, 10000)";
    let ctx = session(&[GROUPS, create]).await;
    for sql in [
        "SELECT max(x) FROM big",
        "SELECT max(x) FROM big WHERE id > 0",
        "SELECT max(x) FROM big WHERE id > 1000",
    ] {
        assert_eq!(in_order(&ctx, sql).await, ["NaN"], "{sql}");
    }
}

/// The nulls of `a` come before its values, in other row groups.
const LATE: &str = "CREATE TABLE t AS SELECT value AS id, CASE WHEN value > 20000 THEN value END AS a, CASE WHEN value > 20000 THEN 1 ELSE 1000 END AS b FROM generate_series(1, 40000)";

#[tokio::test]
async fn two_aggregates_each_see_the_row_groups_that_only_they_need() {
    let ctx = session(&[GROUPS, LATE]).await;
    for (sql, expected) in [
        ("SELECT min(a), max(b) FROM t WHERE id > 0", "20001|1000"),
        ("SELECT min(a), min(b) FROM t WHERE id > 0", "20001|1"),
        (
            "SELECT min(a), min(0 - a) FROM t WHERE id > 0",
            "20001|-40000",
        ),
        (
            "SELECT max(a), min(0 - a) FROM t WHERE id > 0",
            "40000|-40000",
        ),
        ("SELECT min(a), min(-b) FROM t WHERE id > 0", "20001|-1000"),
        (
            "SELECT min(a) FILTER (WHERE b < 5), max(b) FROM t WHERE id > 0",
            "20001|1000",
        ),
        (
            "SELECT min(a), max(b) FILTER (WHERE id < 10) FROM t WHERE id > 0",
            "20001|1000",
        ),
        ("SELECT min(a), count(*) FROM t WHERE id > 0", "20001|40000"),
        ("SELECT max(b), sum(b) FROM t WHERE id > 0", "1000|20020000"),
    ] {
        assert_eq!(in_order(&ctx, sql).await, [expected], "{sql}");
    }
}

#[tokio::test]
async fn aggregate_of_nulls_alone_hides_no_row_from_another() {
    let create = "CREATE TABLE t AS SELECT value AS id, CASE WHEN value = 17 THEN 7 END AS a, CAST(NULL AS BIGINT) AS b, CAST(0 AS BIGINT) AS c, value = 17 AS d FROM generate_series(16, 17)";
    let ctx = session(&[
        "SET datafusion.execution.parquet.max_row_group_size = '1'",
        create,
        "SET datafusion.execution.batch_size = '1'",
        "SET datafusion.optimizer.repartition_file_min_size = '0'",
    ])
    .await;
    for (sql, expected) in [
        ("SELECT min(a), max(b), max(c) FROM t", "7|NULL|0"),
        ("SELECT min(a), max(c) FROM t", "7|0"),
        (
            "SELECT max(d), min(id) FILTER (WHERE id = 16) FROM t",
            "true|16",
        ),
    ] {
        assert_eq!(in_order(&ctx, sql).await, [expected], "{sql}");
    }
}

/// The same for numbers that are stored as a dictionary.
#[tokio::test]
async fn nan_in_a_dictionary_is_above_every_number() {
    for nan in ["CAST('NaN' AS DOUBLE)", "(- CAST('NaN' AS DOUBLE))"] {
        let create = format!(
            "CREATE TABLE t AS SELECT value AS id, arrow_cast(CASE WHEN value = 3 THEN {nan} ELSE CAST(value AS DOUBLE) END, 'Dictionary(Int8, Float64)') AS x FROM generate_series(1, 10)"
        );
        let ctx = session(&[&create]).await;
        for (sql, expected) in [
            ("SELECT id FROM t WHERE x > CAST(100 AS DOUBLE)", "3"),
            ("SELECT id FROM t WHERE x >= CAST('NaN' AS DOUBLE)", "3"),
            ("SELECT id FROM t WHERE x = CAST('NaN' AS DOUBLE)", "3"),
            ("SELECT id FROM t WHERE isnan(x)", "3"),
            ("SELECT max(x) FROM t", "NaN"),
            ("SELECT id FROM t ORDER BY x DESC LIMIT 1", "3"),
        ] {
            assert_eq!(in_order(&ctx, sql).await, [expected], "{nan}: {sql}");
        }
    }
}

const ZEROS: &str = "CREATE TABLE zeros AS SELECT value AS id, CASE value % 3 WHEN 0 THEN CAST('-0.0' AS DOUBLE) WHEN 1 THEN CAST(value AS DOUBLE) ELSE -1.5 END AS x FROM generate_series(1, 30)";

#[tokio::test]
async fn zero_is_found_behind_a_bloom_filter_whatever_its_sign() {
    let ctx = session(&[BLOOM, ZEROS]).await;
    for filter in ["x = 0.0", "x = -0.0", "x IN (0.0, 7)", "x IN (0.0)"] {
        let sql = format!("SELECT count(*) FROM zeros WHERE {filter}");
        let expected = if filter.contains('7') { "11" } else { "10" };
        assert_eq!(in_order(&ctx, &sql).await, [expected], "{filter}");
    }
}

#[tokio::test]
async fn join_pairs_zeros_of_both_signs() {
    let other = "CREATE TABLE other AS SELECT CAST('0.0' AS DOUBLE) AS y, 1 AS k";
    for pushdown in ["false", "true"] {
        let set = format!("SET datafusion.execution.parquet.pushdown_filters = '{pushdown}'");
        let ctx = session(&[GROUPS, ZEROS, other, &set]).await;
        for sql in [
            "SELECT count(*) FROM zeros JOIN other ON x = y",
            "SELECT count(*) FROM other JOIN zeros ON x = y",
            "SELECT count(*) FROM zeros WHERE x IN (SELECT y FROM other)",
            "SELECT count(*) FROM zeros LEFT SEMI JOIN other ON x = y",
        ] {
            assert_eq!(in_order(&ctx, sql).await, ["10"], "{set}; {sql}");
        }
    }
}

#[tokio::test]
async fn zeros_of_both_signs_in_several_files_are_told_apart_by_min_and_max() {
    let ctx = session(&[
        "CREATE TABLE z AS SELECT 1 AS id, CAST('0.0' AS DOUBLE) AS x",
        "INSERT INTO z SELECT 2, CAST('-0.0' AS DOUBLE)",
        "INSERT INTO z SELECT 3, CAST('0.0' AS DOUBLE)",
        "INSERT INTO z SELECT 4, CAST('-0.0' AS DOUBLE)",
    ])
    .await;
    for (sql, expected) in [
        ("SELECT min(x) FROM z", "-0.0"),
        ("SELECT max(x) FROM z", "0.0"),
        ("SELECT min(x), max(x) FROM z WHERE id > 0", "-0.0|0.0"),
        ("SELECT count(*) FROM z WHERE x = 0.0", "4"),
        ("SELECT count(*) FROM z WHERE x >= 0.0 AND x <= -0.0", "4"),
    ] {
        assert_eq!(in_order(&ctx, sql).await, [expected], "{sql}");
    }
    let found = in_order(&ctx, "SELECT x FROM z ORDER BY x").await;
    assert_eq!(found, ["-0.0", "-0.0", "0.0", "0.0"]);
}
