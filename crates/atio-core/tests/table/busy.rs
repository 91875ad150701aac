//! An expiry that loses races to writers who never rest.

use std::sync::Arc;

use atio_core::format::Version;
use atio_core::log::{CommitOptions, RowChange, Table, Transaction};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::sync::Mutex;

use super::fault_store::{Fault, FaultStore};
use super::health::appended;
use super::{append, everything, file, handle, on_store};

/// How many versions there are before.
const VERSIONS: u64 = 40;
/// How many of them have to stay.
const RETAINED: u64 = 20;
/// How often another writer comes first.
const RACES: usize = 5;
/// How many versions are new each time, and how many requests more they take together at most.
const NEW: u64 = 2;
const MOST: u64 = 13;

/// A writer whose file is there before the expiry begins, and its version not yet.
async fn slow_writer(store: &Arc<InMemory>) -> (Arc<Table>, Arc<Transaction>, RowChange) {
    let table = on_store(store);
    let base = table.newest().await.unwrap();
    let txn = Transaction::begin(&table);
    let files = vec![file(&txn).await.unwrap()];
    let change = RowChange::append(base.schema.id, Vec::new(), files);
    (table, txn, change)
}

/// Expires while writers make two versions each time just before the expiry does, `races` times; gives the
/// requests of the expiry.
async fn expire(store: &Arc<InMemory>, races: usize) -> u64 {
    let mut writers = Vec::new();
    for _ in 0..races {
        writers.push(slow_writer(store).await);
    }
    let writers = Arc::new(Mutex::new(writers));
    let requests = FaultStore::new(store, u64::MAX, Fault::Before);
    let before_create = Arc::clone(&writers);
    requests.before_records(move || {
        let writers = Arc::clone(&before_create);
        Box::pin(async move {
            if let Some((table, txn, change)) = writers.lock().await.pop() {
                // And one that comes from nowhere.
                append(&table).await.unwrap();
                let base = table.newest().await.unwrap();
                let options = CommitOptions::default();
                let committed = table.commit(txn, base, change, Vec::new(), options).await;
                committed.unwrap();
            }
        })
    });
    let table = handle(Arc::clone(&requests) as Arc<dyn ObjectStore>);
    let mut expiry = everything();
    expiry.retain_last = RETAINED;
    let rows = table.expire(&expiry, None).await.unwrap();
    assert!(rows.iter().all(|row| row.deleted), "{rows:?}");
    assert!(writers.lock().await.is_empty());
    requests.requests()
}

/// The files of the writers were there when the expiry listed, and named by no version: it would
/// have taken them for abandoned.
#[tokio::test]
async fn expiry_that_loses_races_reads_only_what_is_new_and_keeps_what_came_first() {
    let store = appended(VERSIONS).await;
    let alone = expire(&store, 0).await;
    let store = appended(VERSIONS).await;
    let disturbed = expire(&store, RACES).await;
    let each = (disturbed - alone) / RACES as u64;
    println!("{alone} requests, and {each} more for each lost race");
    // Of each version that came first the record, its snapshot and its manifest.
    assert!(each <= MOST, "{each} of {alone}");

    let table = on_store(&store);
    let newest = table.newest().await.unwrap();
    assert_eq!(newest.totals().rows, VERSIONS + NEW * RACES as u64);
    let readable = Version::ZERO.through(newest.version);
    let readable: Vec<_> = readable
        .filter(|version| !newest.has_expired(*version))
        .collect();
    assert!(readable.len() as u64 >= RETAINED + NEW * RACES as u64);
    assert!((readable.len() as u64) < VERSIONS);
    for version in readable {
        let snapshot = table.version(version).await.unwrap();
        for manifest in table.manifests(&snapshot).await.unwrap() {
            for file in &manifest.files {
                let key = Path::from(format!("t/{}", file.path));
                store.head(&key).await.unwrap();
            }
        }
    }
    // What the first expiry let stay goes with the next one.
    table.expire(&everything(), None).await.unwrap();
    let newest = table.newest().await.unwrap();
    assert_eq!(newest.totals().rows, VERSIONS + NEW * RACES as u64);
    for version in Version::ZERO.through(newest.version) {
        // The last that changed rows, and two fences.
        let stays = version.get() >= VERSIONS + NEW * RACES as u64;
        assert_eq!(!newest.has_expired(version), stays, "{version}");
    }
}
