//! The disk is full while a file, a table and a database are written.

use super::*;
use crate::disks::full_or_read_only::{fill_space, memory};
use crate::files::{copy, numbers};
use crate::objects::{assert_same, files};
use crate::processes::statements::EXPIRE;
use crate::query::{row, rows};
use crate::session::session_at;

const FULL: &str = "No space left on device";

/// A file, a table with an old version of some size, and a database.
async fn prepare(at: &Path) {
    let sql = [
        copy(&numbers(10), &text(at, "a.csv"), "csv", ""),
        table(at, "a BIGINT"),
        "INSERT INTO t SELECT value * 7919 % 100003 FROM generate_series(1, 100000)".to_owned(),
        "INSERT OVERWRITE t VALUES (1), (2)".to_owned(),
        database(at, &numbers(1)),
    ];
    succeed(at, &sql).await;
}

fn database(at: &Path, query: &str) -> String {
    let to = text(at, "a.db/t");
    format!("COPY ({query}) TO '{to}' STORED AS SQLITE OPTIONS (if_exists 'replace')")
}

/// More than there is room for, to each of them.
fn too_much(at: &Path) -> [Vec<String>; 4] {
    let insert = "INSERT INTO t SELECT value * 7919 % 10000019 FROM generate_series(1, 4000000)";
    let more = numbers(500_000);
    [
        vec![copy(&more, &text(at, "a.csv"), "csv", "")],
        vec![copy(&more, &text(at, "new.json"), "json", "")],
        vec![table(at, ""), insert.to_owned()],
        vec![database(at, &more)],
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_find_the_disk_full_say_so_and_leave_nothing_and_expiry_makes_room() {
    let Some(mount) = memory("size=4m") else {
        return;
    };
    let at = mount.path();
    prepare(&at).await;
    let before = files(&at);
    for sql in too_much(&at) {
        let last = sql.len() - 1;
        let ended = Job::new(&at, sql.clone()).run().await;
        let failure = ended.failure(last);
        let said = failure.contains(FULL) || failure.contains("database or disk is full");
        assert!(said && !failure.contains("bug"), "{failure}");
        assert_same(&before, &files(&at), failure);
        println!("{failure}");
    }

    // Nothing fits any more, and expiry works.
    fill_space(&at, 0);
    let insert = vec![table(&at, ""), "INSERT INTO t VALUES (3)".to_owned()];
    let ended = Job::new(&at, insert.clone()).run().await;
    assert!(ended.failure(1).contains(FULL), "{:?}", ended.said);
    fill_space(&at, 0);
    let expire = EXPIRE.replace("{t}", &text(&at, "t"));
    succeed(&at, &[expire]).await;
    succeed(&at, &insert).await;
    let csv = copy(&numbers(20), &text(&at, "a.csv"), "csv", "");
    succeed(&at, &[csv, database(&at, &numbers(2))]).await;
    let ctx = session_at(&at);
    rows(&ctx, &table(&at, "")).await;
    assert_eq!(row(&ctx, "SELECT count(*), sum(a) FROM t").await, "3|6");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_that_may_write_no_larger_files_says_so_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    prepare(at).await;
    let before = files(at);
    for sql in too_much(at) {
        let last = sql.len() - 1;
        let mut job = Job::new(at, sql);
        job.file_size = Some(1_000_000);
        // Whoever goes beyond the size is killed, unless the signal is ignored.
        let child = job.start_by(&["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
        let ended = end(child).await;
        let failure = ended.failure(last);
        let said = failure.contains("File too large") || failure.contains("disk I/O error");
        assert!(said && !failure.contains("bug"), "{failure}");
        assert_same(&before, &files(at), failure);
        println!("{failure}");
    }
    let ctx = session_at(at);
    rows(&ctx, &table(at, "")).await;
    assert_eq!(row(&ctx, "SELECT count(*), sum(a) FROM t").await, "2|3");
}
