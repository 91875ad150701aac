//! Checks that are functions of a program: they read, and whatever they do ends the statement alone.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use atio::{
    AtioTable, Check, CommitOptions, CreateOptions, Error, ErrorKind, StreamOptions, StreamWriter,
    TagOptions, check, with_commit,
};
use datafusion::error::Result;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::prelude::{SessionContext, lit};
use tokio::sync::Notify;

use crate::objects::{assert_settles_to, objects};
use crate::query::{failure, open, row, rows};
use crate::session::{Place, on_every_place, run};

on_every_place!(
    function_writes_nothing_by_statements,
    function_writes_nothing_by_methods,
    function_that_fails_or_panics_ends_its_statement_alone,
    function_that_fails_is_not_asked_again,
    dropped_statement_waits_for_no_check,
);

fn with_check(check: Check) -> CommitOptions {
    CommitOptions {
        checks: vec![check],
        ..CommitOptions::default()
    }
}

/// A session with the table `t` of one row.
async fn session(place: &Place) -> SessionContext {
    let ctx = place.session();
    open(&ctx, place, "t").await;
    rows(&ctx, "INSERT INTO t VALUES (1)").await;
    ctx
}

/// An INSERT with a check that must not do what it does.
async fn refuses(ctx: &SessionContext, place: &Place, (what, writes): (&str, Check)) {
    let before = objects(place).await;
    let checked = with_commit(ctx, with_check(writes)).unwrap();
    let error = failure(&checked, "INSERT INTO t VALUES (2)").await;
    let named = "the check 'writes' was not answered, and nothing was committed to 't'";
    assert!(error.contains(named), "{what}: {error}");
    assert_settles_to(&before, place, what).await;
}

async fn function_writes_nothing_by_statements(place: Place) {
    let ctx = session(&place).await;
    rows(&ctx, "CREATE TABLE w.public.there AS SELECT 1 AS a").await;
    rows(&ctx, "CREATE SCHEMA w.empty").await;
    let root = place.root();
    for statement in [
        "INSERT INTO t VALUES (7)".to_owned(),
        "INSERT INTO w.public.there VALUES (7)".to_owned(),
        "DELETE FROM t".to_owned(),
        "TRUNCATE TABLE t".to_owned(),
        "SELECT * FROM atio_tag('t', tag => 'x')".to_owned(),
        "SELECT * FROM expire_snapshots('t', dry_run => false)".to_owned(),
        format!("COPY t TO '{root}/out.csv'"),
        format!("CREATE EXTERNAL TABLE u (a INT) STORED AS ATIO LOCATION '{root}/u'"),
        "CREATE VIEW v AS SELECT 1".to_owned(),
        "CREATE TABLE w.public.made AS SELECT 1 AS a".to_owned(),
        "CREATE OR REPLACE TABLE w.public.there AS SELECT 2 AS a".to_owned(),
        "DROP TABLE w.public.there".to_owned(),
        "CREATE SCHEMA w.made".to_owned(),
        "DROP SCHEMA w.empty".to_owned(),
    ] {
        for by_atio in [false, true] {
            let text = statement.clone();
            let writes = check("writes", move |ctx| {
                let text = text.clone();
                async move {
                    match by_atio {
                        true => atio::sql(&ctx, &text).await?.collect().await,
                        false => run(&ctx, &text).await,
                    }
                    .map(|_| true)
                }
            });
            refuses(&ctx, &place, (&statement, writes)).await;
        }
    }
    // What it reads is there all the same.
    let reads = check("reads", |ctx: SessionContext| async move {
        let read = "SELECT count(*) FROM w.public.there, old, atio_history('t') AS h";
        Ok(row(&ctx, read).await == "2")
    });
    let checked = with_commit(&ctx, with_check(reads)).unwrap();
    rows(&checked, "INSERT INTO t VALUES (2)").await;
}

type Wrote = Pin<Box<dyn Future<Output = atio::Result<()>> + Send>>;
type Write = fn(SessionContext, String) -> Wrote;

