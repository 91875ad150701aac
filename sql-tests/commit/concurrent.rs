//! Writers that meet each other, on one table and in one moment.

use atio::{CommitOptions, with_commit};
use datafusion::error::Result;
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use tokio::task::JoinSet;

use super::row_source::{End, Source};
use super::{EXPIRE_ALL, assert_contiguous};
use crate::objects::{assert_settles_to, objects};
use crate::query::{failure, open, row, rows};
use crate::session::{Place, on_every_place, run};

on_every_place!(
    writer_that_outlives_a_drop_is_told_and_leaves_the_name_free,
    concurrent_appends_are_all_there_exactly_once,
    overwrite_planned_before_an_append_is_a_conflict_and_changes_nothing,
    append_planned_before_an_overwrite_is_added_to_its_rows,
    append_planned_before_an_expiry_is_added_after_it,
    creators_of_one_table_end_with_one_table,
    creators_of_one_catalog_table_end_with_one_table,
    concurrent_expiries_keep_what_is_retained,
    expiry_beside_appends_loses_no_row,
    load_that_an_overwrite_meets_between_its_chunks_says_that_it_was_ended,
);

/// Sessions that share `place`, each with the table `t`.
async fn sessions(place: &Place, count: usize) -> Vec<SessionContext> {
    let mut sessions = Vec::new();
    for _ in 0..count {
        let ctx = place.session();
        open(&ctx, place, "t").await;
        sessions.push(ctx);
    }
    sessions
}

async fn concurrent_appends_are_all_there_exactly_once(place: Place) {
    let sessions = sessions(&place, 4).await;
    let mut tasks = JoinSet::new();
    for (number, ctx) in sessions.iter().enumerate() {
        // Two tasks a session: they share its handles on the table.
        for half in 0..2 {
            let ctx = ctx.clone();
            tasks.spawn(async move {
                for n in 0..5 {
                    let a = number * 10 + half * 5 + n;
                    assert_eq!(row(&ctx, &format!("INSERT INTO t VALUES ({a})")).await, "1");
                    let own = row(&ctx, &format!("SELECT count(*) FROM t WHERE a = {a}")).await;
                    assert_eq!(own, "1", "the session does not see its own row");
                }
            });
        }
    }
    tasks.join_all().await;
    let fresh = self::sessions(&place, 1).await;
    for ctx in sessions.iter().chain(&fresh) {
        assert_eq!(
            row(
                ctx,
                "SELECT count(*), count(DISTINCT a), min(a), max(a) FROM t"
            )
            .await,
            "40|40|0|39"
        );
        assert_contiguous(ctx, 40).await;
    }
    let history =
        "SELECT count(*), sum(rows_added), max(rows) FROM atio_history('t') WHERE version > 0";
    assert_eq!(row(&fresh[0], history).await, "40|40|40");
    assert_eq!(
        row(
            &fresh[0],
            "SELECT count(DISTINCT path) FROM atio_files('t')"
        )
        .await,
        "40"
    );
}

async fn overwrite_planned_before_an_append_is_a_conflict_and_changes_nothing(place: Place) {
    let sessions = sessions(&place, 2).await;
    let [one, two] = sessions.as_slice() else {
        unreachable!()
    };
    rows(one, "INSERT INTO t VALUES (1), (2)").await;
    for (version, sql) in [
        (2, "INSERT OVERWRITE t SELECT a FROM t WHERE a > 1"),
        (3, "INSERT OVERWRITE t VALUES (100)"),
        (4, "INSERT OVERWRITE t SELECT a FROM t WHERE false"),
    ] {
        let plan = one
            .sql(sql)
            .await
            .unwrap()
            .create_physical_plan()
            .await
            .unwrap();
        rows(two, &format!("INSERT INTO t VALUES ({})", version * 10)).await;
        let before = objects(&place).await;

        let error = collect(plan, one.task_ctx())
            .await
            .unwrap_err()
            .strip_backtrace();
        assert!(
            error.contains(&format!("version {version}")),
            "{sql}: {error}"
        );
        assert!(error.contains("append"), "{sql}: {error}");
        assert_settles_to(&before, &place, sql).await;
    }
    assert_eq!(
        rows(one, "SELECT a FROM t").await,
        ["1", "2", "20", "30", "40"]
    );
    assert_eq!(
        row(one, "INSERT OVERWRITE t SELECT a FROM t WHERE a > 20").await,
        "2"
    );
    assert_eq!(rows(two, "SELECT a FROM t").await, ["30", "40"]);
}

