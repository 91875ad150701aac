//! Inserts that fail, are cut off or revoked: they leave no version and no object.

#![cfg(test)]

use datafusion::prelude::SessionContext;

use super::row_source::{End, Source};
use super::{EXPIRE_ALL, assert_contiguous};
use crate::objects::{assert_settles_to, in_t, objects};
use crate::query::{failure, open, row, rows};
use crate::session::{Place, on_every_place, run};

on_every_place!(
    insert_that_fails_at_a_late_row_leaves_no_version_and_no_object,
    insert_whose_source_fails_leaves_no_version_and_no_object,
    cancelled_insert_leaves_no_version_and_no_object,
    insert_that_an_expiry_revoked_fails_cleanly_and_works_when_run_again,
);

/// The table `t` in a session whose data files end after a few rows, and reach the store at
/// once, so that some are whole before their statement ends.
async fn small_files(place: &Place) -> SessionContext {
    let ctx = place.session();
    let create = "CREATE EXTERNAL TABLE t (a BIGINT) STORED AS ATIO LOCATION '{root}/t' \
                  OPTIONS ('atio.target_file_size' '1000', 'atio.max_row_group_rows' '1000')";
    rows(&ctx, &create.replace("{root}", &place.root())).await;
    for setting in [
        "datafusion.execution.objectstore_writer_buffer_size = 100",
        "datafusion.execution.parquet.allow_single_file_parallelism = false",
    ] {
        rows(&ctx, &format!("SET {setting}")).await;
    }
    ctx
}

async fn insert_that_fails_at_a_late_row_leaves_no_version_and_no_object(place: Place) {
    let ctx = small_files(&place).await;
    rows(&ctx, "INSERT INTO t VALUES (1)").await;
    let before = objects(&place).await;
    for sql in [
        "INSERT INTO t SELECT 1000000 / (90000 - value) FROM generate_series(1, 100000)",
        "INSERT OVERWRITE t SELECT 1000000 / (90000 - value) FROM generate_series(1, 100000)",
        "INSERT INTO t SELECT 1 / (value - 1) FROM generate_series(1, 10)",
        "INSERT INTO t SELECT CAST(CASE WHEN value > 90000 THEN 'x' ELSE '1' END AS BIGINT) \
         FROM generate_series(1, 100000)",
    ] {
        let error = failure(&ctx, sql).await;
        assert!(
            error.contains("Divide by zero") || error.contains("Cannot cast string 'x'"),
            "{sql}: {error}"
        );
        assert_settles_to(&before, &place, sql).await;
        assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["1"]);
    }
    assert_eq!(
        row(
            &ctx,
            "INSERT INTO t SELECT value FROM generate_series(1, 100000)"
        )
        .await,
        "100000"
    );
    assert_ne!(
        row(&ctx, "SELECT count(*) FROM atio_files('t')").await,
        "2",
        "no file was whole before the end"
    );
    assert_contiguous(&ctx, 2).await;
}

async fn insert_whose_source_fails_leaves_no_version_and_no_object(place: Place) {
    let ctx = place.session();
    open(&ctx, &place, "t").await;
    let before = objects(&place).await;
    for batches in [0, 1, 20] {
        let source = Source::new(batches, End::Error);
        source.register(&ctx, "source");
        for sql in [
            "INSERT INTO t SELECT a FROM source",
            "INSERT OVERWRITE t SELECT a FROM source",
        ] {
            let error = failure(&ctx, sql).await;
            assert!(error.contains("the source broke"), "{error}");
            assert_settles_to(&before, &place, sql).await;
        }
    }
    assert_contiguous(&ctx, 0).await;
}

async fn cancelled_insert_leaves_no_version_and_no_object(place: Place) {
    let ctx = small_files(&place).await;
    rows(&ctx, "INSERT INTO t VALUES (-1)").await;
    let before = objects(&place).await;
    for (batches, sql) in [
        (0, "INSERT INTO t SELECT a FROM source"),
        (20, "INSERT INTO t SELECT a FROM source"),
        (20, "INSERT OVERWRITE t SELECT a FROM source"),
    ] {
        let source = Source::new(batches, End::Hang);
        source.register(&ctx, "source");
        tokio::select! {
            ended = run(&ctx, sql) => panic!("{sql} ended: {ended:?}"),
            staged = async {
                source.ended().await;
                objects(&place).await
            } => assert_eq!(staged == before, batches == 0, "{} objects are staged", staged.len() - before.len()),
        }
        assert_settles_to(&before, &place, "a dropped statement").await;

        // Cut off where it runs, as a server does when its client goes away.
        let source = Source::new(batches, End::Hang);
        source.register(&ctx, "source");
        let task = tokio::spawn({
            let (ctx, sql) = (ctx.clone(), sql.to_owned());
            async move { run(&ctx, &sql).await.map(drop) }
        });
        source.ended().await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_settles_to(&before, &place, "an aborted task").await;
    }
    assert_eq!(row(&ctx, "INSERT INTO t VALUES (-2)").await, "1");
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["-1", "-2"]);
    assert_contiguous(&ctx, 2).await;
}

async fn insert_that_an_expiry_revoked_fails_cleanly_and_works_when_run_again(place: Place) {
    let ctx = small_files(&place).await;
    let expirer = place.session();
    rows(
        &expirer,
        &format!(
            "CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{}/t'",
            place.root()
        ),
    )
    .await;
    let before = objects(&place).await;

    let source = Source::new(20, End::Gate);
    source.register(&ctx, "source");
    let insert = tokio::spawn({
        let ctx = ctx.clone();
        async move {
            run(&ctx, "INSERT INTO t SELECT a FROM source")
                .await
                .map(drop)
        }
    });
    source.ended().await;
    assert_ne!(
        before,
        objects(&place).await,
        "nothing is staged: the test is at fault"
    );
    assert_ne!(row(&expirer, EXPIRE_ALL).await, "0");
    source.open();

    let error = insert.await.unwrap().unwrap_err().strip_backtrace();
    assert!(
        error.contains("revoked") && error.contains("run it again"),
        "{error}"
    );
    assert_eq!(row(&expirer, "SELECT count(*) FROM t").await, "0");
    assert_eq!(
        row(&ctx, "INSERT INTO t SELECT a FROM source").await,
        source.rows().to_string()
    );
    assert_eq!(
        row(&expirer, "SELECT count(*), count(DISTINCT a) FROM t").await,
        format!("{0}|{0}", source.rows())
    );
    // Nothing of the revoked transaction is left, and nothing else went.
    let files = "SELECT path FROM atio_files('t')";
    let listed = rows(&ctx, files).await;
    assert_ne!(row(&expirer, EXPIRE_ALL).await, "0");
    let kept = objects(&place).await;
    let kept: Vec<_> = kept
        .keys()
        .map(|name| in_t(name))
        .filter(|name| name.ends_with(".parquet"))
        .collect();
    assert_eq!(kept, listed);
}