async fn function_writes_nothing_by_methods(place: Place) {
    let ctx = session(&place).await;
    let at = format!("{}/t", place.root());
    let one = async |ctx: &SessionContext| ctx.sql("SELECT CAST(7 AS BIGINT) AS a").await.unwrap();
    let writes: Vec<(&str, Write)> = vec![
        ("append", |ctx, at| {
            Box::pin(async move {
                let table = AtioTable::open(&ctx, &at).await?;
                let rows = ctx.sql("SELECT CAST(7 AS BIGINT) AS a").await.unwrap();
                table.append(rows, CommitOptions::default()).await.map(drop)
            })
        }),
        ("delete", |ctx, at| {
            Box::pin(async move {
                let table = AtioTable::open(&ctx, &at).await?;
                let commit = CommitOptions::default();
                table.delete(&ctx, lit(true), commit).await.map(drop)
            })
        }),
        ("tag", |ctx, at| {
            Box::pin(async move {
                let table = AtioTable::open(&ctx, &at).await?;
                table.tag("x", TagOptions::default()).await.map(drop)
            })
        }),
        ("drop", |ctx, at| {
            Box::pin(async move {
                let table = AtioTable::open(&ctx, &at).await?;
                table.drop_table(&ctx).await.map(drop)
            })
        }),
        ("begin", |ctx, at| {
            Box::pin(async move {
                let table = AtioTable::open(&ctx, &at).await?;
                table.begin(&ctx, InsertOp::Append).await.map(drop)
            })
        }),
        ("stream", |ctx, at| {
            Box::pin(async move {
                let options = StreamOptions::default();
                StreamWriter::open(&ctx, &at, options).await.map(drop)
            })
        }),
        ("create", |ctx, at| {
            Box::pin(async move {
                let columns = ctx.sql("SELECT 1 AS a").await.unwrap();
                let columns = columns.schema().as_arrow().clone();
                let options = CreateOptions::default();
                let at = format!("{at}2");
                let made = AtioTable::create(&ctx, &at, &columns, options).await;
                made.map(drop)
            })
        }),
    ];
    for (what, write) in writes {
        let at = at.clone();
        let writes = check("writes", move |ctx| {
            let wrote = write(ctx, at.clone());
            async move { Ok(wrote.await.map(|()| true)?) }
        });
        refuses(&ctx, &place, (what, writes)).await;
    }
    // A handle of the session itself, whose rows are of the check's.
    let table = AtioTable::open(&ctx, &at).await.unwrap();
    let others = table.clone();
    let writes = check("writes", move |ctx: SessionContext| {
        let table = others.clone();
        async move {
            let rows = ctx.sql("SELECT CAST(7 AS BIGINT) AS a").await?;
            table.append(rows, CommitOptions::default()).await?;
            Ok(true)
        }
    });
    refuses(&ctx, &place, ("append of its rows", writes)).await;
    let appended = table
        .append(one(&ctx).await, CommitOptions::default())
        .await;
    assert_eq!(appended.unwrap().rows, 1);
}

