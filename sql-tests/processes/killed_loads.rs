//! Loads in chunks and streams that are killed at every step, and started again.

use std::path::Path;
use std::time::Duration;

use atio::StreamWriter;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use serde::{Deserialize, Serialize};

use super::job::{Act, Job, When};
use super::leftovers::{copy_all, leftovers};
use super::statements::EXPIRE;
use crate::commit::streams::{batch, of_source};
use crate::long_form::{long, sample};
use crate::query::{row, rows};
use crate::session::session_at;

/// Children at a time.
const PARALLEL: usize = 3;
/// Steps at which one is killed, unless the long form is asked for.
const MOST: usize = 14;
/// What is loaded.
const ROWS: u64 = 25;
/// The rows of a chunk.
const CHUNK: u64 = 10;

/// What a child pushes: a row for each position that is missing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Pushes {
    /// Where the table is.
    pub(crate) table: String,
    pub(crate) until: u64,
}

impl Pushes {
    /// Goes on behind the position, and commits once more at the end.
    pub(super) async fn run(&self, ctx: &SessionContext) -> atio::Result<()> {
        let mut options = of_source("s");
        options.commit_rows = 7;
        options.commit_every = Some(Duration::from_secs(60));
        let mut writer = StreamWriter::open(ctx, &self.table, options).await?;
        let from = writer.position().map_or(1, |position| position + 1);
        for position in from..=self.until {
            let at = i64::try_from(position).unwrap();
            writer.push(batch(at..at + 1), position).await?;
        }
        writer.close().await
    }
}

fn place(at: &Path) -> String {
    let at = at.canonicalize().unwrap().join("t");
    at.to_str().unwrap().to_owned()
}

async fn prepare(at: &Path) {
    std::fs::create_dir_all(at).unwrap();
    let create = format!(
        "CREATE EXTERNAL TABLE t (a BIGINT) STORED AS ATIO LOCATION '{}'",
        place(at)
    );
    rows(&session_at(at), &create).await;
}

/// Loads in chunks, in a session that opens the table first.
fn load(at: &Path) -> Job {
    let statements = [
        format!(
            "CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{}'",
            place(at)
        ),
        "SET datafusion.execution.batch_size = 4".to_owned(),
        "SET datafusion.execution.target_partitions = 1".to_owned(),
        format!("SET atio.commit_every_rows = {CHUNK}"),
        "SET atio.idempotency_key = 'load'".to_owned(),
        format!("INSERT INTO t SELECT value FROM generate_series(1, {ROWS})"),
    ];
    Job::new(at, statements.into())
}

fn stream(at: &Path) -> Job {
    let mut job = Job::new(at, Vec::new());
    job.pushes = Some(Pushes {
        table: place(at),
        until: ROWS,
    });
    job
}

/// How many rows are there; they are the first ones, each once.
async fn count(at: &Path, what: &str) -> u64 {
    let sql = format!(
        "SELECT count(*), coalesce(sum(a), 0) FROM atio_table('{}')",
        place(at)
    );
    let found = row(&session_at(at), &sql).await;
    let (count, sum) = found.split_once('|').unwrap();
    let count: u64 = count.parse().unwrap();
    let sum: u64 = sum.parse().unwrap();
    assert_eq!(sum, count * (count + 1) / 2, "{what}: {count} rows");
    count
}

/// What the newest version says of the one source that it knows.
async fn position(at: &Path) -> Option<u64> {
    let sql = format!("SELECT position FROM atio_sources('{}')", place(at));
    let found = rows(&session_at(at), &sql).await;
    found.first().map(|position| position.parse().unwrap())
}

/// Kills the job at steps that are evenly spread, checks what is there, and runs it again.
async fn kill_and_run_again<C>(job: fn(&Path) -> Job, number: usize, check: C)
where
    C: AsyncFn(&Path, u64, &str),
{
    let directory = tempfile::tempdir().unwrap();
    let prepared = directory.path().join("prepared");
    prepare(&prepared).await;
    let counted = directory.path().join("counted");
    copy_all(&prepared, &counted);
    let steps = job(&counted).steps().await;
    assert_eq!(count(&counted, "not killed").await, ROWS);
    let most = if long() { steps.len() } else { MOST };
    let kills = sample(steps.len(), most).into_iter().map(|step| {
        let (steps, prepared, check) = (&steps, &prepared, &check);
        let at = directory.path().join(step.to_string());
        async move {
            copy_all(prepared, &at);
            let mut killed = job(&at);
            killed.act = Some((When::Step(step + 1), Act::Kill));
            let ended = killed.run().await;
            let what = format!("killed at step {} ({})", step + 1, steps[step]);
            let there = count(&at, &what).await;
            assert!(!ended.done(number) || there == ROWS, "{what}: {there} rows");
            check(&at, there, &what).await;
            let again = job(&at).run().await;
            assert!(again.done(number), "{what}: {:?}", again.said);
            assert_eq!(count(&at, &what).await, ROWS, "{what}, run again");
            let expire = EXPIRE.replace("{t}", &place(&at));
            rows(&session_at(&at), &expire).await;
            assert_eq!(leftovers(&at.join("t")), [""; 0], "{what}: left by expiry");
            assert_eq!(count(&at, &what).await, ROWS, "{what}, after expiry");
            std::fs::remove_dir_all(&at).unwrap();
            (there > 0 && there < ROWS, ended.killed)
        }
    });
    let ended: Vec<_> = futures::stream::iter(kills)
        .buffer_unordered(PARALLEL)
        .collect()
        .await;
    let went_on = ended.iter().filter(|(went_on, _)| *went_on).count();
    let killed = ended.iter().filter(|(_, killed)| *killed).count();
    println!(
        "{} steps, killed at {killed}, went on at {went_on}",
        steps.len()
    );
    assert!(killed > 0 && went_on > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_in_chunks_that_is_killed_at_any_step_goes_on_and_writes_each_row_once() {
    kill_and_run_again(load, 5, async |at: &Path, there: u64, what: &str| {
        assert!(
            there.is_multiple_of(CHUNK) || there == ROWS,
            "{what}: {there} rows"
        );
        let expected = (there > 0 && there < ROWS).then_some(there);
        assert_eq!(position(at).await, expected, "{what}: rows of the load");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stream_that_is_killed_at_any_step_goes_on_and_writes_each_row_once() {
    kill_and_run_again(stream, 0, async |at: &Path, there: u64, what: &str| {
        let expected = (there > 0).then_some(there);
        assert_eq!(
            position(at).await,
            expected,
            "{what}: position of the source"
        );
    })
    .await;
}