async fn append_planned_before_an_overwrite_is_added_to_its_rows(place: Place) {
    let sessions = sessions(&place, 2).await;
    let [one, two] = sessions.as_slice() else {
        unreachable!()
    };
    rows(one, "INSERT INTO t VALUES (1), (2)").await;
    let plan = one
        .sql("INSERT INTO t VALUES (3)")
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap();
    rows(two, "INSERT OVERWRITE t VALUES (10)").await;
    rows(two, "INSERT INTO t VALUES (11)").await;

    collect(plan, one.task_ctx()).await.unwrap();
    for ctx in [one, two] {
        assert_eq!(rows(ctx, "SELECT a FROM t").await, ["10", "11", "3"]);
        assert_contiguous(ctx, 4).await;
    }
    assert_eq!(
        rows(one, "SELECT a FROM atio_table('t', version => 3)").await,
        ["10", "11"]
    );
}

async fn append_planned_before_an_expiry_is_added_after_it(place: Place) {
    let sessions = sessions(&place, 2).await;
    let [one, two] = sessions.as_slice() else {
        unreachable!()
    };
    rows(one, "INSERT INTO t VALUES (1)").await;
    rows(one, "INSERT OVERWRITE t VALUES (2)").await;
    let plan = one
        .sql("INSERT INTO t VALUES (3)")
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap();
    let overwrite = one
        .sql("INSERT OVERWRITE t SELECT a * 10 FROM t")
        .await
        .unwrap();
    let overwrite = overwrite.create_physical_plan().await.unwrap();
    assert_ne!(row(two, EXPIRE_ALL).await, "0");

    collect(plan, one.task_ctx()).await.unwrap();
    assert_eq!(rows(two, "SELECT a FROM t").await, ["2", "3"]);
    // The append came between; the expiry itself would have been no reason.
    let error = collect(overwrite, one.task_ctx())
        .await
        .unwrap_err()
        .strip_backtrace();
    assert!(error.contains("version 4"), "{error}");

    let overwrite = one
        .sql("INSERT OVERWRITE t SELECT a * 10 FROM t")
        .await
        .unwrap();
    let overwrite = overwrite.create_physical_plan().await.unwrap();
    assert_ne!(row(two, EXPIRE_ALL).await, "0");
    collect(overwrite, one.task_ctx()).await.unwrap();
    assert_eq!(rows(two, "SELECT a FROM t").await, ["20", "30"]);
    assert_contiguous(two, 6).await;
}

async fn creators_of_one_table_end_with_one_table(place: Place) {
    let mut tasks = JoinSet::new();
    for n in 0..8 {
        let place = place.clone();
        tasks.spawn(async move {
            let ctx = place.session();
            open(&ctx, &place, "t").await;
            rows(&ctx, &format!("INSERT INTO t VALUES ({n})")).await;
        });
    }
    tasks.join_all().await;
    let ctx = place.session();
    open(&ctx, &place, "t").await;
    assert_eq!(
        row(&ctx, "SELECT count(*), count(DISTINCT a) FROM t").await,
        "8|8"
    );
    assert_contiguous(&ctx, 8).await;
    // Nothing of those who came too late is left over.
    let dry = "SELECT count(*) FROM expire_snapshots('t', keep_for => INTERVAL '1 day', orphan_age => INTERVAL '0 days')";
    assert_eq!(row(&ctx, dry).await, "0");
}

async fn creators_of_one_catalog_table_end_with_one_table(place: Place) {
    let mut tasks = JoinSet::new();
    for n in 0..6 {
        let place = place.clone();
        tasks.spawn(async move {
            let ctx = place.session();
            // The engine does not tell a catalog of IF NOT EXISTS: who comes too late is told.
            if let Err(error) = run(&ctx, "CREATE TABLE IF NOT EXISTS w.public.r (a BIGINT)").await
            {
                assert!(
                    error.to_string().contains("there is a table 'r' already"),
                    "{error}"
                );
            }
            rows(&ctx, &format!("INSERT INTO w.public.r VALUES ({n})")).await;
        });
    }
    tasks.join_all().await;
    let ctx = place.session();
    assert_eq!(
        row(&ctx, "SELECT count(*), count(DISTINCT a) FROM w.public.r").await,
        "6|6"
    );
    assert_eq!(
        row(
            &ctx,
            "SELECT count(*), max(version) FROM atio_history('w.public.r')"
        )
        .await,
        "7|6"
    );
}

async fn concurrent_expiries_keep_what_is_retained(place: Place) {
    let sessions = sessions(&place, 4).await;
    for n in 1..=5 {
        rows(&sessions[0], &format!("INSERT OVERWRITE t VALUES ({n})")).await;
    }
    let expire = "SELECT count(*) FROM expire_snapshots('t', keep_for => INTERVAL '0 days', retain_last => 2, \
                  dry_run => false)";
    let mut tasks = JoinSet::new();
    for ctx in &sessions {
        let ctx = ctx.clone();
        tasks.spawn(async move { rows(&ctx, expire).await });
    }
    tasks.join_all().await;
    for ctx in &sessions {
        assert_eq!(rows(ctx, "SELECT a FROM t").await, ["5"]);
        assert_eq!(
            rows(ctx, "SELECT a FROM atio_table('t', version => 4)").await,
            ["4"]
        );
        let error = failure(ctx, "SELECT a FROM atio_table('t', version => 3)").await;
        assert!(error.contains("version 3 of 't' has expired"), "{error}");
        assert_eq!(row(ctx, expire).await, "0", "something was left behind");
    }
}

