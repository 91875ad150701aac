//! A writer that stands still while the table goes on without it.

use super::child::Child;
use super::job::{Act, When};
use super::statements::{EXPIRE, INSERT};
use crate::long_form::{long, sample};
use crate::query::{row, rows};
use crate::session::session_at;

/// An insert of `(10)` that has stopped itself.
fn stopped(at: &std::path::Path, when: When) -> Child {
    let mut job = INSERT.job(at);
    job.act = Some((when, Act::Stop));
    let child = job.start();
    child.wait_until_stopped();
    child
}

async fn go_on(child: Child) -> super::ended::Ended {
    child.go_on();
    tokio::task::spawn_blocking(|| child.end()).await.unwrap()
}

/// Stops the insert, commits three times, expires all that can be expired, and goes on.
async fn stop_and_expire(prepared: &std::path::Path, at: &std::path::Path, when: When) -> String {
    let what = format!("stopped at {when:?}");
    INSERT.copy(prepared, at);
    let child = stopped(at, when);
    let committed = INSERT.state(at).await.unwrap().unwrap() == "3|13";
    let ctx = session_at(at);
    let location = at.join("t").canonicalize().unwrap().display().to_string();
    rows(
        &ctx,
        &format!("CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{location}'"),
    )
    .await;
    for a in [100, 200, 300] {
        rows(&ctx, &format!("INSERT INTO t VALUES ({a})")).await;
    }
    row(&ctx, &EXPIRE.replace("{t}", &location)).await;
    let ended = go_on(child).await;
    let state = INSERT.state(at).await.unwrap().unwrap();
    let (with, without) = ("6|613", "5|603");
    let told = match ended.done(INSERT.number()) {
        true => {
            assert_eq!(state, with, "{what}");
            "Ok".to_owned()
        }
        false => {
            let failure = ended.failure(INSERT.number());
            assert!(!committed, "{what}: {failure}");
            assert!(
                failure.starts_with("Revoked") && failure.contains("run it again"),
                "{what}: {failure}"
            );
            assert_eq!(state, without, "{what}: {failure}");
            "Revoked".to_owned()
        }
    };
    INSERT.check_history(at, &what).await;
    // Run again it works, and nothing of the first attempt stays.
    rows(&ctx, "INSERT INTO t VALUES (1)").await;
    row(&ctx, &EXPIRE.replace("{t}", &location)).await;
    assert_eq!(
        super::leftovers::leftovers(&at.join("t")),
        [""; 0],
        "{what}"
    );
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer_that_is_stopped_while_others_commit_and_expire_fails_cleanly() {
    let directory = tempfile::tempdir().unwrap();
    let prepared = directory.path().join("prepared");
    INSERT.prepare(&prepared).await;
    let record = When::Named("publish:v2.metadata.json".to_owned());
    let told = stop_and_expire(&prepared, &directory.path().join("record"), record).await;
    assert_eq!(told, "Revoked");

    let counted = directory.path().join("counted");
    INSERT.copy(&prepared, &counted);
    let steps = INSERT.job(&counted).steps().await;
    let most = if long() { steps.len() } else { 6 };
    let mut all = Vec::new();
    for number in sample(steps.len(), most) {
        let at = directory.path().join(number.to_string());
        let told = stop_and_expire(&prepared, &at, When::Step(number + 1)).await;
        all.push(format!("{} {told}", steps[number]));
    }
    println!("{all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer_that_is_stopped_while_its_table_is_dropped_and_made_again_writes_nothing() {
    for step in [
        "make-folder",
        "begin-file",
        "publish",
        "publish:v1.metadata.json",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let ctx = session_at(at);
        for sql in ["CREATE SCHEMA w.s", "CREATE TABLE w.s.t AS SELECT 1 AS a"] {
            rows(&ctx, sql).await;
        }
        let newest = "SELECT max(version) FROM atio_history('w.s.t')";
        let newest: usize = row(&ctx, newest).await.parse().unwrap();
        let step = step.replace("v1", &format!("v{}", newest + 1));
        let insert = "INSERT INTO w.s.t VALUES (10)".to_owned();
        let mut job = super::job::Job::new(at, vec![insert]);
        job.act = Some((When::Named(step.clone()), Act::Stop));
        let child = job.start();
        child.wait_until_stopped();
        rows(&ctx, "DROP TABLE w.s.t").await;
        rows(&ctx, "CREATE TABLE w.s.t AS SELECT 7 AS a").await;
        let before = crate::objects::files(&at.join("warehouse/s/t"));
        let ended = go_on(child).await;
        let failure = ended.failure(0);
        assert!(
            failure.starts_with("Conflict") && failure.contains("dropped"),
            "{step}: {failure}"
        );
        let after = crate::objects::files(&at.join("warehouse/s/t"));
        crate::objects::assert_same(&before, &after, &step);
        assert_eq!(rows(&session_at(at), "SELECT a FROM w.s.t").await, ["7"]);
    }
}

/// The other way round: the table comes back, with and without another one in its place meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer_that_is_stopped_while_its_table_is_dropped_and_comes_back_is_revoked() {
    for (step, replaced) in [
        ("begin-file", false),
        ("publish", false),
        ("publish:v1.metadata.json", false),
        ("begin-file", true),
        ("publish:v1.metadata.json", true),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let ctx = session_at(at);
        for sql in ["CREATE SCHEMA w.s", "CREATE TABLE w.s.t AS SELECT 1 AS a"] {
            rows(&ctx, sql).await;
        }
        let newest = "SELECT max(version) FROM atio_history('w.s.t')";
        let newest: usize = row(&ctx, newest).await.parse().unwrap();
        let named = step.replace("v1", &format!("v{}", newest + 1));
        let insert = "INSERT INTO w.s.t VALUES (10)".to_owned();
        let mut job = super::job::Job::new(at, vec![insert.clone()]);
        job.act = Some((When::Named(named), Act::Stop));
        let child = job.start();
        child.wait_until_stopped();
        let before: &[&str] = match replaced {
            false => &["DROP TABLE w.s.t"],
            true => &[
                "DROP TABLE w.s.t",
                "CREATE TABLE w.s.t AS SELECT 7 AS a",
                "DROP TABLE w.s.t",
                "SELECT * FROM atio_undrop('w.s.t', new_name => 'other')",
            ],
        };
        for sql in before {
            rows(&ctx, sql).await;
        }
        rows(&ctx, "SELECT * FROM atio_undrop('w.s.t')").await;
        let ended = go_on(child).await;
        let failure = ended.failure(0);
        let what = format!("{step}, replaced: {replaced}: {failure}");
        assert!(
            failure.starts_with("Revoked") && failure.contains("undone DROP"),
            "{what}"
        );
        let ctx = session_at(at);
        assert_eq!(rows(&ctx, "SELECT a FROM w.s.t").await, ["1"], "{what}");
        if replaced {
            assert_eq!(rows(&ctx, "SELECT a FROM w.s.other").await, ["7"], "{what}");
        }
        // Run again it works, and nothing of the first attempt stays.
        rows(&ctx, &insert).await;
        let location = at.join("warehouse/s/t").canonicalize().unwrap();
        row(&ctx, &EXPIRE.replace("{t}", location.to_str().unwrap())).await;
        assert_eq!(super::leftovers::leftovers(&location), [""; 0], "{what}");
        assert_eq!(
            rows(&ctx, "SELECT a FROM w.s.t").await,
            ["1", "10"],
            "{what}"
        );
    }
}

/// A record has its name, and its directory is not synced yet: DROP comes between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_that_a_drop_follows_at_once_is_acknowledged_and_comes_back_with_the_table() {
    for replaced in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let ctx = session_at(at);
        for sql in ["CREATE SCHEMA w.s", "CREATE TABLE w.s.t AS SELECT 1 AS a"] {
            rows(&ctx, sql).await;
        }
        let insert = "INSERT INTO w.s.t VALUES (10)".to_owned();
        let mut job = super::job::Job::new(at, vec![insert]);
        let named = When::Named("published:v2.metadata.json".to_owned());
        job.act = Some((named, Act::Stop));
        let child = job.start();
        child.wait_until_stopped();
        rows(&ctx, "DROP TABLE w.s.t").await;
        if replaced {
            rows(&ctx, "CREATE TABLE w.s.t AS SELECT 7 AS a").await;
        }
        let began = std::time::Instant::now();
        let ended = go_on(child).await;
        assert!(ended.done(0), "replaced: {replaced}: {:?}", ended.said);
        assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
        if replaced {
            assert_eq!(rows(&session_at(at), "SELECT a FROM w.s.t").await, ["7"]);
        }
        let undrop = "SELECT * FROM atio_undrop('w.s.t', new_name => 'old')";
        rows(&ctx, undrop).await;
        assert_eq!(rows(&ctx, "SELECT a FROM w.s.old").await, ["1", "10"]);
    }
}
