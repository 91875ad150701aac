//! Queries of a table with marked rows give what they give over the rows that are left, in memory.

#![cfg(test)]

use datafusion::prelude::SessionContext;

use super::marking::mark;
use crate::query::rows;
use crate::session::{Place, on_every_place};

on_every_place!(rows_are_marked_again_and_again);

/// Three files of 1,000 rows each, in small row groups and pages, of which a query can leave out many.
/// A third of `n` is NULL, and half of `h`.
const ROWS: &str = "SELECT value AS id, CAST(value * 7 % 1000 AS DOUBLE) - 500 AS f, \
     'name ' || value AS s, CASE WHEN value % 3 <> 0 THEN value % 100 END AS n, \
     CASE WHEN value % 2 <> 0 THEN value END AS h, value / 1000 AS file \
     FROM generate_series(0, 2999)";

/// In the first file a few rows, a row group, and both ends; in the second all values of `n`. In the third
/// all NULLs of `h`, of which it has as many as there are rows left.
fn is_gone(id: i64) -> bool {
    match id / 1000 {
        0 => id % 97 == 5 || (300..400).contains(&id) || id == 0 || id == 999,
        1 => id % 3 != 0,
        _ => id % 2 == 0,
    }
}

const IS_LEFT: &str = "CASE file WHEN 0 THEN id % 97 <> 5 AND NOT id BETWEEN 300 AND 399 AND id <> 0 AND id <> 999 \
     WHEN 1 THEN id % 3 = 0 ELSE id % 2 <> 0 END";

/// The table `t`, of which rows are marked, and in memory the rows that are left of it, `live`.
async fn marked(place: &Place) {
    let ctx = place.session();
    for sql in [
        "SET datafusion.execution.parquet.bloom_filter_on_write = true",
        "SET datafusion.execution.parquet.data_page_row_count_limit = 20",
        "SET datafusion.execution.parquet.write_batch_size = 20",
        "SET datafusion.execution.target_partitions = 1",
    ] {
        rows(&ctx, sql).await;
    }
    let create = format!(
        "CREATE EXTERNAL TABLE t (id BIGINT, f DOUBLE, s VARCHAR, n BIGINT, h BIGINT, file BIGINT) STORED AS ATIO \
         LOCATION '{}/t' OPTIONS ('atio.max_row_group_rows' '100')",
        place.root()
    );
    rows(&ctx, &create).await;
    for file in 0..3 {
        let insert =
            format!("INSERT INTO t SELECT * FROM ({ROWS}) WHERE file = {file} ORDER BY id");
        rows(&ctx, &insert).await;
    }
    assert_eq!(
        rows(&ctx, "SELECT count(*) FROM atio_files('t')").await,
        ["3"]
    );
    mark(place, "t", is_gone).await;
}

async fn session(place: &Place, settings: &[&str]) -> SessionContext {
    let ctx = place.session();
    let open = format!(
        "CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{}/t'",
        place.root()
    );
    let live = format!("CREATE TABLE live AS SELECT * FROM ({ROWS}) WHERE {IS_LEFT}");
    for sql in [open, live] {
        rows(&ctx, &sql).await;
    }
    for setting in settings {
        rows(&ctx, &format!("SET datafusion.{setting}")).await;
    }
    ctx
}