async fn expiry_beside_appends_loses_no_row(place: Place) {
    let sessions = sessions(&place, 3).await;
    let [one, two, expirer] = sessions.as_slice() else {
        unreachable!()
    };
    let append = |ctx: &SessionContext, from: i64| {
        let ctx = ctx.clone();
        tokio::spawn(async move {
            let mut kept = 0;
            for a in from..from + 15 {
                // An expiry without patience may revoke an insert, which then has to say so.
                match run(&ctx, &format!("INSERT INTO t VALUES ({a})")).await {
                    Ok(_) => kept += 1,
                    Err(error) => assert!(error.to_string().contains("revoked"), "{error}"),
                }
            }
            kept
        })
    };
    let (first, second) = (append(one, 0), append(two, 100));
    while !(first.is_finished() && second.is_finished()) {
        let expired: Result<_> = run(expirer, EXPIRE_ALL).await;
        expired.unwrap();
    }
    let kept: i64 = first.await.unwrap() + second.await.unwrap();
    let found = format!("{kept}|{kept}");
    for ctx in &sessions {
        assert_eq!(
            row(ctx, "SELECT count(*), count(DISTINCT a) FROM t").await,
            found
        );
        assert_eq!(
            row(
                ctx,
                "SELECT count(a), sum(CASE WHEN a >= 0 THEN 1 ELSE 0 END) FROM t"
            )
            .await,
            found
        );
    }
}

async fn writer_that_outlives_a_drop_is_told_and_leaves_the_name_free(place: Place) {
    let (one, two) = (place.session(), place.session());
    rows(&two, "CREATE TABLE w.public.s (a BIGINT)").await;
    rows(&two, "INSERT INTO w.public.s VALUES (1)").await;
    let planned = async |sql: &str| {
        let frame = one.sql(sql).await.unwrap();
        frame.create_physical_plan().await.unwrap()
    };
    let late = planned("INSERT INTO w.public.s VALUES (2)").await;
    let later = planned("INSERT INTO w.public.s VALUES (3)").await;

    rows(&two, "DROP TABLE w.public.s").await;
    assert!(collect(late, one.task_ctx()).await.is_err());
    let gone = failure(&place.session(), "SELECT * FROM w.public.s").await;
    assert!(gone.contains("not found"), "{gone}");

    rows(
        &two,
        "CREATE TABLE w.public.s AS SELECT CAST(10 AS BIGINT) AS a",
    )
    .await;
    assert!(collect(later, one.task_ctx()).await.is_err());
    for ctx in [&one, &two, &place.session()] {
        assert_eq!(rows(ctx, "SELECT a FROM w.public.s").await, ["10"]);
    }
    rows(&two, "INSERT INTO w.public.s VALUES (11)").await;
    assert_eq!(rows(&one, "SELECT a FROM w.public.s").await, ["10", "11"]);
}

async fn load_that_an_overwrite_meets_between_its_chunks_says_that_it_was_ended(place: Place) {
    let sessions = sessions(&place, 2).await;
    let [one, two] = sessions.as_slice() else {
        unreachable!()
    };
    rows(one, "SET datafusion.execution.target_partitions = 1").await;
    for keeps in [true, false] {
        let source = Source::new(3, End::Gate);
        source.register(one, "source");
        let options = CommitOptions {
            idempotency_key: Some(format!("load {keeps}")),
            commit_every_rows: Some(1000),
            ..CommitOptions::default()
        };
        let load = with_commit(one, options).unwrap();
        let load =
            tokio::spawn(async move { run(&load, "INSERT INTO t SELECT a FROM source").await });
        source.ended().await;
        rows(
            two,
            &format!("INSERT OVERWRITE t SELECT a FROM t WHERE {keeps}"),
        )
        .await;
        source.open();
        let error = load.await.unwrap().unwrap_err().strip_backtrace();
        assert!(
            error.contains("it stopped at row 2000, and version"),
            "{error}"
        );
        assert!(
            error.contains("so atio cannot know which of its rows are there"),
            "{error}"
        );
        assert!(!error.contains("are kept"), "{error}");
        let left = row(two, "SELECT count(*), count(DISTINCT a) FROM t").await;
        assert_eq!(left, if keeps { "2000|2000" } else { "0|0" });
        rows(two, "INSERT OVERWRITE t SELECT a FROM t WHERE false").await;
    }
}
