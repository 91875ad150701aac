//! Memory does not grow with the rows: measured from outside, in a process for each size.

use super::job::Job;
use crate::query::row;
use crate::session::session_at;

/// What the pool of the session may give out, in bytes.
const POOL: usize = 64 * 1024 * 1024;
/// The bytes of a row.
const ROW: usize = 16 * 1024;

/// The most memory that a process had which inserted `bytes` of rows, in kB.
async fn peak(bytes: usize) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().canonicalize().unwrap();
    let statements = [
        format!(
            "CREATE EXTERNAL TABLE t (a BIGINT, b TEXT) STORED AS ATIO LOCATION '{}/t' \
             OPTIONS ('atio.compression' 'uncompressed')",
            at.display()
        ),
        "SET datafusion.execution.batch_size = 64".to_owned(),
        format!(
            "INSERT INTO t SELECT value, concat(value, repeat('x', {ROW})) FROM generate_series(1, {})",
            bytes / ROW
        ),
    ];
    let last = statements.len() - 1;
    let mut job = Job::new(&at, statements.into());
    job.pool = Some(POOL);
    let ended = job.run().await;
    assert!(ended.done(last), "{:?}", ended.said);
    let counted = format!("SELECT count(*) FROM atio_table('{}/t')", at.display());
    let counted = row(&session_at(&at), &counted).await;
    assert_eq!(counted, (bytes / ROW).to_string());
    let peak = ended
        .said
        .iter()
        .find_map(|line| line.strip_prefix("peak "));
    peak.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn insert_of_ten_times_the_memory_of_the_session_keeps_its_size() {
    let low = peak(POOL).await;
    let high = peak(POOL * 21 / 2).await;
    println!("{low} kB for the memory of the session, {high} kB for ten times as much");
    // What is encoded is uploaded in parts of ten megabytes, of which some are under way at once: more
    // where the disk is busy. All rows are six hundred megabytes more.
    let room = 250_000;
    assert!(high < low + room, "{low} kB became {high} kB");
}
