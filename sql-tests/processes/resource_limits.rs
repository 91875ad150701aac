//! A process that may not have more files, larger files, or any here at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::statements::INSERT;
use crate::long_form::long;
use crate::objects::{assert_same, files};
use crate::query::rows;
use crate::session::session_at;

/// The insert fails with `words` under the first of `limits`, and passes under the last.
async fn sweep(limits: &[u64], words: &str, limit: impl Fn(&mut super::job::Job, u64)) {
    let directory = tempfile::tempdir().unwrap();
    let prepared = directory.path().join("prepared");
    INSERT.prepare(&prepared).await;
    let before = files(&prepared.join("t"));
    let mut passed = Vec::new();
    for &value in limits {
        let at = directory.path().join(value.to_string());
        INSERT.copy(&prepared, &at);
        let mut job = INSERT.job(&at);
        limit(&mut job, value);
        // Whoever goes beyond the size is killed, unless the signal is ignored.
        let child = job.start_by(&["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
        let ended = tokio::task::spawn_blocking(|| child.end()).await.unwrap();
        let done = ended.done(INSERT.number());
        if !done {
            let failure = ended.said.iter().find(|line| line.starts_with("failed"));
            let failure = failure.unwrap_or_else(|| panic!("{:?}", ended.said));
            assert!(failure.contains(words), "{value}: {failure}");
            assert_same(&before, &files(&at.join("t")), failure);
        }
        INSERT.check(&at, done, &format!("limit {value}")).await;
        passed.push(done);
    }
    assert_eq!(passed.first(), Some(&false), "{limits:?}");
    assert_eq!(passed.last(), Some(&true), "{limits:?}");
    println!("{limits:?}: {passed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_that_may_open_no_more_files_fails_and_commits_nothing() {
    let all: Vec<u64> = match long() {
        true => (9..30).chain([64]).collect(),
        false => vec![8, 9, 10, 11, 64],
    };
    sweep(&all, "Too many open files", |job, limit| {
        job.open_files = Some(limit);
    })
    .await;
}

/// A table of many small files and versions, read, told and expired by a process that may
/// open few files: it reads fewer at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_that_may_open_few_files_reads_and_expires_hundreds_of_versions() {
    const VERSIONS: usize = 210;
    let directory = tempfile::tempdir().unwrap();
    let prepared = directory.path().join("prepared");
    fs::create_dir_all(&prepared).unwrap();
    let ctx = session_at(&prepared);
    let at = prepared.canonicalize().unwrap();
    let create = format!(
        "CREATE EXTERNAL TABLE t (a BIGINT) STORED AS ATIO LOCATION '{}/t' OPTIONS ('atio.durability' 'none')",
        at.display()
    );
    rows(&ctx, &create).await;
    for n in 1..=VERSIONS {
        rows(&ctx, &format!("INSERT INTO t VALUES ({n})")).await;
    }
    for limit in [24, 32, 64] {
        let at = directory.path().join(limit.to_string());
        super::leftovers::copy_all(&prepared, &at);
        let table = at.join("t").to_str().unwrap().to_owned();
        let statements = [
            "CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{t}'",
            "SELECT 1 / CAST(count(*) = 210 AS INT) FROM atio_history('{t}') WHERE rows_added = 1",
            "SELECT 1 / CAST(sum(a) = 22155 AS INT) FROM t",
            "SELECT 1 / CAST(count(*) = 210 AS INT) FROM atio_files('{t}')",
            "SELECT 1 / CAST(count(*) = 100 AS INT) FROM (SELECT a FROM atio_table('{t}', version => 100))",
            "SET atio.idempotency_key = 'k'",
            "INSERT INTO t VALUES (211)",
            "SELECT 1 / CAST(count(*) > 0 AS INT) FROM expire_snapshots('{t}', keep_for => INTERVAL '0 days', dry_run => false) WHERE deleted",
            "SELECT 1 / CAST(sum(a) = 22366 AS INT) FROM t",
            "INSERT OVERWRITE t SELECT a FROM t",
            "SELECT 1 / CAST(count(*) > 210 AS INT) FROM expire_snapshots('{t}', keep_for => INTERVAL '0 days', dry_run => false) WHERE deleted",
            "SELECT 1 / CAST(sum(a) = 22366 AS INT) FROM t",
        ];
        let statements = statements.map(|sql| sql.replace("{t}", &table));
        let mut job = super::job::Job::new(&at, statements.to_vec());
        job.open_files = Some(limit);
        let child = job.start();
        let ended = tokio::task::spawn_blocking(|| child.end()).await.unwrap();
        for (number, sql) in statements.iter().enumerate() {
            let said = &ended.said;
            assert!(ended.done(number), "limit {limit}: {sql}: {said:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_that_may_write_no_larger_files_fails_and_commits_nothing() {
    let all: Vec<u64> = match long() {
        true => (0..2500).step_by(100).chain([100_000]).collect(),
        false => vec![1, 500, 900, 1300, 100_000],
    };
    sweep(&all, "File too large", |job, limit| {
        job.file_size = Some(limit);
    })
    .await;
}

fn set_mode(folder: &Path, mode: u32) {
    fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn directory_that_may_not_be_written_or_searched_is_told_by_its_path() {
    for (folder, mode) in [
        ("t/_atio_tmp", 0o555),
        ("t/metadata", 0o555),
        ("t/data", 0o555),
        ("t/metadata", 0o000),
        ("t", 0o000),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        INSERT.prepare(at).await;
        let folder = at.join(folder);
        set_mode(&folder, mode);
        let mut job = INSERT.job(at);
        job.obeys_modes = true;
        let ended = job.run().await;
        set_mode(&folder, 0o755);
        assert!(!ended.done(INSERT.number()), "{folder:?} {mode:o}");
        let failure = ended.said.iter().find(|line| line.starts_with("failed"));
        let failure = failure.unwrap();
        let name = match folder == at.join("t") {
            true => folder.to_str().unwrap(),
            false => folder.file_name().unwrap().to_str().unwrap(),
        };
        assert!(
            failure.contains("Permission denied") && failure.contains(name),
            "{folder:?} {mode:o}: {failure}"
        );
        println!("{failure}");
        INSERT.check(at, false, failure).await;
    }
}
