//! Faults of one kind of call, for as long as a statement runs.

#![cfg(test)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use atio::ErrorKind;
use datafusion::object_store::ObjectStore;

use super::attempt::{Attempt, Case, End, in_runtime};
use super::call::{Call, Fault, Operation};
use super::cases;
use super::fault_store::FaultStore;
use super::invariants::{EXPIRE_ALL, open, query, session, verify};
use super::raw_log::Log;
use crate::long_form::long;
use crate::session::run;

fn passes(case: &Case, script: impl Fn(&Call) -> Fault + Send + Sync + 'static) -> Attempt {
    let attempt = case.attempt(script);
    if let Err(wrong) = case.verify(&attempt) {
        panic!("{}: {:?}: {wrong}", case.name, attempt.end);
    }
    let hit = |call: &Call| call.fault != Fault::None;
    assert!(attempt.calls.iter().any(hit), "{}: no fault", case.name);
    attempt
}

/// Everything that is read is cut short, one object after the other: an error, or the same
/// rows where it was only a hint.
#[test]
fn truncated_reads_give_an_error_and_never_fewer_rows() {
    let mut all = cases::reading();
    // It shows what is damaged as damaged.
    all.retain(|case| case.name != "atio_history");
    all.extend([cases::insert(), cases::overwrite(), cases::expire()]);
    all.push(cases::merging_insert());
    for case in &all {
        let untouched = case.attempt(|_| Fault::None);
        let gets = untouched.calls.iter();
        let gets = gets.filter(|call| call.operation == Operation::Get).count();
        let step = if long() { 1 } else { 4 };
        for at in (1..=gets as u64).step_by(step) {
            let count = AtomicU64::new(0);
            passes(case, move |call| match call.operation {
                Operation::Get if count.fetch_add(1, Ordering::SeqCst) + 1 == at => {
                    Fault::Truncated
                }
                _ => Fault::None,
            });
        }
    }
}

/// A listing that breaks at its first, middle and last object stops an expiry before it has
/// deleted anything, and a DROP before it is over.
#[test]
fn listing_that_breaks_midway_deletes_nothing() {
    for (case, expires) in [(cases::expire(), true), (cases::drop_table(), false)] {
        let untouched = case.attempt(|_| Fault::None);
        let items = untouched.calls.iter();
        let items = items
            .filter(|call| call.operation == Operation::Item)
            .count() as u64;
        let step = if long() { 1 } else { items / 2 };
        for at in (1..=items).step_by(step as usize) {
            let count = AtomicU64::new(0);
            let attempt = passes(&case, move |call| match call.operation {
                Operation::Item if count.fetch_add(1, Ordering::SeqCst) + 1 == at => Fault::Before,
                _ => Fault::None,
            });
            let End::Failed(..) = attempt.end else {
                panic!("{}: {:?}", case.name, attempt.end);
            };
            let deletes = attempt.calls.iter();
            let deletes = deletes.filter(|call| call.operation == Operation::Delete);
            assert!(deletes.count() == 0 || !expires, "{}", case.name);
        }
    }
}

/// The listing of a store that is behind misses what was written last: it is not deleted
/// then, and nothing else is.
#[test]
fn stale_listing_makes_expiry_delete_less_and_nothing_that_lives() {
    let case = cases::expire();
    let stale = |call: &Call| match call.operation {
        Operation::List => Fault::Stale,
        _ => Fault::None,
    };
    in_runtime(async {
        let objects: Arc<dyn ObjectStore> = Arc::new(case.store.fork());
        let store = FaultStore::new(Arc::clone(&objects));
        store.keep_listing().await;
        let ctx = session(Arc::clone(&objects));
        query(&ctx, &open(case.root)).await.unwrap();
        query(&ctx, "INSERT OVERWRITE t VALUES (7)").await.unwrap();
        query(&ctx, EXPIRE_ALL).await.unwrap();
        query(&ctx, "INSERT INTO t VALUES (8)").await.unwrap();

        store.script(stale);
        let behind = session(Arc::new(store.clone()));
        query(&behind, &open(case.root)).await.unwrap();
        query(&behind, EXPIRE_ALL).await.unwrap();
        let hit = |call: &Call| call.fault == Fault::Stale;
        assert!(store.calls().iter().any(hit));
        for expected in [["7", "8"], ["7", "8"]] {
            let rows = verify(&objects, case.root).await.unwrap();
            assert_eq!(rows, Some(expected.map(str::to_owned).to_vec()));
            query(&ctx, EXPIRE_ALL).await.unwrap();
        }
        let log = Log::read(objects.as_ref(), case.root).await.unwrap();
        assert_eq!(log.leftovers().unwrap(), Vec::<String>::new());
    });
}

