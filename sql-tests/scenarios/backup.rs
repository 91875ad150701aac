//! A backup copies files, and the directory of a table, while others write.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::files::{copy, marked, numbers};
use crate::processes::job::{Act, When};
use crate::processes::leftovers::copy_all;
use crate::query::{failure, row, rows};
use crate::session::session_at;

/// Rows of each version.
const ROWS: usize = 500;
/// The marker, and the one of the file that is being replaced.
const MARKERS: [&str; 2] = [".a.csv._SUCCESS", ".a.csv.atio-old"];

fn insert(round: usize) -> String {
    format!("INSERT INTO t SELECT {round}, value FROM generate_series(1, {ROWS})")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// In the order that the format asks for: pointer, records, other metadata, data.
fn copy_table(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("metadata")).unwrap();
    let pointer = "_current_version.json";
    fs::copy(from.join(pointer), to.join(pointer)).unwrap();
    let mut metadata = entries(&from.join("metadata"));
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    metadata.sort_by_key(|path| !name(path).starts_with('v'));
    for path in metadata {
        fs::copy(&path, to.join("metadata").join(name(&path))).unwrap();
    }
    copy_all(&from.join("data"), &to.join("data"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_beside_writers_has_whole_files_and_tables_that_open() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let out = at.join("out");
    fs::create_dir(&out).unwrap();
    succeed(at, &[table(at, "round BIGINT, a BIGINT"), insert(1)]).await;
    let rounds = 12;
    let mut sql = vec![table(at, "")];
    for round in 2..=rounds {
        let to = text(&out, "a.csv");
        sql.push(marked(&numbers(1000 + round as i64), &to, "csv", ""));
        sql.push(insert(round));
    }
    let job = Job::new(at, sql.clone());
    let writer = tokio::spawn(async move { job.run().await });

    let (mut copies, mut tables) = (0, 0);
    while !writer.is_finished() {
        for path in entries(&out) {
            let name = path.file_name().unwrap().to_str().unwrap();
            // A marker may go before it is copied.
            let copied = at.join("copied");
            if fs::copy(&path, &copied).is_err() {
                assert!(MARKERS.contains(&name), "{name}");
                continue;
            }
            let copied = fs::read_to_string(copied).unwrap();
            match name {
                "a.csv" => {
                    let n = copied.lines().nth(1).unwrap().split(',').nth(1).unwrap();
                    assert_eq!(copied.lines().count(), n.parse::<usize>().unwrap() + 1);
                    assert!(copied.ends_with(&format!("text {n}\n")));
                    copies += 1;
                }
                name if MARKERS.contains(&name) => {
                    let marker: serde_json::Value = serde_json::from_str(&copied).unwrap();
                    assert!(marker["rows"].as_u64().unwrap() > 1000);
                }
                other => panic!("a file called {other}"),
            }
        }
        copy_table(&at.join("t"), &at.join(format!("backup-{tables}")));
        tables += 1;
    }
    let ended = writer.await.unwrap();
    assert!((0..sql.len()).all(|number| ended.done(number)));
    assert!(copies > 1 && tables > 1, "{copies} {tables}");
    println!("{copies} files copied, {tables} tables copied");

    let mut newest = Vec::new();
    for number in 0..tables {
        let ctx = session_at(at);
        let backup = text(at, &format!("backup-{number}"));
        let sql = format!("SELECT max(version) FROM atio_history('{backup}')");
        let version: usize = row(&ctx, &sql).await.parse().unwrap();
        let sql = format!(
            "SELECT count(*), count(DISTINCT round), max(round) FROM (SELECT round + 0 AS round FROM atio_table('{backup}'))"
        );
        let expected = format!("{}|{version}|{version}", version * ROWS);
        assert_eq!(row(&ctx, &sql).await, expected);
        newest.push(version);
    }
    assert!(newest.is_sorted() && newest.last() <= Some(&rounds));
    // A copy is a table: it takes rows.
    let last = text(at, &format!("backup-{}", tables - 1));
    let open = format!("CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{last}'");
    succeed(at, &[open, insert(100)]).await;
}

/// What has a name is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_writer_that_stands_still_has_begun_has_no_name() {
    for (step, published) in [("copy-sync", false), ("copy-published", true)] {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let out = at.join("out");
        fs::create_dir(&out).unwrap();
        let to = text(&out, "a.csv");
        let mut job = Job::new(at, vec![copy(&numbers(700), &to, "csv", "")]);
        job.act = Some((When::Named(step.to_owned()), Act::Stop));
        let child = tokio::task::spawn_blocking(move || {
            let child = job.start();
            child.wait_until_stopped();
            child
        });
        let child = child.await.unwrap();
        let found = entries(&out);
        match published {
            false => assert_eq!(found, [""; 0].map(PathBuf::from), "{step}"),
            true => {
                assert_eq!(found, [out.join("a.csv")], "{step}");
                assert_eq!(fs::read_to_string(&to).unwrap().lines().count(), 701);
            }
        }
        child.kill();
        end(child).await;
    }
}

/// What `cp -r` may give: the data as it was before a commit, the metadata as it is after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_copied_in_the_wrong_order_names_what_is_missing_and_never_gives_wrong_rows() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    succeed(
        at,
        &[table(at, "round BIGINT, a BIGINT"), insert(1), insert(2)],
    )
    .await;
    let (from, torn) = (at.join("t"), at.join("torn"));
    copy_all(&from.join("data"), &torn.join("data"));
    succeed(at, &[table(at, ""), insert(3)]).await;
    copy_all(&from.join("metadata"), &torn.join("metadata"));
    for with_pointer in [false, true] {
        if with_pointer {
            let pointer = "_current_version.json";
            fs::copy(from.join(pointer), torn.join(pointer)).unwrap();
        }
        let ctx = session_at(at);
        let torn = text(at, "torn");
        for sql in ["SELECT a", "SELECT sum(a)", "SELECT max(a + round)"] {
            let said = failure(&ctx, &format!("{sql} FROM atio_table('{torn}')")).await;
            let missing = said.contains("version 3") && said.contains("it is missing");
            assert!(missing && said.contains("data/"), "{said}");
            println!("{said}");
        }
        let older = format!("SELECT round, a FROM atio_table('{torn}', version => 2)");
        let mut expected: Vec<_> = [1, 2]
            .iter()
            .flat_map(|round| (1..=ROWS).map(move |a| format!("{round}|{a}")))
            .collect();
        expected.sort();
        assert_eq!(rows(&ctx, &older).await, expected);
    }

    // The other way round, metadata without the last record is the version before.
    let early = at.join("early");
    copy_all(&from.join("metadata"), &early.join("metadata"));
    succeed(at, &[table(at, ""), insert(4)]).await;
    copy_all(&from.join("data"), &early.join("data"));
    let sql = format!(
        "SELECT count(*), max(round) FROM (SELECT round + 0 AS round FROM atio_table('{}'))",
        text(at, "early")
    );
    assert_eq!(row(&session_at(at), &sql).await, format!("{}|3", 3 * ROWS));
}
