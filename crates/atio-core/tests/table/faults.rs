//! Each request of a statement fails, is not answered, or is the last of its process: the table
//! is as it was or as it should be, and goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use atio_core::ErrorKind;
use atio_core::log::{CommitOptions, Committed, RowChange, Table, Transaction};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::fault_store::{Fault, FaultStore};
use super::{
    append, append_rows, append_two, create, everything, file, handle, mark, on_store, rewrite,
    rows_left,
};

const FAULTS: [Fault; 3] = [Fault::Before, Fault::After, Fault::Dies];

/// A statement of another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statement {
    Append,
    Overwrite,
    Delete,
    Update,
    /// Marks a row.
    Mark,
    Compact,
    Truncate,
    Expire,
    Drop,
}

impl Statement {
    async fn run(self, table: &Arc<Table>) -> atio_core::Result<()> {
        match self {
            Self::Append => append(table).await.map(drop),
            Self::Overwrite => {
                let base = table.newest().await?;
                let txn = Transaction::begin(table);
                let files = vec![file(&txn).await?];
                let change = RowChange::overwrite(base.schema.id, Vec::new(), files);
                let options = CommitOptions::default();
                let committed = table.commit(txn, base, change, Vec::new(), options);
                committed.await.map(|committed| {
                    assert!(matches!(committed, Committed::As(_)));
                })
            }
            Self::Delete => rewrite(table, RowChange::delete, 0).await.map(drop),
            Self::Update => rewrite(table, RowChange::update, 2).await.map(drop),
            Self::Mark => mark(table).await.map(drop),
            Self::Compact => {
                let compact = |removes, adds, _| RowChange::compact(removes, adds);
                rewrite(table, compact, 1).await.map(drop)
            }
            Self::Truncate => {
                let (base, txn) = (table.newest().await?, Transaction::begin(table));
                let options = CommitOptions::default();
                let truncate = RowChange::truncate();
                let committed = table.commit(txn, base, truncate, Vec::new(), options);
                committed.await.map(drop)
            }
            Self::Expire => table.expire(&everything(), None).await.map(drop),
            Self::Drop => table.drop_log_at(None).await,
        }
    }

    /// The rows of the table after it.
    fn rows(self, before: u64) -> Option<u64> {
        match self {
            Self::Append | Self::Update => Some(before + 1),
            Self::Overwrite => Some(1),
            Self::Delete | Self::Mark => Some(before - 1),
            Self::Truncate => Some(0),
            Self::Compact | Self::Expire => Some(before),
            Self::Drop => None,
        }
    }
}

/// A table with some versions, of which one was overwritten; the newest lists three files.
async fn prepared() -> Arc<InMemory> {
    let store = Arc::new(InMemory::new());
    let table = on_store(&store);
    create(&table).await;
    append(&table).await.unwrap();
    Statement::Overwrite.run(&table).await.unwrap();
    append_two(&table).await.unwrap();
    table.flush().await;
    store
}

/// The same with another file, of four rows, of which two were marked one after the other.
async fn marked() -> Arc<InMemory> {
    let store = prepared().await;
    let table = on_store(&store);
    append_rows(&table, 4).await.unwrap();
    for _ in 0..2 {
        mark(&table).await.unwrap();
    }
    table.flush().await;
    store
}

/// The rows of the newest version, or None if there is no table. Passes if every version that can
/// be read has all of its files, and every other says that it has expired.
async fn check(store: &Arc<InMemory>) -> Option<u64> {
    let table = on_store(store);
    let newest = match table.newest().await {
        Ok(newest) => newest,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::TableNotFound, "{error}");
            return None;
        }
    };
    let mut rows = 0;
    for version in atio_core::format::Version::ZERO.through(newest.version) {
        let snapshot = match table.version(version).await {
            Ok(snapshot) => snapshot,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::VersionExpired, "{error}");
                continue;
            }
        };
        for path in rows_left(&table, &snapshot).await.unwrap().into_keys() {
            let key = Path::from(format!("t/{path}"));
            store.head(&key).await.unwrap_or_else(|error| {
                panic!("version {version} has lost {path}: {error}");
            });
        }
        rows = snapshot.totals().rows;
    }
    Some(rows)
}

/// Lets another process append a row just before the first commit record is created; the flag says
/// whether it has.
fn race(faulty: &FaultStore, store: &Arc<InMemory>) -> Arc<AtomicBool> {
    let raced = Arc::new(AtomicBool::new(false));
    let (store, flag) = (Arc::clone(store), Arc::clone(&raced));
    faulty.before_records(move || {
        let first = !flag.swap(true, Ordering::SeqCst);
        let other = on_store(&store);
        Box::pin(async move {
            if first {
                append(&other).await.unwrap();
            }
        })
    });
    raced
}

