//! Every call of every statement fails once, in every way; every call is once the last.

#![cfg(test)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::attempt::{Case, End, in_runtime};
use super::call::{Call, Fault, Operation};
use super::cases;
use super::invariants::{query, session, verify};
use crate::long_form::long;

/// What is done to the n-th call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Fault(Fault),
    /// Nothing is done from the n-th call on.
    Crash,
    /// The n-th call is the last that is done, and its answer is not heard any more.
    CrashAfter,
}

const MODES: [Mode; 5] = [
    Mode::Fault(Fault::Before),
    Mode::Fault(Fault::After),
    Mode::Crash,
    Mode::Fault(Fault::Late(1_000_000)),
    Mode::CrashAfter,
];

/// A script with a fault at each of `faults`, by the number of the call. The objects of a
/// listing are counted only where `items`.
fn script(faults: Vec<(u64, Mode)>, items: bool) -> impl Fn(&Call) -> Fault + Send + Sync {
    let count = AtomicU64::new(0);
    move |call| {
        let counts = items || call.operation != Operation::Item;
        let number = count.fetch_add(u64::from(counts), Ordering::SeqCst) + 1;
        let fault = |(at, mode): &(u64, Mode)| match mode {
            Mode::Fault(fault) => (number == *at && counts).then_some(*fault),
            Mode::Crash => (number >= *at).then_some(Fault::Never),
            Mode::CrashAfter if number == *at && counts => Some(Fault::Hang),
            Mode::CrashAfter => (number > *at).then_some(Fault::Never),
        };
        faults.iter().find_map(fault).unwrap_or(Fault::None)
    }
}

/// Runs `case` with `faults` and checks everything; false if the statement made no such call.
fn check(case: &Case, faults: Vec<(u64, Mode)>, items: bool) -> bool {
    let attempt = case.attempt(script(faults.clone(), items));
    let Some(hit) = attempt.calls.iter().find(|call| call.fault != Fault::None) else {
        assert!(
            matches!(attempt.end, End::Done(_)),
            "{} without a fault: {:?}",
            case.name,
            attempt.end
        );
        return false;
    };
    if let Err(wrong) = case.verify(&attempt) {
        let calls = attempt.calls.iter().map(|call| format!("{call:?}"));
        panic!(
            "{} with {faults:?}, which hits the {:?} of {}, ends with {:?}: {wrong}\n{}",
            case.name,
            hit.operation,
            hit.key,
            attempt.end,
            calls.collect::<Vec<_>>().join("\n")
        );
    }
    true
}

/// Fails each call of `case` in turn until the statement passes without meeting a fault.
/// In the long form each call fails in each way that differs for it, and always those that
/// commit; else the ways take turns, and of many calls every third is tried.
fn sweep(case: &Case) {
    let untouched = case.attempt(|_| Fault::None);
    case.verify(&untouched).unwrap();
    let step = if long() || untouched.calls.len() < 12 {
        1
    } else {
        3
    };
    let mut attempts = 0;
    for at in 1.. {
        let mut hit = true;
        let commits = commits(&untouched.calls, at);
        for (way, mode) in (0..).zip(MODES) {
            let turn = at % step == 0 && (at / step) % 5 == way;
            let chosen = match long() {
                true => differs(&untouched.calls, at, mode),
                false => turn || commits,
            };
            if chosen {
                attempts += 1;
                hit = check(case, vec![(at, mode)], false);
            }
        }
        if !hit {
            assert!(at > 1, "{} makes no calls", case.name);
            eprintln!("{}: {} calls, {attempts} attempts", case.name, at - 1);
            return;
        }
    }
}

/// The call of this number, without the objects of listings.
fn nth(calls: &[Call], at: u64) -> Option<&Call> {
    let mut calls = calls
        .iter()
        .filter(|call| call.operation != Operation::Item);
    calls.nth(at as usize - 1)
}

/// True if the call of this number makes a commit record.
fn commits(calls: &[Call], at: u64) -> bool {
    nth(calls, at).is_some_and(|call| {
        call.operation == Operation::Create && call.key.ends_with(".metadata.json")
    })
}

/// False if another way does the same to this call: one that changes nothing on the store fails
/// before, after and late alike, and it does not matter whether it was done before a crash.
fn differs(calls: &[Call], at: u64, mode: Mode) -> bool {
    let reads = nth(calls, at).is_some_and(|call| {
        matches!(
            call.operation,
            Operation::Get | Operation::Head | Operation::List | Operation::Folder
        )
    });
    !reads || matches!(mode, Mode::Fault(Fault::Before) | Mode::Crash)
}

macro_rules! sweeps {
    ($($name:ident: $case:expr;)+) => { $(
        #[test]
        fn $name() {
            sweep(&$case);
        }
    )+ };
}

