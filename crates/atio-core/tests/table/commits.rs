//! Commits beside each other.

use std::collections::BTreeSet;
use std::sync::Arc;

use atio_core::log::{CommitOptions, Committed, Table};
use atio_core::{ErrorKind, Result};
use object_store::memory::InMemory;

use super::{append, append_on, create, on_disk, on_store};

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