async fn check_one(
    (statement, marks): (Statement, bool),
    at: u64,
    fault: Fault,
    races: bool,
) -> bool {
    let store = match marks {
        true => marked().await,
        false => prepared().await,
    };
    let before = check(&store).await.unwrap();
    let faulty = FaultStore::new(&store, at, fault);
    let raced = match races {
        true => race(&faulty, &store),
        false => Arc::default(),
    };
    let table = handle(Arc::clone(&faulty) as Arc<dyn ObjectStore>);
    let running = statement.run(&table);
    // A dead process answers nothing; waiting costs no time here.
    let ended = tokio::time::timeout(Duration::from_secs(3600), running).await;
    if !faulty.met() {
        ended.unwrap().unwrap();
        return false;
    }
    let what = format!("{statement:?}, whose request {at} meets {fault:?}");
    let before = before + u64::from(raced.load(Ordering::SeqCst));
    let (old, new) = (Some(before), statement.rows(before));
    let found = check(&store).await;
    match &ended {
        Ok(Ok(())) => assert_eq!(found, new, "{what}: done"),
        Ok(Err(error)) => {
            let effect = error.kind() == ErrorKind::CommitUnknown
                // What was committed already: the rest is left to the next expiry.
                || matches!(statement, Statement::Expire | Statement::Drop);
            assert!(found == old || effect && found == new, "{what}: {error}");
        }
        Err(_) => assert!(found == old || found == new, "{what}: {found:?}"),
    }
    drop(table);
    // The table goes on, and what was left over goes.
    let next = on_store(&store);
    if found.is_none() {
        create(&next).await;
    }
    append(&next).await.unwrap();
    next.expire(&everything(), None).await.unwrap();
    assert_eq!(check(&store).await, Some(found.unwrap_or(0) + 1), "{what}");
    true
}

async fn sweep(statement: Statement) {
    sweep_in((statement, false), false).await;
}

/// The same where the statement loses its first race.
async fn sweep_raced(statement: Statement) {
    sweep_in((statement, false), true).await;
}

/// Where `marks`, rows of the table are marked before.
async fn sweep_in((statement, marks): (Statement, bool), races: bool) {
    for at in 1.. {
        let mut met = false;
        for fault in FAULTS {
            met |= check_one((statement, marks), at, fault, races).await;
        }
        if !met {
            println!("{statement:?}, races: {races}: {} requests", at - 1);
            assert!(at > 8, "{at}");
            return;
        }
    }
}

/// What follows the answer of one statement may never end: its store does not answer, or its
/// runtime has stopped. The next statement waits for it, and then goes on.
#[test]
fn hint_that_hangs_holds_up_no_expiry() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut hung = 0;
    for at in 1..=14 {
        let (table, faulty, answered) = runtime.block_on(async {
            let faulty = FaultStore::new(&prepared().await, at, Fault::Hangs);
            let table = handle(Arc::clone(&faulty) as Arc<dyn ObjectStore>);
            let answer = tokio::time::timeout(Duration::from_millis(200), append(&table)).await;
            // The hints may be on their way yet.
            tokio::time::sleep(Duration::from_millis(20)).await;
            (table, faulty, matches!(answer, Ok(Ok(_))))
        });
        if !answered || !faulty.met() {
            continue;
        }
        hung += 1;
        // Waiting costs no time here.
        let paused = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let expired = paused.block_on(async {
            let all = everything();
            let expire = table.expire(&all, None);
            let expired = tokio::time::timeout(Duration::from_secs(60), expire).await;
            table.flush().await;
            expired
        });
        expired.expect("it waits for ever").unwrap();
    }
    assert!(hung > 0, "no hint hung");
}

#[tokio::test(start_paused = true)]
async fn append_at_any_fault_is_there_or_not() {
    sweep(Statement::Append).await;
    sweep_raced(Statement::Append).await;
}

#[tokio::test(start_paused = true)]
async fn overwrite_at_any_fault_leaves_the_old_rows_or_the_new() {
    sweep(Statement::Overwrite).await;
}

#[tokio::test(start_paused = true)]
async fn delete_at_any_fault_leaves_the_old_rows_or_the_new() {
    sweep(Statement::Delete).await;
    sweep_raced(Statement::Delete).await;
}

#[tokio::test(start_paused = true)]
async fn update_at_any_fault_leaves_the_old_rows_or_the_new() {
    sweep(Statement::Update).await;
    sweep_raced(Statement::Update).await;
}

#[tokio::test(start_paused = true)]
async fn delete_that_marks_a_row_at_any_fault_leaves_the_old_rows_or_the_new() {
    sweep_in((Statement::Mark, true), false).await;
    sweep_in((Statement::Mark, true), true).await;
}

#[tokio::test(start_paused = true)]
async fn expiry_of_deletion_vectors_at_any_fault_loses_nothing_and_is_finished_by_the_next() {
    sweep_in((Statement::Expire, true), false).await;
}

#[tokio::test(start_paused = true)]
async fn drop_of_a_table_with_marks_at_any_fault_leaves_the_table_or_none() {
    sweep_in((Statement::Drop, true), false).await;
}

#[tokio::test(start_paused = true)]
async fn compaction_at_any_fault_leaves_the_rows_as_they_are() {
    sweep(Statement::Compact).await;
    sweep_raced(Statement::Compact).await;
}

#[tokio::test(start_paused = true)]
async fn truncate_at_any_fault_leaves_all_rows_or_none() {
    sweep(Statement::Truncate).await;
}

#[tokio::test(start_paused = true)]
async fn expiry_at_any_fault_loses_nothing_and_is_finished_by_the_next() {
    sweep(Statement::Expire).await;
}

#[tokio::test(start_paused = true)]
async fn drop_at_any_fault_leaves_the_table_or_none() {
    sweep(Statement::Drop).await;
}
