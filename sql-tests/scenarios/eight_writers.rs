//! Many processes write one file and one table at once.

use std::collections::BTreeSet;

use atio::Marker;

use super::*;
use crate::files::{crc32c, marked, names, read, said};
use crate::long_form::long;
use crate::query::{row, rows};
use crate::session::session_at;

const PROCESSES: i64 = 8;

/// The rows that are the whole of writer `n`, in its round.
fn numbers(writer: i64, round: i64) -> i64 {
    1000 * writer + round
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_processes_leave_one_whole_file_and_every_version() {
    let rounds = if long() { 20 } else { 4 };
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let to = text(at, "shared.csv");
    succeed(at, &[table(at, "a BIGINT")]).await;

    let mut writers = Vec::new();
    for writer in 1..=PROCESSES {
        let mut sql = vec![table(at, "")];
        for round in 0..rounds {
            let n = numbers(writer, round);
            sql.push(marked(&crate::files::numbers(n), &to, "csv", ""));
            sql.push(format!("INSERT INTO t VALUES ({n})"));
        }
        let job = Job::new(at, sql);
        writers.push(tokio::spawn(async move { job.run().await }));
    }

    // A reader beside them sees what one of them wrote, whole, and no version go away.
    let ctx = session_at(at);
    rows(&ctx, &table(at, "")).await;
    let (mut seen, mut rows_before) = (BTreeSet::new(), 0);
    while !writers.iter().all(|writer| writer.is_finished()) {
        if let Ok(text) = std::fs::read_to_string(&to) {
            let last = text.lines().last().unwrap().split(',');
            let last: Vec<_> = last.collect();
            assert_eq!(last[..2], [last[0], last[0]], "the last line is another's");
            let n: usize = last[0].parse().unwrap();
            assert_eq!(text.lines().count(), n + 1);
            assert!(text.ends_with(&format!("text {n}\n")));
            seen.insert(n);
        }
        let count: i64 = row(&ctx, "SELECT count(*) FROM t").await.parse().unwrap();
        assert!(count >= rows_before, "{count} rows after {rows_before}");
        rows_before = count;
    }
    assert!(seen.len() > 1, "{seen:?}");

    for writer in writers {
        let ended = writer.await.unwrap();
        let statements = usize::try_from(1 + 2 * rounds).unwrap();
        assert!(
            (0..statements).all(|number| ended.done(number)),
            "{:?}",
            ended.said
        );
    }
    let marker = Marker::read(&to).unwrap().unwrap();
    let n = i64::try_from(marker.rows).unwrap();
    assert!((1..=PROCESSES).any(|writer| numbers(writer, rounds - 1) == n));
    assert_eq!(read(&to, "csv").await, said(n));
    assert_eq!(marker.hash, crc32c(Path::new(&to)));
    let left = [".shared.csv._SUCCESS", "shared.csv", "t", "warehouse"];
    assert_eq!(names(at), left);

    let all = PROCESSES * rounds;
    let sql = "SELECT count(*), count(DISTINCT a), min(a), max(a) FROM t";
    let most = numbers(PROCESSES, rounds - 1);
    assert_eq!(row(&ctx, sql).await, format!("{all}|{all}|1000|{most}"));
    let sql = "SELECT count(*), max(version), sum(rows_added), max(rows) FROM atio_history('t')";
    assert_eq!(
        row(&ctx, sql).await,
        format!("{}|{all}|{all}|{all}", all + 1)
    );
    println!("{} versions, {} files seen", all + 1, seen.len());
}
