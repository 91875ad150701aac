//! Lines 16 to 25: tables that cannot be made so.

use atio::{AtioCatalog, ErrorKind};
use std::sync::Arc;

use super::{Bad, Bench, attempt};
use crate::objects::{assert_same, objects};
use crate::query::rows;
use crate::session::Place;

use ErrorKind::{InvalidInput, TableExists, TableNotFound, Unsupported};

#[tokio::test]
async fn option_or_argument_that_is_wrong_is_named() {
    let bench = Bench::new().await;
    bench
        .refuse(&[
            Bad(
                16,
                "CREATE EXTERNAL TABLE x (a INT) STORED AS ATIO LOCATION '{root}/x' OPTIONS ('compresion' 'SECRET')",
                Some(InvalidInput),
                &["unknown option", "compresion", "did you mean 'atio.compression'?"],
            ),
            Bad(
                16,
                "CREATE EXTERNAL TABLE x (a INT) STORED AS ATIO LOCATION '{root}/x' OPTIONS ('atio.target_filesize' '1')",
                Some(InvalidInput),
                &["did you mean 'atio.target_file_size'?"],
            ),
            Bad(
                16,
                "CREATE EXTERNAL TABLE x (a INT) STORED AS ATIO LOCATION '{root}/x' OPTIONS ('aws.secret_access_key' 'SECRET')",
                Some(InvalidInput),
                &["unknown option 'aws.secret_access_key'"],
            ),
            Bad(
                17,
                "CREATE EXTERNAL TABLE x (a INT) STORED AS ATIO LOCATION '{root}/x' OPTIONS ('atio.target_file_size' 'ten')",
                Some(InvalidInput),
                &["'atio.target_file_size'", "'ten' is not a positive number"],
            ),
            Bad(
                17,
                "SELECT * FROM expire_snapshots('t', retain_last => 'ten')",
                Some(InvalidInput),
                &["retain_last must be a whole number", "'ten'"],
            ),
            Bad(
                18,
                "SELECT * FROM expire_snapshots('t', keep_for => INTERVAL '-1 hour', dry_run => false)",
                Some(InvalidInput),
                &["keep_for must be an interval that is not negative"],
            ),
            Bad(
                18,
                "SELECT * FROM expire_snapshots('t', retain_last => 0, dry_run => false)",
                Some(InvalidInput),
                &["retain_last must be a whole number from 1 up"],
            ),
        ])
        .await;
}

#[tokio::test]
async fn columns_that_make_no_table_are_refused() {
    let bench = Bench::new().await;
    let same_name: &[&str] = &["duplicate column name", "'a' and 'A'"];
    bench
        .refuse(&[
            Bad(
                19,
                "CREATE EXTERNAL TABLE x () STORED AS ATIO LOCATION '{root}/x'",
                Some(TableNotFound),
                &["name its columns"],
            ),
            Bad(
                20,
                "CREATE EXTERNAL TABLE x (a INT, \"A\" INT) STORED AS ATIO LOCATION '{root}/x'",
                Some(InvalidInput),
                same_name,
            ),
            Bad(
                20,
                "CREATE TABLE w.public.x (a INT, \"A\" INT)",
                Some(InvalidInput),
                same_name,
            ),
            Bad(
                20,
                "CREATE TABLE w.public.x AS SELECT 1 AS a, 2 AS \"A\"",
                Some(InvalidInput),
                same_name,
            ),
            Bad(
                20,
                "CREATE EXTERNAL TABLE x (a INT, a INT) STORED AS ATIO LOCATION '{root}/x'",
                None,
                &["a"],
            ),
            Bad(
                21,
                "CREATE EXTERNAL TABLE x (c INTERVAL) STORED AS ATIO LOCATION '{root}/x'",
                Some(InvalidInput),
                &["column 'c'", "Interval", "cannot be stored"],
            ),
            Bad(
                21,
                "CREATE TABLE w.public.x AS SELECT INTERVAL '1 month' AS c",
                Some(InvalidInput),
                &["column 'c'", "Interval", "cannot be stored"],
            ),
            Bad(
                21,
                "CREATE TABLE w.public.x AS SELECT struct(INTERVAL '1 month') AS c",
                Some(InvalidInput),
                &["column 'c'", "Interval", "cannot be stored"],
            ),
            Bad(
                22,
                "CREATE EXTERNAL TABLE x (a INT) STORED AS ATIO PARTITIONED BY (p) LOCATION '{root}/x'",
                Some(Unsupported),
                &["PARTITIONED BY"],
            ),
            Bad(
                23,
                "CREATE EXTERNAL TABLE x (a INT) STORED AS ATIO PARTITIONED BY (a) LOCATION '{root}/x'",
                Some(Unsupported),
                &["PARTITIONED BY"],
            ),
        ])
        .await;
    assert!(!bench.place.path().join("x").exists());
}

