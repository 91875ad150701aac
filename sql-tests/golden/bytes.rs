//! A table whose manifests tell how many bytes columns have.

use std::fs;

use datafusion::prelude::SessionContext;

use super::{copy, golden, keep, new_place, opened, shape};
use crate::objects::{assert_same, files};
use crate::query::{row, rows};
use crate::session::Place;

const GOLDEN: &str = "format-1-bytes";
/// The plan with what is estimated of its columns.
const PLAN: &str = "EXPLAIN SELECT id, s FROM t";

async fn write(place: &Place) -> SessionContext {
    let ctx = place.session();
    let create = format!(
        "CREATE EXTERNAL TABLE t (id BIGINT, s VARCHAR, yes BOOLEAN, b BYTEA) STORED AS ATIO LOCATION '{}/t'",
        place.root()
    );
    rows(&ctx, &create).await;
    // Eight small manifests become one.
    for n in 1..=9 {
        let insert = format!("INSERT INTO t VALUES ({n}, repeat('s', {n}), true, NULL)");
        rows(&ctx, &insert).await;
    }
    ctx
}

async fn told(ctx: &SessionContext) -> Vec<String> {
    let mut told = rows(ctx, "SELECT * FROM t ORDER BY id").await;
    rows(ctx, "SET datafusion.explain.show_statistics = true").await;
    rows(ctx, "SET datafusion.explain.format = 'indent'").await;
    let plan = rows(ctx, PLAN).await.join("\n");
    let statistics = plan.split("statistics=").nth(1).unwrap();
    told.extend(statistics.lines().map(str::to_owned));
    told
}

#[tokio::test]
async fn table_with_bytes_of_columns_is_read_as_it_was_written() {
    let place = copy(GOLDEN);
    let before = files(place.path());
    let ctx = opened(&place).await;
    let expected = fs::read_to_string(golden(GOLDEN).join("told.txt")).unwrap();
    assert!(expected.contains("ScanBytes=Inexact("), "{expected}");
    let expected: Vec<_> = expected.lines().collect();
    assert_eq!(told(&ctx).await, expected);
    assert_same(&before, &files(place.path()), "reading");
    assert_eq!(row(&ctx, "INSERT INTO t SELECT * FROM t").await, "9");
    assert_eq!(row(&ctx, "SELECT count(*) FROM t").await, "18");
}

#[tokio::test]
async fn objects_with_bytes_of_columns_have_the_keys_and_types_of_format_1() {
    let place = Place::disk();
    write(&place).await;
    let fresh = shape::of(&files(&place.path().join("t")));
    assert_eq!(fresh, shape::of(&files(&golden(GOLDEN).join("table"))));
}

/// With `ATIO_MAKE_GOLDEN_BYTES=directory` it is made there; one that is there is never
/// touched.
#[tokio::test]
async fn golden_bytes_are_made_in_a_new_place_only() {
    let temporary = tempfile::tempdir().unwrap();
    let to = new_place("ATIO_MAKE_GOLDEN_BYTES", temporary.path());
    let place = Place::disk();
    let ctx = write(&place).await;
    keep(&place, &to);
    fs::write(to.join("told.txt"), told(&ctx).await.join("\n") + "\n").unwrap();
}
