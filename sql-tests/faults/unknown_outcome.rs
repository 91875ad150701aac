//! Commits whose outcome cannot be known in time, and clients that do not wait for it.

#![cfg(test)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use atio::ErrorKind;
use datafusion::object_store::ObjectStore;

use super::attempt::{Case, End, in_runtime};
use super::call::{Call, Fault, Operation};
use super::cases;
use super::fault_store::FaultStore;
use super::invariants::{kind, open, query, session, verify, verify_next};
use crate::long_form::long;
use crate::session::run;

/// The call that makes version 3, which is the statement's.
fn is_commit(call: &Call) -> bool {
    call.operation == Operation::Create && call.key.ends_with("/v3.metadata.json")
}

fn reads_back(call: &Call) -> bool {
    call.operation == Operation::Get && call.key.ends_with("/v3.metadata.json")
}

/// Runs `case` on a store that breaks every attempt to commit in the way of `fault` and every
/// attempt to read it back.
fn unknown(case: &Case, fault: Fault) {
    // The statement looks for a newer version, too, before it commits.
    let begun = AtomicBool::new(false);
    let attempt = case.attempt(move |call| match call {
        call if is_commit(call) => {
            begun.store(true, Ordering::SeqCst);
            fault
        }
        call if reads_back(call) && begun.load(Ordering::SeqCst) => Fault::Before,
        _ => Fault::None,
    });
    let End::Failed(Some(ErrorKind::CommitUnknown), said) = &attempt.end else {
        panic!("{}: {:?}", case.name, attempt.end);
    };
    assert!(
        said.contains("version 3") && said.contains("atio_history"),
        "{said}"
    );
    // What was tried out on the store before is nobody's.
    let deletes = attempt.calls.iter();
    let deletes = deletes.filter(|call| call.operation == Operation::Delete);
    let deletes: Vec<_> = deletes
        .filter(|call| !call.key.contains("/_atio_tmp/"))
        .collect();
    assert!(deletes.is_empty(), "{}: {deletes:?}", case.name);
    let tries = attempt.calls.iter().filter(|call| reads_back(call)).count();
    assert!(tries > 20, "it gave up after {tries} looks");

    // All or nothing, and which of them is known here.
    let rows = in_runtime(verify(&attempt.objects, case.root)).unwrap();
    let landed = fault != Fault::Before;
    assert_eq!(
        rows,
        if landed {
            case.after.clone()
        } else {
            case.before.clone()
        }
    );
    in_runtime(verify_next(&attempt.objects, case.root, rows)).unwrap();
}

#[test]
fn commit_that_cannot_be_read_back_for_a_minute_is_unknown_and_nothing_is_deleted() {
    // Which a statement with retries does not run again.
    for case in [cases::insert(), cases::overwrite(), cases::checked_update()] {
        unknown(&case, Fault::Before);
        unknown(&case, Fault::After);
        // It lands long after its client gave up.
        unknown(&case, Fault::Late(1_000_000));
    }
}

/// The create lands late: while its client looks for it, or after another took its place.
#[test]
fn commit_that_lands_late_is_there_once_whoever_wins() {
    for case in [cases::insert(), cases::insert_files()] {
        for late in [0, 1, 2, 5] {
            let tries = Arc::new(AtomicU64::new(0));
            let attempt = case.attempt(move |call| match is_commit(call) {
                true if tries.fetch_add(1, Ordering::SeqCst) == 0 => Fault::Late(late),
                _ => Fault::None,
            });
            assert!(
                matches!(attempt.end, End::Done(_)),
                "{late}: {:?}",
                attempt.end
            );
            case.verify(&attempt).unwrap();
        }
    }
}

/// A reply is lost and another writer commits before the reading back: the other's record
/// must not be taken for ours, nor ours be sent twice.
#[test]
fn lost_reply_beside_another_commit_counts_every_row_once() {
    for applied in [Fault::After, Fault::Before] {
        let case = cases::insert();
        let rows = in_runtime(async {
            let objects: Arc<dyn ObjectStore> = Arc::new(case.store.fork());
            let store = FaultStore::new(Arc::clone(&objects));
            let ctx = session(Arc::new(store.clone()));
            query(&ctx, &open(case.root)).await.unwrap();
            let other = session(Arc::clone(&objects));
            query(&other, &open(case.root)).await.unwrap();
            let hit = AtomicBool::new(false);
            store.direct(move |call| {
                let first = is_commit(call) && !hit.swap(true, Ordering::SeqCst);
                let reads = reads_back(call);
                let other = other.clone();
                Box::pin(async move {
                    if reads {
                        query(&other, "INSERT INTO t VALUES (77)").await.unwrap();
                    }
                    if first { applied } else { Fault::None }
                })
            });
            query(&ctx, &case.sql).await.unwrap();
            verify(&objects, case.root).await.unwrap().unwrap()
        });
        let count = |row: &str| rows.iter().filter(|found| *found == row).count();
        assert_eq!((count("4"), count("5")), (1, 1), "{rows:?}");
        assert!(count("77") >= 1, "{rows:?}");
    }
}