sweeps! {
    every_fault_in_create_leaves_a_table_or_none: cases::create();
    every_fault_in_create_table_as_leaves_all_rows_or_no_table: cases::create_as();
    every_fault_in_insert_leaves_all_rows_or_none: cases::insert();
    every_fault_in_insert_of_several_files_leaves_all_rows_or_none: cases::insert_files();
    every_fault_in_insert_that_merges_manifests_leaves_all_rows_or_none: cases::merging_insert();
    every_fault_in_insert_of_no_rows_changes_nothing: cases::insert_nothing();
    every_fault_in_delete_leaves_the_old_rows_or_the_new: cases::delete();
    every_fault_in_delete_of_a_whole_file_leaves_it_or_takes_it: cases::delete_of_a_whole_file();
    every_fault_in_update_leaves_the_old_rows_or_the_new: cases::update();
    every_fault_in_merge_leaves_the_old_rows_or_the_new: cases::merge();
    every_fault_in_truncate_leaves_all_rows_or_none: cases::truncate();
    every_fault_in_a_compaction_leaves_the_rows_as_they_are: cases::compact();
    every_fault_in_overwrite_leaves_the_old_rows_or_the_new: cases::overwrite();
    every_fault_in_a_checked_update_leaves_the_old_rows_or_the_new: cases::checked_update();
    every_fault_in_overwrite_with_nothing_leaves_the_old_rows_or_none:
        cases::overwrite_with_nothing();
    every_fault_in_insert_with_a_key_leaves_all_rows_or_none: cases::keyed_insert();
    every_fault_in_rollback_leaves_the_old_rows_or_the_new: cases::rollback();
    every_fault_in_rollback_of_an_overwrite_leaves_the_old_rows_or_the_new:
        cases::rollback_of_an_overwrite();
    every_fault_in_expiry_leaves_the_rows_and_can_be_finished: cases::expire();
    every_fault_in_expiry_beside_tags_leaves_what_is_tagged: cases::expire_tagged();
    every_fault_in_a_dry_run_changes_nothing: cases::dry_run();
    every_fault_in_drop_table_leaves_it_whole_or_gone: cases::drop_table();
}

#[test]
fn every_fault_in_a_read_gives_its_rows_or_an_error() {
    for case in cases::reading() {
        sweep(&case);
    }
}

#[test]
fn every_fault_in_tag_and_untag_leaves_the_tags_before_or_after() {
    for case in cases::marks() {
        sweep(&case);
    }
}

#[test]
fn every_fault_where_rows_are_marked_leaves_the_old_rows_or_the_new() {
    for case in cases::deletion_vectors() {
        sweep(&case);
    }
}

/// The statement is run again with its key, whatever came of it.
#[test]
fn every_fault_in_insert_with_a_key_that_is_run_again_leaves_its_rows_once() {
    let case = cases::keyed_insert();
    let calls = case.attempt(|_| Fault::None).calls;
    let mut repeated = 0;
    for at in 1..=calls.len() as u64 {
        for (way, mode) in (0..).zip(MODES) {
            let chosen = match long() {
                true => differs(&calls, at, mode),
                false => at % 5 == way || commits(&calls, at),
            };
            if !chosen {
                continue;
            }
            let attempt = case.attempt(script(vec![(at, mode)], false));
            let (rows, written) = in_runtime(async {
                let ctx = session(Arc::clone(&attempt.objects));
                for sql in &case.open {
                    query(&ctx, sql).await.unwrap();
                }
                let written = query(&ctx, &case.sql).await.unwrap();
                (verify(&attempt.objects, case.root).await.unwrap(), written)
            });
            assert_eq!(rows, case.after, "{mode:?} at {at}: {:?}", attempt.end);
            if matches!(attempt.end, End::Done(_)) {
                assert_eq!(written, ["0"], "{mode:?} at {at}");
            }
            repeated += u64::from(written == ["0"]);
        }
    }
    assert!(repeated > 3, "it was there {repeated} times");
}

/// Two faults in one statement: the second strikes what cleans up or tries again.
#[test]
fn every_pair_of_faults_in_insert_and_overwrite_leaves_all_or_nothing() {
    let modes = [Fault::Before, Fault::After, Fault::Late(3)].map(Mode::Fault);
    for case in [cases::insert(), cases::overwrite()] {
        let calls = case.attempt(|_| Fault::None).calls.len() as u64;
        let mut pairs = 0;
        for first in 1..=calls {
            for second in first + 1..=calls + 3 {
                for (way, mode) in (0..).zip(modes) {
                    pairs += 1;
                    if !long() && pairs % 37 != 0 {
                        continue;
                    }
                    let other = modes[(way + pairs) % 3];
                    check(&case, vec![(first, mode), (second, other)], false);
                }
            }
        }
    }
}
