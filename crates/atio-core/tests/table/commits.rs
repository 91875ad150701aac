//! Commits beside each other.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use atio_core::log::{Check, CommitOptions, Committed, Gate, RowChange, Table, Transaction};
use atio_core::{Error, ErrorKind, Result};
use object_store::memory::InMemory;

use super::{append, append_on, create, file, on_disk, on_store};

const WRITERS: usize = 4;
const COMMITS: usize = 10;

/// Passes if every commit of several handles is a version of its own, and holds one row more.
pub(super) async fn writers_beside_each_other(open: impl Fn() -> Arc<Table>) {
    create(&open()).await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let table = open();
            tokio::spawn(async move {
                let mut versions = Vec::new();
                for _ in 0..COMMITS {
                    match append(&table).await.unwrap() {
                        Committed::As(version) => versions.push(version.get()),
                        Committed::Before(version) => panic!("{version} has no key"),
                    }
                }
                versions
            })
        })
        .collect();
    let mut made = BTreeSet::new();
    for writer in writers {
        made.extend(writer.await.unwrap());
    }
    let all = (WRITERS * COMMITS) as u64;
    assert_eq!(made, (1..=all).collect());
    let table = open();
    let newest = table.newest().await.unwrap();
    assert_eq!((newest.version.get(), newest.totals().rows), (all, all));
    let files: Vec<_> = (table.manifests(&newest).await.unwrap().iter())
        .flat_map(|manifest| manifest.files.clone())
        .map(|file| file.path)
        .collect();
    assert_eq!(files.iter().collect::<BTreeSet<_>>().len(), files.len());
    assert_eq!(files.len() as u64, all);
    let history = table.history().await.unwrap();
    assert_eq!(history.len() as u64, all + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_beside_each_other_on_a_disk() {
    let directory = tempfile::tempdir().unwrap();
    writers_beside_each_other(|| on_disk(&directory.path().join("t"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_beside_each_other_on_a_store() {
    let store = Arc::new(InMemory::new());
    writers_beside_each_other(|| on_store(&store)).await;
}

/// The handle that commits knows the version at once, and others find it.
#[tokio::test]
async fn version_that_was_just_made_is_known_without_reading_it() {
    let store = Arc::new(InMemory::new());
    let (ours, other) = (on_store(&store), on_store(&store));
    create(&ours).await;
    for rows in 1..=20 {
        append(&ours).await.unwrap();
        let known = ours.last_seen().unwrap();
        assert_eq!((known.version.get(), known.totals().rows), (rows, rows));
        let read = other.newest().await.unwrap();
        assert_eq!(read.state.manifests, known.state.manifests);
        assert_eq!(read.record.checksum, known.record.checksum);
        assert_eq!(read.arrow, known.arrow);
    }
}

#[tokio::test]
async fn commit_with_a_key_happens_once_however_often_it_is_run() -> Result<()> {
    let store = Arc::new(InMemory::new());
    let (one, two) = (on_store(&store), on_store(&store));
    create(&one).await;
    let keyed = || CommitOptions {
        idempotency_key: Some("load".to_owned()),
        ..CommitOptions::default()
    };
    let base = one.newest().await?;
    let first = append_on(&one, Arc::clone(&base), keyed()).await?;
    // Planned on the same version, so it passes the first.
    let again = append_on(&two, base, keyed()).await?;
    let (Committed::As(made), Committed::Before(found)) = (first, again) else {
        panic!("{first:?} and {again:?}");
    };
    assert_eq!(made, found);
    assert_eq!(two.newest().await?.totals().rows, 1);
    Ok(())
}

#[tokio::test]
async fn statement_on_a_table_that_was_dropped_and_made_again_is_a_conflict() {
    let store = Arc::new(InMemory::new());
    let (ours, other) = (on_store(&store), on_store(&store));
    create(&ours).await;
    let base = ours.newest().await.unwrap();
    other.drop_log_at(None).await.unwrap();
    create(&other).await;
    let error = append_on(&ours, base, CommitOptions::default()).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(other.newest().await.unwrap().totals().rows, 0);
}

/// Only a query engine can ask them, and what nobody has asked does not hold.
#[tokio::test]
async fn commit_with_checks_that_nobody_asks_is_refused() {
    let store = Arc::new(InMemory::new());
    let table = on_store(&store);
    create(&table).await;
    let base = table.newest().await.unwrap();
    let options = CommitOptions {
        checks: vec![Check::new("rows", Arc::new(()))],
        ..CommitOptions::default()
    };
    let error = append_on(&table, base, options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert_eq!(table.newest().await.unwrap().version.get(), 0);
}

/// Its checks may take long: then the time alone says when it has lost often enough.
#[tokio::test(start_paused = true)]
async fn statement_that_is_asked_for_long_does_not_lose_for_ever() {
    let store = Arc::new(InMemory::new());
    let (ours, other) = (on_store(&store), on_store(&store));
    create(&ours).await;
    let base = ours.newest().await.unwrap();
    let txn = Transaction::begin(&ours);
    let files = vec![file(&txn).await.unwrap()];
    let asked: Arc<Mutex<u32>> = Arc::default();
    let count = Arc::clone(&asked);
    let gate = Gate::new(move |_| {
        *count.lock().unwrap() += 1;
        let other = Arc::clone(&other);
        Box::pin(async move {
            append(&other).await?;
            tokio::time::sleep(Duration::from_secs(200)).await;
            Ok(())
        })
    });
    let change = RowChange::append(base.schema.id, Vec::new(), files).behind(gate);
    let options = CommitOptions::default();
    let done = ours.commit(txn, base, change, Vec::new(), options).await;
    assert_eq!(done.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(*asked.lock().unwrap(), 3);
}

/// Each attempt is asked about the version that it would make, and the last one is made.
#[tokio::test]
async fn gate_sees_each_version_that_is_tried_and_can_stop_it() {
    let store = Arc::new(InMemory::new());
    let (ours, other) = (on_store(&store), on_store(&store));
    create(&ours).await;
    for stops in [false, true] {
        let base = ours.newest().await.unwrap();
        let first = base.version.get();
        append(&other).await.unwrap();
        let txn = Transaction::begin(&ours);
        let files = vec![file(&txn).await.unwrap()];
        let seen: Arc<Mutex<Vec<[u64; 4]>>> = Arc::default();
        let sees = Arc::clone(&seen);
        let gate = Gate::new(move |candidate| {
            let (old, new) = (&candidate.old, &candidate.new);
            let rows = (old.totals().rows, new.totals().rows);
            let mut seen = sees.lock().unwrap();
            seen.push([old.version.get(), new.version.get(), rows.0, rows.1]);
            let stop = stops && seen.len() == 2;
            Box::pin(async move {
                match stop {
                    true => Err(Error::new(ErrorKind::CheckFailed, "no")),
                    false => Ok(()),
                }
            })
        });
        let change = RowChange::append(base.schema.id, Vec::new(), files).behind(gate);
        let options = CommitOptions::default();
        let done = ours.commit(txn, base, change, Vec::new(), options).await;
        let tried = [first, first + 1].map(|old| [old, old + 1, old, old + 1]);
        assert_eq!(*seen.lock().unwrap(), tried);
        let newest = other.newest().await.unwrap().version.get();
        match done {
            Ok(done) => assert_eq!(
                (done.version().get(), newest, stops),
                (newest, first + 2, false)
            ),
            Err(error) => {
                assert_eq!((error.kind(), stops), (ErrorKind::CheckFailed, true));
                assert_eq!(newest, first + 1);
            }
        }
    }
}