async fn function_that_fails_or_panics_ends_its_statement_alone(place: Place) {
    let ctx = session(&place).await;
    // What became of another commit says nothing of this one.
    let unsure = check("unsure", |_| async {
        Err(Error::new(ErrorKind::CommitUnknown, "who knows").into())
    });
    let lost = check("lost", |_| async {
        Err(Error::new(ErrorKind::Conflict, "another one").into())
    });
    let exists = check("exists", |_| async {
        Err(Error::new(ErrorKind::TableExists, "it is there").into())
    });
    let refuses = check("refuses", |_| async { Ok(false) });
    let panics = check("panics", |ctx: SessionContext| async move {
        let old: Result<usize> = ctx.table("old").await?.count().await;
        panic!("{old:?}")
    });
    let panics_at_once = check("panics", |ctx: SessionContext| {
        let id = ctx.session_id();
        assert!(id.is_empty(), "{id}");
        async { Ok(true) }
    });
    for (check, said) in [
        (unsure, "was not answered, and nothing was committed to 't'"),
        (lost, "was not answered, and nothing was committed to 't'"),
        (
            exists.clone(),
            "was not answered, and nothing was committed to 't'",
        ),
        (refuses, "gave false, and must be true"),
        (panics, "panicked, and nothing was committed to 't'"),
        (panics_at_once, "panicked, and nothing was committed to 't'"),
    ] {
        let before = objects(&place).await;
        let options = CommitOptions {
            retries: 2,
            ..with_check(check)
        };
        let checked = with_commit(&ctx, options).unwrap();
        let error = run(&checked, "INSERT INTO t VALUES (2)").await.unwrap_err();
        let kind = Error::find(&error).map(Error::kind);
        assert_eq!(kind, Some(ErrorKind::CheckFailed), "{error}");
        assert!(error.to_string().contains(said), "{error}");
        assert_settles_to(&before, &place, said).await;
    }
    rows(&ctx, "INSERT INTO t VALUES (2)").await;
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["1", "2"]);
    // Nor is a table there because a check says so.
    let checked = with_commit(&ctx, with_check(exists)).unwrap();
    let create = "CREATE TABLE IF NOT EXISTS w.public.made AS SELECT 1 AS a";
    let error = atio::sql(&checked, create).await.err().unwrap();
    let kind = Error::find(&error).map(Error::kind);
    assert_eq!(kind, Some(ErrorKind::CheckFailed), "{error}");
}

async fn function_that_fails_is_not_asked_again(place: Place) {
    let ctx = session(&place).await;
    let other = place.session();
    open(&other, &place, "t").await;
    let insert = "INSERT INTO t VALUES (5)";
    let before = objects(&place).await.len();
    rows(&other, insert).await;
    let of_insert = objects(&place).await.len() - before;
    for kind in [ErrorKind::Storage, ErrorKind::Damaged] {
        let asked = Arc::new(AtomicU64::new(0));
        let (others, count) = (other.clone(), Arc::clone(&asked));
        let fails = check("fails", move |_| {
            let (other, count) = (others.clone(), Arc::clone(&count));
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                run(&other, insert).await?;
                Err(Error::new(kind, "not there").into())
            }
        });
        let before = objects(&place).await.len();
        let checked = with_commit(&ctx, with_check(fails)).unwrap();
        let error = run(&checked, "DELETE FROM t WHERE a = 1").await;
        let error = error.unwrap_err();
        let expected = match kind {
            ErrorKind::Storage => ErrorKind::Storage,
            _ => ErrorKind::CheckFailed,
        };
        assert_eq!(Error::find(&error).map(Error::kind), Some(expected));
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{error}");
        let left = objects(&place).await.len() - before;
        assert_eq!(left, of_insert, "what another one wrote meanwhile, alone");
    }
    assert_eq!(row(&ctx, "SELECT count(*) FROM t").await, "4");
}

async fn dropped_statement_waits_for_no_check(place: Place) {
    let ctx = session(&place).await;
    for statement in [
        "INSERT INTO t VALUES (2)",
        "INSERT OVERWRITE t VALUES (2)",
        "UPDATE t SET a = 2",
        "DELETE FROM t WHERE a = 1",
    ] {
        let before = objects(&place).await;
        let begun = Arc::new(Notify::new());
        let begins = Arc::clone(&begun);
        let never = check("never", move |_| {
            begins.notify_one();
            std::future::pending()
        });
        let checked = with_commit(&ctx, with_check(never)).unwrap();
        tokio::select! {
            done = run(&checked, statement) => panic!("{statement}: {done:?}"),
            () = begun.notified() => {}
        }
        assert_settles_to(&before, &place, statement).await;
        let insert = rows(&ctx, "INSERT INTO t VALUES (3)");
        let insert = tokio::time::timeout(Duration::from_secs(30), insert).await;
        assert!(insert.is_ok(), "{statement}: nobody waits for its check");
    }
    assert_eq!(row(&ctx, "SELECT count(*), min(a) FROM t").await, "5|1");
}
