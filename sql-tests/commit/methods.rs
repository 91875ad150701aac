//! Methods that write take checks and retries as statements do, also in a session without atio.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use atio::{AtioTable, Check, CommitOptions, Error, ErrorKind, OverwriteOptions, check, sql_check};
use datafusion::prelude::{SessionConfig, SessionContext, col, lit};

use crate::objects::{assert_settles_to, objects};
use crate::query::{open, rows};
use crate::session::{Place, on_every_place, run};

on_every_place!(
    methods_commit_only_if_their_checks_hold,
    methods_that_lost_are_run_again,
);

/// The methods that write rows, and the rows that each makes of 1 and 2.
const METHODS: [(&str, &[&str]); 6] = [
    ("append", &["1", "2", "7"]),
    ("overwrite", &["7"]),
    ("delete", &["1"]),
    ("update", &["1", "12"]),
    ("merge", &["1", "12", "7"]),
    ("truncate", &[]),
];

/// Does what a method does; `ctx` need not know of atio.
async fn call(
    method: &str,
    ctx: &SessionContext,
    table: &AtioTable,
    commit: CommitOptions,
) -> atio::Result<()> {
    let query = async |text: &str| ctx.sql(text).await.unwrap();
    let seven = "SELECT CAST(7 AS BIGINT) AS a";
    match method {
        "append" => table.append(query(seven).await, commit).await.map(drop),
        "overwrite" => {
            let options = OverwriteOptions {
                commit,
                ..OverwriteOptions::default()
            };
            table.overwrite(query(seven).await, options).await.map(drop)
        }
        "delete" => table
            .delete(ctx, col("a").eq(lit(2)), commit)
            .await
            .map(drop),
        "update" => {
            let values = [("a", col("a") + lit(10))];
            let updated = table.update(ctx, col("a").eq(lit(2)), values, commit);
            updated.await.map(drop)
        }
        "merge" => {
            let rows = query("SELECT * FROM (VALUES (2, 12), (9, 7)) AS v(k, a)").await;
            let merge = table
                .merge(rows)
                .on_condition(col("target.a").eq(col("source.k")))
                .when_matched_update(None, [("a", col("source.a"))])
                .when_not_matched_insert(None, [("a", col("source.a"))]);
            merge.execute(commit).await.map(drop)
        }
        "truncate" => table.truncate(ctx, commit).await.map(drop),
        _ => unreachable!("{method}"),
    }
}

fn with_check(check: Check) -> CommitOptions {
    CommitOptions {
        checks: vec![check],
        ..CommitOptions::default()
    }
}

/// A session of atio's, and one without, each with the table as it opened it.
async fn sessions(place: &Place) -> [(SessionContext, AtioTable); 2] {
    let ctx = place.session();
    open(&ctx, place, "t").await;
    let runtime = place.session().runtime_env();
    let bare = SessionContext::new_with_config_rt(SessionConfig::new(), runtime);
    let location = format!("{}/t", place.root());
    let of_ctx = AtioTable::open(&ctx, &location).await.unwrap();
    let of_bare = AtioTable::open(&bare, &location).await.unwrap();
    [(ctx, of_ctx), (bare, of_bare)]
}

async fn methods_commit_only_if_their_checks_hold(place: Place) {
    let sessions = sessions(&place).await;
    let (ctx, _) = &sessions[0];
    for (session, table) in &sessions {
        for (method, expected) in METHODS {
            rows(ctx, "INSERT OVERWRITE t VALUES (1), (2)").await;
            let before = objects(&place).await;
            let fails = "SELECT count(*) <> 2 FROM old";
            let options = with_check(sql_check("fails", fails));
            let error = call(method, session, table, options).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::CheckFailed, "{method}: {error}");
            let named = format!("the check 'fails' ({fails}) gave false");
            assert!(error.to_string().contains(&named), "{method}: {error}");
            assert_settles_to(&before, &place, method).await;

            let moved = "SELECT count(*) = (SELECT count(*) FROM old) - (SELECT count(*) FROM removed) + (SELECT count(*) FROM added) FROM new";
            let options = with_check(sql_check("moved", moved));
            call(method, session, table, options).await.unwrap();
            assert_eq!(rows(ctx, "SELECT a FROM t").await, expected, "{method}");
        }
    }
}

/// The first attempt to commit is lost to another session.
async fn methods_that_lost_are_run_again(place: Place) {
    let sessions = sessions(&place).await;
    let (ctx, _) = &sessions[0];
    let other = place.session();
    open(&other, &place, "t").await;
    for (session, table) in &sessions {
        for (method, expected) in METHODS {
            rows(ctx, "INSERT OVERWRITE t VALUES (1), (2)").await;
            for retries in [0, 1] {
                let asked = Arc::new(AtomicU64::new(0));
                let (other, count) = (other.clone(), Arc::clone(&asked));
                let late = check("late", move |_| {
                    let (other, count) = (other.clone(), Arc::clone(&count));
                    async move {
                        match count.fetch_add(1, Ordering::SeqCst) {
                            0 => run(&other, "UPDATE t SET a = a + 0").await.map(|_| true),
                            _ => Ok(true),
                        }
                    }
                });
                let options = CommitOptions {
                    retries,
                    ..with_check(late)
                };
                let ended = call(method, session, table, options).await;
                match (retries, method) {
                    // It takes its rows along.
                    (0, "append") => {
                        ended.unwrap();
                        rows(ctx, "INSERT OVERWRITE t VALUES (1), (2)").await;
                    }
                    (0, _) => {
                        let kind = ended.as_ref().map_err(Error::kind);
                        assert_eq!(kind, Err(ErrorKind::Conflict), "{method}: {ended:?}");
                    }
                    _ => {
                        ended.unwrap_or_else(|error| panic!("{method}: {error}"));
                        assert_eq!(rows(ctx, "SELECT a FROM t").await, expected, "{method}");
                        assert_eq!(asked.load(Ordering::SeqCst), 2, "{method}");
                    }
                }
            }
        }
    }
}