/// `{t}` is either table.
const QUERIES: &[&str] = &[
    "SELECT * FROM {t}",
    "SELECT id FROM {t}",
    "SELECT s, n FROM {t}",
    "SELECT count(*) FROM {t}",
    "SELECT count(*), count(id), count(n) FROM {t}",
    "SELECT min(id), max(id), min(n), max(n), min(s), max(s), sum(f) FROM {t}",
    "SELECT max(id) FROM {t} WHERE id < 1000",
    "SELECT file, count(*), count(n), min(id), max(id) FROM {t} GROUP BY file",
    "SELECT count(DISTINCT n), count(DISTINCT s) FROM {t}",
    // Where nothing else than a marked row would meet it.
    "SELECT * FROM {t} WHERE id = 0",
    "SELECT * FROM {t} WHERE s = 'name 5'",
    "SELECT * FROM {t} WHERE id BETWEEN 300 AND 399",
    "SELECT id FROM {t} WHERE n IS NOT NULL AND file = 1",
    "SELECT id FROM {t} WHERE h IS NULL AND file = 2",
    // Where others do.
    "SELECT * FROM {t} WHERE id = 1500",
    "SELECT * FROM {t} WHERE s = 'name 1500' OR s = 'name 7'",
    "SELECT id FROM {t} WHERE s IN ('name 1', 'name 5', 'name 1001', 'name 2999')",
    "SELECT id FROM {t} WHERE id > 290 AND id <= 410",
    "SELECT count(*) FROM {t} WHERE id >= 1000 AND id < 2000",
    "SELECT id FROM {t} WHERE n IS NULL",
    "SELECT id FROM {t} WHERE n IS NOT NULL",
    "SELECT h FROM {t} WHERE file = 2",
    "SELECT id FROM {t} WHERE h IS NOT NULL AND id >= 2000",
    "SELECT count(h), min(h), max(h) FROM {t} WHERE h IS NOT NULL",
    "SELECT id FROM {t} WHERE n = 7 OR n > 95",
    "SELECT id, f FROM {t} WHERE f > 480 AND id % 2 = 0",
    "SELECT id FROM {t} WHERE f < -490 OR n = 99",
    // Any rows will do, so they are counted.
    "SELECT count(*) FROM (SELECT * FROM {t} LIMIT 1000)",
    "SELECT count(*) FROM (SELECT id FROM {t} LIMIT 1300)",
    "SELECT count(*) FROM (SELECT id FROM {t} LIMIT 5000)",
    "SELECT count(*) FROM (SELECT id FROM {t} WHERE id >= 2000 LIMIT 300)",
    "SELECT count(*) FROM (SELECT id FROM {t} LIMIT 400 OFFSET 1600)",
    "SELECT id FROM {t} ORDER BY id LIMIT 10",
    "SELECT id, s FROM {t} ORDER BY id DESC LIMIT 10",
    "SELECT n, id FROM {t} ORDER BY n DESC NULLS LAST, id LIMIT 30",
    "SELECT n, id FROM {t} ORDER BY n NULLS FIRST, id DESC LIMIT 30",
    "SELECT id FROM {t} WHERE n < 50 ORDER BY id DESC LIMIT 7",
    "SELECT f, id FROM {t} WHERE id < 2500 ORDER BY f, id LIMIT 25 OFFSET 10",
    "SELECT file, max(id) FROM {t} GROUP BY file ORDER BY max(id) DESC LIMIT 1",
    "SELECT count(*), sum(x.id) FROM {t} x JOIN {t} y ON x.id = y.id",
    "SELECT x.id FROM {t} x JOIN {t} y ON x.n = y.id WHERE y.id < 3 AND x.file = 2",
    "SELECT v.id, x.s FROM (VALUES (0), (1), (5), (999), (1001), (2000), (2001)) AS v(id) LEFT JOIN {t} x ON x.id = v.id",
    "SELECT v.id FROM (VALUES (0), (1), (5), (6)) AS v(id) WHERE v.id NOT IN (SELECT id FROM {t})",
    "SELECT count(*) FROM {t} x WHERE NOT EXISTS (SELECT 1 FROM {t} y WHERE y.id = x.id + 1)",
    "SELECT id, row_number() OVER (ORDER BY id) FROM {t} WHERE id < 450",
    "SELECT count(*) FROM (SELECT id FROM {t} UNION ALL SELECT id FROM {t})",
];

/// Settings that change how files are read.
const WAYS: &[&[&str]] = &[
    &[],
    // Files are split, row group by row group.
    &[
        "optimizer.repartition_file_min_size = 0",
        "execution.batch_size = 50",
    ],
    &[
        "execution.parquet.enable_page_index = false",
        "execution.parquet.bloom_filter_on_read = false",
    ],
    &[
        "execution.parquet.pruning = false",
        "execution.parquet.reorder_filters = true",
    ],
    &[
        "execution.parquet.force_filter_selections = true",
        "execution.batch_size = 7",
    ],
    &[
        "optimizer.enable_dynamic_filter_pushdown = false",
        "execution.collect_statistics = false",
    ],
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_see_no_marked_row_however_they_read() {
    let place = Place::memory();
    marked(&place).await;
    let ctx = session(&place, &[]).await;
    let mut expected = Vec::new();
    for sql in QUERIES {
        expected.push(rows(&ctx, &sql.replace("{t}", "live")).await);
    }
    assert!(expected.iter().any(|rows| rows.len() > 1000));
    for way in WAYS {
        for pushdown in [false, true] {
            for partitions in [1, 16] {
                let pushdown = format!("execution.parquet.pushdown_filters = {pushdown}");
                let partitions = format!("execution.target_partitions = {partitions}");
                let way = [&[pushdown.as_str(), &partitions], *way].concat();
                let ctx = session(&place, &way).await;
                for (sql, expected) in QUERIES.iter().zip(&expected) {
                    let found = rows(&ctx, &sql.replace("{t}", "t")).await;
                    assert!(
                        found == *expected,
                        "{sql}, {way:?}: {found:?} is not {expected:?}"
                    );
                }
            }
        }
    }
}

async fn rows_are_marked_again_and_again(place: Place) {
    marked(&place).await;
    let ctx = session(&place, &[]).await;
    let step = |step: i64| move |id: i64| id % 10 == step;
    for last in 0..10 {
        mark(&place, "t", step(last)).await;
        for sql in [
            "SELECT id, f, s, n FROM {t} WHERE id % 10 > {last}",
            "SELECT count(*), count(n), min(id), max(id) FROM {t} WHERE id % 10 > {last}",
        ] {
            let sql = sql.replace("{last}", &last.to_string());
            let expected = rows(&ctx, &sql.replace("{t}", "live")).await;
            let all = sql
                .replace("{t}", "t")
                .replace(&format!(" WHERE id % 10 > {last}"), "");
            assert_eq!(rows(&ctx, &all).await, expected, "{all}");
        }
    }
    assert_eq!(
        rows(&ctx, "SELECT count(*) FROM atio_files('t')").await,
        ["0"]
    );
}