/// Drops the statement as soon as it has made its n-th call, before or after that call is
/// done, for every n. What was begun ends in the background, one way or the other.
#[test]
fn statement_that_is_dropped_at_any_call_commits_all_or_nothing() {
    for case in [cases::insert(), cases::insert_files(), cases::overwrite()] {
        let untouched = case.attempt(|_| Fault::None);
        let step = if long() || untouched.calls.len() < 20 {
            1
        } else {
            3
        };
        for at in (1..=untouched.calls.len() as u64).step_by(step) {
            dropped(
                &case,
                at,
                untouched.calls.iter().position(is_commit).unwrap() as u64 + 1,
            );
        }
    }
}

fn dropped(case: &Case, at: u64, commit: u64) {
    in_runtime(async {
        let objects: Arc<dyn ObjectStore> = Arc::new(case.store.fork());
        let store = FaultStore::new(Arc::clone(&objects));
        let ctx = session(Arc::new(store.clone()));
        for sql in &case.open {
            query(&ctx, sql).await.unwrap();
        }
        let (reached, mut told) = tokio::sync::watch::channel(false);
        store.direct(move |call| {
            let reached = (call.number == at).then(|| reached.clone());
            Box::pin(async move {
                if let Some(reached) = reached {
                    reached.send_replace(true);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Fault::None
            })
        });
        let ended = tokio::select! {
            biased;
            _ = told.wait_for(|told| *told) => None,
            ended = run(&ctx, &case.sql) => Some(ended),
        };
        drop(ended);
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(store.open_uploads(), 0, "{} at {at}", case.name);
        let rows = verify(&objects, case.root).await.unwrap();
        let wanted = if at < commit {
            &[&case.before, &case.after][..]
        } else {
            &[&case.after]
        };
        assert!(
            wanted.contains(&&rows),
            "{} at {at} of {commit}: {rows:?}",
            case.name
        );
        verify_next(&objects, case.root, rows).await.unwrap();
    });
}

/// The runtime is shut down in the middle of a commit, as when a process ends: what the store
/// had done stays done, and nothing else happens.
#[test]
fn runtime_that_is_shut_down_in_a_commit_leaves_all_rows_or_none() {
    for (applied, case) in [(false, cases::insert()), (true, cases::overwrite())] {
        let objects: Arc<dyn ObjectStore> = Arc::new(case.store.fork());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (reached, wait) = std::sync::mpsc::channel();
        let (inner, open, sql) = (Arc::clone(&objects), open(case.root), case.sql.clone());
        runtime.spawn(async move {
            let store = FaultStore::new(inner);
            let ctx = session(Arc::new(store.clone()));
            query(&ctx, &open).await.unwrap();
            store.direct(move |call| {
                let stops = match applied {
                    true => call.key.ends_with("_current_version.json"),
                    false => is_commit(call),
                };
                let reached = stops.then(|| reached.clone());
                Box::pin(async move {
                    if let Some(reached) = reached {
                        reached.send(()).unwrap();
                        std::future::pending::<()>().await;
                    }
                    Fault::None
                })
            });
            run(&ctx, &sql).await
        });
        wait.recv().unwrap();
        runtime.shutdown_background();
        in_runtime(async {
            let rows = verify(&objects, case.root).await.unwrap();
            assert_eq!(rows, if applied { case.after } else { case.before });
            verify_next(&objects, case.root, rows).await.unwrap();
        });
    }
}

/// Conflicts that never end are given up after two minutes, and nothing was written.
#[test]
fn append_that_keeps_losing_gives_up_and_leaves_nothing() {
    let case = cases::insert();
    in_runtime(async {
        let objects: Arc<dyn ObjectStore> = Arc::new(case.store.fork());
        let store = FaultStore::new(Arc::clone(&objects));
        let ctx = session(Arc::new(store.clone()));
        query(&ctx, &open(case.root)).await.unwrap();
        let other = session(Arc::clone(&objects));
        query(&other, &open(case.root)).await.unwrap();
        let next = Arc::new(AtomicU64::new(100));
        store.direct({
            let next = Arc::clone(&next);
            move |call| {
                let commits =
                    call.operation == Operation::Create && call.key.ends_with(".metadata.json");
                let (other, next) = (other.clone(), Arc::clone(&next));
                Box::pin(async move {
                    if commits {
                        let row = next.fetch_add(1, Ordering::SeqCst);
                        let sql = format!("INSERT OVERWRITE t VALUES ({row})");
                        query(&other, &sql).await.unwrap();
                        tokio::time::sleep(Duration::from_secs(25)).await;
                    }
                    Fault::None
                })
            }
        });
        let error = run(&ctx, &case.sql).await.unwrap_err();
        assert_eq!(kind(&error), Some(ErrorKind::Conflict), "{error}");
        assert!(error.to_string().contains("gave up"), "{error}");
        tokio::time::sleep(Duration::from_secs(600)).await;
        let last = next.load(Ordering::SeqCst) - 1;
        assert!(last > 102, "it lost only up to {last}");
        let rows = verify(&objects, case.root).await.unwrap();
        assert_eq!(rows, Some(vec![last.to_string()]));
        verify_next(&objects, case.root, rows).await.unwrap();
    });
}