#[tokio::test]
async fn table_that_exists_is_not_made_again() {
    let bench = Bench::new().await;
    let other = bench.place.session();
    rows(&other, "CREATE TABLE w.public.s AS SELECT 1 AS x").await;
    bench
        .refuse(&[
            Bad(
                24,
                "CREATE TABLE w.public.s (y INT)",
                None,
                &["already exists", "s"],
            ),
            Bad(
                24,
                "CREATE EXTERNAL TABLE again (a DOUBLE) STORED AS ATIO LOCATION '{root}/t'",
                Some(InvalidInput),
                &["other columns", "/t"],
            ),
            Bad(
                24,
                "CREATE OR REPLACE TABLE w.public.s AS SELECT 2 AS x",
                Some(Unsupported),
                &["'s' is not replaced"],
            ),
        ])
        .await;
    for sql in [
        "CREATE TABLE IF NOT EXISTS w.public.s (y INT)",
        "CREATE EXTERNAL TABLE IF NOT EXISTS t (a BIGINT NOT NULL, b VARCHAR) STORED AS ATIO LOCATION '{root}/t'",
        "CREATE EXTERNAL TABLE again (a BIGINT NOT NULL, b VARCHAR) STORED AS ATIO LOCATION '{root}/t'",
    ] {
        rows(&bench.ctx, &bench.sql(sql)).await;
    }
    assert_eq!(rows(&other, "SELECT x FROM w.public.s").await, ["1"]);
    assert_eq!(rows(&bench.ctx, "SELECT b FROM again").await, ["one"]);
    // A catalog that has not seen it made is told by the place.
    let late = AtioCatalog::open(&bench.ctx, &bench.sql("{root}/warehouse")).unwrap();
    bench.ctx.register_catalog("late", Arc::new(late));
    let failure = attempt(&bench.ctx, "CREATE TABLE late.public.s (y INT)")
        .await
        .unwrap_err();
    assert!(
        matches!(failure.kind, None | Some(TableExists)),
        "{failure:?}"
    );
    assert!(failure.text.contains("already"), "{failure:?}");
}

/// What one of two tables deletes must never be what the other needs.
async fn table_inside_a_table(place: Place) {
    let ctx = place.session();
    let root = place.root();
    let create = |path: &str| {
        format!("CREATE EXTERNAL TABLE x (a INT) STORED AS ATIO LOCATION '{root}/{path}'")
    };
    rows(&ctx, &create("t").replace(" x ", " t ")).await;
    rows(&ctx, "INSERT INTO t VALUES (1)").await;
    rows(&ctx, "CREATE TABLE w.public.s AS SELECT 1 AS x").await;
    let catalog = AtioCatalog::open(&ctx, &format!("{root}/t/data")).unwrap();
    ctx.register_catalog("inside", Arc::new(catalog));
    let catalog = AtioCatalog::open(&ctx, &format!("{root}/t")).unwrap();
    ctx.register_catalog("over", Arc::new(catalog));

    let before = objects(&place).await;
    for sql in [
        create("t/x"),
        create("t/data"),
        create("t/data/deeper/x"),
        create("t/metadata/x"),
        create("warehouse/public/s/x"),
        "CREATE TABLE inside.public.x (a INT)".to_owned(),
        "CREATE TABLE over.public.x AS SELECT 1 AS a".to_owned(),
        "CREATE SCHEMA inside.more".to_owned(),
        "CREATE SCHEMA over.more".to_owned(),
    ] {
        let failure = attempt(&ctx, &sql).await.unwrap_err();
        let says: &[&str] = match sql.contains("t/data'") {
            // It is not empty: there is a data file.
            true => &["not empty"],
            false => &["is inside the table at"],
        };
        failure.assert(25, &sql, Some(InvalidInput), says);
        assert_same(&before, &objects(&place).await, &sql);
    }
    // Around a table there is no place for another, either.
    for around in ["", "warehouse", "warehouse/public"] {
        let sql = create(around);
        let failure = attempt(&ctx, sql.trim_end_matches("/'")).await;
        assert!(failure.is_err(), "{sql}");
        assert_same(&before, &objects(&place).await, &sql);
    }
    rows(&ctx, &create("beside")).await;
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["1"]);
    assert_eq!(rows(&ctx, "SELECT x FROM w.public.s").await, ["1"]);
}

#[tokio::test]
async fn table_inside_a_table_is_refused_on_disk() {
    table_inside_a_table(Place::disk()).await;
}

#[tokio::test]
async fn table_inside_a_table_is_refused_in_memory() {
    table_inside_a_table(Place::memory()).await;
}
