//! Many processes on one table on a real disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::child::Child;
use super::job::Job;
use super::statements::{EXPIRE, INSERT};
use crate::long_form::long;
use crate::query::{row, rows};
use crate::session::session_at;

fn location(at: &Path) -> String {
    at.join("t").canonicalize().unwrap().display().to_string()
}

/// Opens the table, then inserts one number after the other, from `first` on.
fn appends(at: &Path, first: usize, count: usize) -> Job {
    let open = format!(
        "CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{}'",
        location(at)
    );
    let inserts = (first..first + count).map(|a| format!("INSERT INTO t VALUES ({a})"));
    Job::new(at, [open].into_iter().chain(inserts).collect())
}

async fn create(at: &Path) {
    let sql = format!(
        "CREATE EXTERNAL TABLE t (a BIGINT) STORED AS ATIO LOCATION '{}/t'",
        at.display()
    );
    rows(&session_at(at), &sql).await;
}

/// What every insert came to: numbers that were begun, with true if acknowledged.
fn outcomes(said: &[String], first: usize, into: &mut BTreeMap<usize, bool>) {
    for line in said {
        let mut words = line.split(' ');
        let (verb, number) = (words.next().unwrap(), words.next());
        let Some(number) = number.and_then(|number| number.parse::<usize>().ok()) else {
            continue;
        };
        // The first statement opens the table.
        let Some(number) = number.checked_sub(1) else {
            continue;
        };
        match verb {
            "begin" => drop(into.insert(first + number, false)),
            "done" => drop(into.insert(first + number, true)),
            _ => {}
        }
    }
}

/// Acknowledged rows exactly once, others at most once, and no others.
async fn check_rows(at: &Path, outcomes: &BTreeMap<usize, bool>) -> usize {
    let sql = format!("SELECT a FROM atio_table('{}')", location(at));
    let mut found = BTreeMap::<usize, usize>::new();
    for a in rows(&session_at(at), &sql).await {
        *found.entry(a.parse().unwrap()).or_default() += 1;
    }
    for (a, times) in &found {
        assert!(outcomes.contains_key(a), "{a} was never written");
        assert_eq!(*times, 1, "{a} is there {times} times");
    }
    for (a, acknowledged) in outcomes {
        assert!(
            !acknowledged || found.contains_key(a),
            "{a} was acknowledged and is lost"
        );
    }
    found.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_append_at_once_lose_nothing_and_make_one_version_each() {
    let (processes, each) = if long() { (8, 50) } else { (4, 10) };
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    create(at).await;
    let started = Instant::now();
    let children: Vec<Child> = (0..processes)
        .map(|number| appends(at, number * 1000, each).start())
        .collect();
    let mut all = BTreeMap::new();
    for (number, child) in children.into_iter().enumerate() {
        let ended = tokio::task::spawn_blocking(|| child.end()).await.unwrap();
        outcomes(&ended.said, number * 1000, &mut all);
    }
    assert_eq!(all.len(), processes * each);
    assert!(all.values().all(|acknowledged| *acknowledged), "{all:?}");
    assert_eq!(check_rows(at, &all).await, processes * each);
    let sql = format!(
        "SELECT count(*), max(version) FROM atio_history('{}')",
        location(at)
    );
    let total = processes * each;
    assert_eq!(
        row(&session_at(at), &sql).await,
        format!("{}|{total}", total + 1)
    );
    INSERT.check_history(at, "after many appends").await;
    println!(
        "{processes} processes made {total} versions in {:.1} s",
        started.elapsed().as_secs_f64()
    );
}

/// The same load in several processes, one of which is killed and started again: with keys
/// each of its statements is there once, and every process is told that it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_run_the_same_load_with_keys_commit_each_statement_once() {
    let (processes, statements) = if long() { (6, 30) } else { (3, 8) };
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    create(at).await;
    let load = || {
        let open = format!(
            "CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{}'",
            location(at)
        );
        let keyed = (0..statements).flat_map(|a| {
            [
                format!("SET atio.idempotency_key = 'load-{a}'"),
                format!("INSERT INTO t VALUES ({a})"),
            ]
        });
        Job::new(at, [open].into_iter().chain(keyed).collect())
    };
    let children: Vec<Child> = (0..processes).map(|_| load().start()).collect();
    let mut killed = load().start();
    for _ in 0..7 {
        killed.next();
    }
    killed.kill();
    let mut ended = vec![tokio::task::spawn_blocking(|| killed.end()).await.unwrap()];
    for child in children.into_iter().chain([load().start()]) {
        ended.push(tokio::task::spawn_blocking(|| child.end()).await.unwrap());
    }
    for ended in &ended[1..] {
        let done = ended.said.iter().filter(|line| line.starts_with("done"));
        assert_eq!(done.count(), 2 * statements + 1, "{:?}", ended.said);
    }
    let ctx = session_at(at);
    let table = format!(
        "SELECT count(*), count(DISTINCT a) FROM atio_table('{}')",
        location(at)
    );
    assert_eq!(
        row(&ctx, &table).await,
        format!("{statements}|{statements}")
    );
    let history = format!(
        "SELECT max(version), count(DISTINCT idempotency_key) FROM atio_history('{}')",
        location(at)
    );
    assert_eq!(
        row(&ctx, &history).await,
        format!("{statements}|{statements}")
    );
}

