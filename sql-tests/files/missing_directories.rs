//! Directories above a target that are missing: made, and taken back if the statement fails.

use super::*;
use crate::query::{failure, row};
use datafusion::dataframe::DataFrameWriteOptions;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_directories_are_made_for_every_kind_of_target() {
    let place = Place::new();
    let ctx = session(2);
    for format in WITH_XLSX {
        let to = place.text(&format!("a/{format}/b/c.{format}"));
        assert_eq!(row(&ctx, &copy(&numbers(7), &to, format, "")).await, "7");
        assert_eq!(read(&to, format).await, said(7));
    }
    let to = place.text("d/e/folder");
    rows(&ctx, &copy(&numbers(7), &to, "csv", "")).await;
    assert_eq!(read(&format!("{to}/"), "csv").await, said(7));
    let to = place.text("f/g.csv");
    let df = ctx.sql(&numbers(7)).await.unwrap();
    df.write_csv(&to, DataFrameWriteOptions::new(), None)
        .await
        .unwrap();
    assert_eq!(read(&to, "csv").await, said(7));
    let to = place.text("h/i.csv");
    let df = ctx.sql(&numbers(7)).await.unwrap();
    atio::write(df, &to, Default::default()).await.unwrap();
    assert_eq!(read(&to, "csv").await, said(7));
    assert_eq!(place.names(), ["a", "d", "f", "h"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn directories_that_a_failed_statement_made_are_taken_back() {
    let place = Place::new();
    let ctx = session(2);
    std::fs::create_dir(place.path("there")).unwrap();
    let bad = format!("SELECT 1 / (value - {MANY}) AS i FROM generate_series(1, {MANY})");
    for to in [
        "new/a/b.csv",
        "new/a/folder",
        "there/a/b.csv",
        "there/folder",
    ] {
        let failed = failure(&ctx, &copy(&bad, &place.text(to), "csv", "")).await;
        assert!(failed.contains("Divide by zero"), "{failed}");
        assert_eq!(place.names(), ["there"], "{to}");
        assert_eq!(names(&place.path("there")), Vec::<String>::new(), "{to}");
    }
    let skip = copy(
        &numbers(3),
        &place.text("new/a.csv"),
        "csv",
        "'atio.if_exists' 'skip'",
    );
    assert_eq!(row(&ctx, &skip).await, "3");
    let explain = copy(&numbers(3), &place.text("x/y.csv"), "csv", "");
    rows(&ctx, &format!("EXPLAIN {explain}")).await;
    assert_eq!(place.names(), ["new", "there"]);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_that_cannot_be_one_is_told_and_nothing_is_made() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    let ctx = session(2);
    std::fs::write(place.path("file"), "x").unwrap();
    symlink(place.path("nowhere"), place.path("dangling")).unwrap();
    std::fs::create_dir(place.path("real")).unwrap();
    symlink(place.path("real"), place.path("link")).unwrap();
    let before = place.names();
    for (to, said) in [
        ("file/a.csv", "is a file, so nothing can be written in it"),
        (
            "file/new/a.csv",
            "is a file, so nothing can be written in it",
        ),
        ("dangling/a.csv", "is a symbolic link to nothing"),
        ("dangling/new/a.csv", "is a symbolic link to nothing"),
        (
            "missing/../a.csv",
            "leads back out of a directory that does not exist",
        ),
    ] {
        let failed = failure(&ctx, &copy(&numbers(3), &place.text(to), "csv", "")).await;
        assert!(failed.contains(said), "{to}: {failed}");
        assert_eq!(place.names(), before, "{to}");
    }
    let to = place.text("link/new/a.csv");
    rows(&ctx, &copy(&numbers(3), &to, "csv", "")).await;
    assert_eq!(read(&place.text("real/new/a.csv"), "csv").await, said(3));
    // What is missing is not made in a table.
    let table = place.text("table");
    rows(
        &ctx,
        &format!("CREATE EXTERNAL TABLE t (i INT) STORED AS ATIO LOCATION '{table}'"),
    )
    .await;
    let inside = place.text("table/new/a.csv");
    let failed = failure(&ctx, &copy(&numbers(3), &inside, "csv", "")).await;
    assert!(
        failed.contains("lies in the directory of a table"),
        "{failed}"
    );
    assert!(!place.path("table/new").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_of_one_new_directory_do_not_take_it_from_each_other() {
    let place = Place::new();
    for round in 0..20 {
        let folder = place.text(&format!("{round}/a/b"));
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..6_i64 {
            let to = format!("{folder}/{writer}.csv");
            let query = match writer % 2 {
                0 => numbers(5),
                _ => "SELECT 1 / (value - 3) AS i FROM generate_series(1, 3)".to_owned(),
            };
            writers.spawn(async move {
                let ended = crate::session::run(&session(1), &copy(&query, &to, "csv", "")).await;
                (writer, ended.map(drop))
            });
        }
        for (writer, ended) in writers.join_all().await {
            match ended {
                Ok(()) => assert_eq!(writer % 2, 0),
                Err(error) => assert!(error.to_string().contains("Divide by zero"), "{error}"),
            }
        }
        assert_eq!(names(Path::new(&folder)), ["0.csv", "2.csv", "4.csv"]);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_directory_that_is_made_is_synced_in_the_one_above() {
    use crate::processes::job::Job;
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let to = at.join("new/a/b.csv");
    let job = Job::new(at, vec![copy(&numbers(3), to.to_str().unwrap(), "csv", "")]);
    let steps = job.steps().await;
    let synced = steps
        .windows(2)
        .filter(|two| two[0].starts_with("make-folder") && two[1].starts_with("sync-folder"));
    assert_eq!(synced.count(), 2, "{steps:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_at_the_limit_leave_room_for_what_is_staged() {
    let place = Place::new();
    let ctx = session(2);
    let name = |length: usize| "x".repeat(length - 4) + ".csv";
    let longest = name(194);
    for n in [3, 5] {
        let file = place.text(&longest);
        rows(&ctx, &marked(&numbers(n), &file, "csv", "")).await;
        assert_eq!(read(&file, "csv").await, said(n));
    }
    let folder = "y".repeat(194);
    for _ in 0..2 {
        rows(&ctx, &copy(&numbers(3), &place.text(&folder), "csv", "")).await;
    }
    assert_eq!(names(&place.path(&folder)).len(), 2);
    // Beside such a directory nothing can lie.
    let deep = format!("{}/a.csv", "z".repeat(255));
    for n in [3, 5] {
        rows(&ctx, &copy(&numbers(n), &place.text(&deep), "csv", "")).await;
        assert_eq!(read(&place.text(&deep), "csv").await, said(n));
    }
    let before = place.names();
    for (to, why) in [
        (name(195), "too long (195 bytes, limit 194)"),
        ("x".repeat(195), "too long (195 bytes, limit 194)"),
        (format!("{}/a.csv", "w".repeat(256)), "File name too long"),
    ] {
        let failed = failure(&ctx, &copy(&numbers(3), &place.text(&to), "csv", "")).await;
        assert!(failed.contains(why), "{failed}");
    }
    assert_eq!(place.names(), before);
    assert_eq!(names(&place.path(&"z".repeat(255))), ["a.csv"]);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn directories_go_again_if_the_disk_is_full_at_the_end() {
    use crate::processes::job::Job;
    for to in ["new/a/b.csv", "new/a/out"] {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let sql = marked(&numbers(3), at.join(to).to_str().unwrap(), "csv", "");
        let mut job = Job::new(at, vec![sql]);
        // When the file is written and its marker is not.
        job.fail = vec![("copy-write".to_owned(), "1*off->return(28)".to_owned())];
        let ended = job.run().await;
        assert!(
            ended.failure(0).contains("(os error 28)"),
            "{:?}",
            ended.said
        );
        assert_eq!(names(at), ["warehouse"], "{to}");
    }
}
