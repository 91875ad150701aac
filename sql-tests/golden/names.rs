//! A table whose versions have tags, messages, properties and keys, and that went back.

use std::fs;

use datafusion::prelude::SessionContext;

use super::{copy, golden, keep, new_place, opened, shape};
use crate::objects::{assert_same, files};
use crate::query::{failure, row, rows};
use crate::session::Place;

const GOLDEN: &str = "format-1-names";

/// What is told of each version, and which rows it has.
const HISTORY: &str = "SELECT lpad(CAST(version AS VARCHAR), 2, '0'), operation, rows_added, \
     rows_removed, files_added, files_removed, rows, message, properties, tags, parent, \
     idempotency_key, readable FROM atio_history('t')";
const TAGS: &str = "SELECT tag, version, message FROM atio_tags('t')";

async fn write(place: &Place) -> SessionContext {
    let ctx = place.session();
    let create = format!(
        "CREATE EXTERNAL TABLE t (id BIGINT, s VARCHAR) STORED AS ATIO LOCATION '{}/t'",
        place.root()
    );
    for sql in [
        create.as_str(),
        "SET atio.message = 'first load \u{e4}'",
        "SET atio.properties.model = 'm-17'",
        "SET atio.properties.source = 'https://example.com/a?b=c'",
        "SET atio.idempotency_key = 'load-1'",
        "INSERT INTO t VALUES (1, 'one'), (2, 'two')",
        "INSERT INTO t VALUES (3, 'three')",
        "SELECT * FROM atio_tag('t', tag => 'best', version => 2, message => 'lowest loss')",
        "INSERT OVERWRITE t SELECT id * 10, s FROM t",
        "SET atio.idempotency_key = 'release'",
        "SELECT * FROM atio_tag('t', tag => 'Release 1 \u{e4}')",
        "SET atio.message = 'wrong factor'",
        "SELECT * FROM atio_rollback('t', version => 1)",
        "INSERT INTO t VALUES (4, 'four')",
        "SELECT * FROM atio_rollback('t', tag => 'best')",
        "SELECT * FROM atio_tag('t', tag => 'gone')",
        "SELECT * FROM atio_untag('t', tag => 'gone')",
        "SELECT * FROM expire_snapshots('t', keep_for => INTERVAL '0 days', dry_run => false)",
        "INSERT INTO t VALUES (5, 'five')",
    ] {
        rows(&ctx, sql).await;
    }
    ctx
}

/// The history, the tags, and the rows of every version or the error for it.
async fn told(ctx: &SessionContext) -> Vec<String> {
    let mut told = rows(ctx, HISTORY).await;
    let versions = told.len();
    told.extend(rows(ctx, TAGS).await);
    for version in 0..versions {
        let sql = format!("SELECT * FROM atio_table('t', version => {version})");
        let read = match crate::session::run(ctx, &sql).await {
            Ok(_) => rows(ctx, &sql).await.join(", "),
            Err(_) => failure(ctx, &sql).await,
        };
        told.push(format!("v{version}: {read}"));
    }
    told
}

#[tokio::test]
async fn table_with_names_is_read_as_it_was_written() {
    let place = copy(GOLDEN);
    let before = files(place.path());
    let ctx = opened(&place).await;
    let expected = fs::read_to_string(golden(GOLDEN).join("told.txt")).unwrap();
    let expected: Vec<_> = expected.lines().collect();
    assert_eq!(told(&ctx).await, expected);
    assert_same(&before, &files(place.path()), "reading");

    // Its keys and tags are still good for something.
    rows(&ctx, "SET atio.idempotency_key = 'load-1'").await;
    assert_eq!(row(&ctx, "INSERT INTO t VALUES (1, 'one')").await, "0");
    rows(
        &ctx,
        "SELECT * FROM atio_rollback('t', tag => 'Release 1 \u{e4}')",
    )
    .await;
    assert_eq!(rows(&ctx, "SELECT id FROM t").await, ["10", "20", "30"]);
    rows(&ctx, "SELECT * FROM atio_untag('t', tag => 'best')").await;
    let expire = "SELECT count(*) FROM expire_snapshots('t', keep_for => INTERVAL '0 days', dry_run => false)";
    assert_ne!(row(&ctx, expire).await, "0");
    assert_eq!(rows(&ctx, "SELECT id FROM t").await, ["10", "20", "30"]);
}

#[tokio::test]
async fn objects_of_names_have_the_keys_and_types_of_format_1() {
    let place = Place::disk();
    write(&place).await;
    let fresh = shape::of_first(&files(&place.path().join("t")));
    assert_eq!(fresh, shape::of(&files(&golden(GOLDEN).join("table"))));
}

/// With `ATIO_MAKE_GOLDEN_NAMES=directory` it is made there; one that is there is never
/// touched.
#[tokio::test]
async fn golden_names_are_made_in_a_new_place_only() {
    let temporary = tempfile::tempdir().unwrap();
    let to = new_place("ATIO_MAKE_GOLDEN_NAMES", temporary.path());
    let place = Place::disk();
    let ctx = write(&place).await;
    keep(&place, &to);
    fs::write(to.join("told.txt"), told(&ctx).await.join("\n") + "\n").unwrap();
}