/// Writers that are killed at any moment and started anew, beside an expiry without mercy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_are_killed_beside_an_expiry_that_spares_nothing_lose_nothing() {
    let time = Duration::from_secs(if long() { 30 } else { 4 });
    let writers: usize = if long() { 6 } else { 3 };
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    create(at).await;
    // Two of them, which meet each other too.
    let mut expiry = Job::new(at, vec![EXPIRE.replace("{t}", &location(at))]);
    expiry.again = 1_000_000;
    let expirers = [expiry.start(), expiry.start()];
    let until = Instant::now() + time;
    let handles: Vec<_> = (0..writers)
        .map(|number| {
            let at = at.to_owned();
            std::thread::spawn(move || write_and_be_killed(&at, number, until))
        })
        .collect();
    let (mut all, mut kills) = (BTreeMap::new(), 0);
    for handle in handles {
        let (outcomes, killed) = handle.join().unwrap();
        all.extend(outcomes);
        kills += killed;
    }
    let mut expiries = 0;
    for expirer in expirers {
        expirer.kill();
        let ended = tokio::task::spawn_blocking(|| expirer.end()).await.unwrap();
        let failed = ended.said.iter().find(|line| line.starts_with("failed"));
        assert_eq!(failed, None);
        let done = ended.said.iter().filter(|line| line.starts_with("done"));
        expiries += done.count();
    }
    assert!(expiries > 0);
    let found = check_rows(at, &all).await;
    let acknowledged = all.values().filter(|acknowledged| **acknowledged).count();
    assert!(acknowledged > 0);
    println!(
        "{} inserts, {acknowledged} acknowledged, {found} there, {kills} kills, {expiries} expiries",
        all.len()
    );
    let check = row(&session_at(at), &EXPIRE.replace("{t}", &location(at))).await;
    assert!(check.parse::<usize>().is_ok());
    assert_eq!(super::leftovers::leftovers(&at.join("t")), [""; 0]);
    INSERT.check_history(at, "after kills and expiries").await;
}

/// Starts one writer after the other, and kills each after some of its inserts.
fn write_and_be_killed(at: &Path, number: usize, until: Instant) -> (BTreeMap<usize, bool>, usize) {
    let (mut all, mut kills) = (BTreeMap::new(), 0);
    let mut first = (number + 1) * 1_000_000;
    while Instant::now() < until {
        let mut child = appends(at, first, 1000).start();
        // Not the same number of lines each time, and a moment in the midst of an insert.
        for _ in 0..3 + (kills * 7 + number * 3) % 12 {
            child.next();
        }
        std::thread::sleep(Duration::from_millis(
            ((kills * 13 + number * 5) % 40) as u64,
        ));
        child.kill();
        let ended = child.end();
        outcomes(&ended.said, first, &mut all);
        for line in ended.said.iter().filter(|line| line.starts_with("failed")) {
            // An expiry that spares nothing takes running transactions for abandoned.
            assert!(
                line.contains("Revoked") || line.contains("Conflict"),
                "{line}"
            );
        }
        kills += usize::from(ended.killed);
        first += 1000;
    }
    (all, kills)
}