/// The pointer is a hint: without it, or where it is behind, the newest version is found.
#[test]
fn pointer_that_cannot_be_written_or_read_hides_nothing() {
    let pointer = |call: &Call| call.key.ends_with("_current_version.json");
    for case in [
        cases::insert(),
        cases::overwrite(),
        cases::expire(),
        cases::create(),
    ] {
        let attempt = passes(&case, move |call| match pointer(call) {
            true if call.operation == Operation::Put => Fault::Before,
            _ => Fault::None,
        });
        assert!(matches!(attempt.end, End::Done(_)), "{:?}", attempt.end);
    }
}

/// What cannot be deleted is told row by row; the next expiry finishes it.
#[test]
fn expiry_whose_deletes_fail_is_a_success_that_says_what_is_left() {
    let mut case = cases::expire();
    case.sql = EXPIRE_ALL.replace(
        "SELECT path",
        "SELECT count(*), count(*) FILTER (WHERE deleted)",
    );
    for from in [0, 1, 3] {
        let deletes = AtomicU64::new(0);
        let attempt = passes(&case, move |call| match call.operation {
            Operation::Delete if call.key.contains("/_atio_tmp/") => Fault::None,
            Operation::Delete if deletes.fetch_add(1, Ordering::SeqCst) >= from => Fault::Before,
            _ => Fault::None,
        });
        let End::Done(rows) = attempt.end else {
            panic!("{:?}", attempt.end);
        };
        let (all, deleted) = rows[0].split_once('|').unwrap();
        assert_eq!(deleted, from.to_string());
        assert!(all.parse::<u64>().unwrap() > from);
    }
}

/// A store that lets a create replace what is there loses a commit, and the checks see it.
#[test]
fn checks_see_a_commit_that_another_replaced() {
    let case = cases::insert();
    let verdict = in_runtime(async {
        let objects: Arc<dyn ObjectStore> = Arc::new(case.store.fork());
        let store = FaultStore::new(Arc::clone(&objects));
        store.script(|call| match call.operation {
            Operation::Create if call.key.ends_with(".metadata.json") => Fault::Unconditional,
            _ => Fault::None,
        });
        let ctx = session(Arc::new(store.clone()));
        query(&ctx, &open(case.root)).await.unwrap();
        let frame = ctx.sql(&case.sql).await.unwrap();
        let plan = frame.create_physical_plan().await.unwrap();
        let other = session(Arc::clone(&objects));
        query(&other, &open(case.root)).await.unwrap();
        query(&other, "INSERT INTO t VALUES (77)").await.unwrap();
        let ended = datafusion::physical_plan::collect(plan, ctx.task_ctx()).await;
        (ended.is_ok(), verify(&objects, case.root).await)
    });
    let (true, Ok(Some(rows))) = verdict else {
        panic!("{verdict:?}");
    };
    assert!(
        !rows.contains(&"77".to_owned()),
        "nothing is lost: {rows:?}"
    );
}

/// A put that the store forgot after it said yes is damage that is named, not fewer rows.
#[test]
fn lost_objects_are_named_and_never_read_as_fewer_rows() {
    for lost in ["/data/", "/manifest-", "/snapshot-"] {
        let case = cases::insert();
        let attempt = case.attempt(move |call| match call.key.contains(lost) {
            true => Fault::Lost,
            false => Fault::None,
        });
        let found = in_runtime(async {
            let ctx = session(Arc::clone(&attempt.objects));
            run(&ctx, &open(case.root)).await?;
            run(&ctx, "SELECT a FROM t").await
        });
        match (&attempt.end, found) {
            (End::Done(_), Err(error)) => {
                assert!(error.to_string().contains(lost), "{lost}: {error}");
            }
            (End::Failed(kind, _), Ok(_)) => assert_eq!(*kind, Some(ErrorKind::Damaged)),
            (end, found) => panic!("{lost}: {end:?}, {found:?}"),
        }
    }
}
