use super::super::history::{Check, History, Losing, Merge, Naive, Tag};
use super::super::search::Violation;
use super::super::{breaks, holds, long};

/// So many writers, and one expirer that begins so often.
fn history(writers: usize, rounds: u8) -> History {
    History {
        writers,
        expirers: usize::from(rounds > 0),
        rounds,
        ..History::default()
    }
}

/// Expiry in the order of the code: a list, then the newest version, then a fence if one is due.
fn thrifty(writers: usize, rounds: u8) -> History {
    History {
        thrifty: true,
        losing: Losing::PlansAnew,
        ..history(writers, rounds)
    }
}

fn naive(model: History, naive: Naive) -> History {
    History {
        naive: Some(naive),
        ..model
    }
}

fn merging(model: History, merge: Merge) -> History {
    History {
        merge: Some(merge),
        ..model
    }
}

fn two_expirers(model: History) -> History {
    History {
        expirers: 2,
        ..model
    }
}

#[test]
fn an_expiry_that_loses_the_race_keeps_its_list_and_plans_anew() {
    let model = History {
        losing: Losing::PlansAnew,
        ..history(2, 3)
    };
    holds("expiry plans anew", &model, 145_662);
}

fn reads_on(model: History) -> History {
    History {
        losing: Losing::ReadsOn,
        ..model
    }
}

/// With tags and rollbacks, which an expiry passes that reads on.
fn reads_on_past_all(writers: usize, rounds: u8) -> History {
    History {
        tag: Some(Tag::Log(Check::Fence)),
        rollback: Some(Check::Fence),
        ..reads_on(thrifty(writers, rounds))
    }
}

#[test]
fn an_expiry_that_loses_the_race_reads_only_what_is_new() {
    holds("expiry reads on", &reads_on(history(2, 3)), 163_598);
    holds(
        "expiry reads on, fence if due",
        &reads_on(thrifty(2, 3)),
        89_818,
    );
    holds("expiry reads on past all", &reads_on_past_all(1, 3), 60_500);
    let model = two_expirers(reads_on(thrifty(1, 2)));
    holds("expiry reads on, two expirers", &model, 136_148);
    let model = two_expirers(reads_on_past_all(0, 2));
    holds("expiry reads on past all, two expirers", &model, 24_176);
    let model = merging(reads_on(thrifty(2, 2)), Merge::IfAllListed);
    holds("expiry reads on, merged manifests", &model, 16_021);
    let model = History {
        late: true,
        ..reads_on(thrifty(1, 3))
    };
    holds("expiry reads on, late PUTs", &model, 6_809);
}

#[test]
fn an_expiry_that_reads_on_past_a_tag_expires_its_version() {
    let model = naive(reads_on_past_all(0, 3), Naive::ReadsOnPastTags);
    breaks("reads on past a tag", &model, Violation::TagExpired, 8);
}

#[test]
fn an_expiry_that_keeps_its_plan_deletes_a_row_that_was_committed_since() {
    let model = History {
        losing: Losing::KeepsPlan,
        ..history(1, 3)
    };
    breaks("expiry keeps its plan", &model, Violation::Dangling, 9);
}

#[test]
fn an_expiry_that_makes_a_fence_only_if_one_is_due_loses_nothing() {
    holds("fence if due", &thrifty(2, 3), 81_005);
    let model = two_expirers(thrifty(1, 2));
    holds("fence if due, two expirers", &model, 107_360);
    let model = History {
        tag: Some(Tag::Log(Check::Fence)),
        rollback: Some(Check::Fence),
        ..two_expirers(thrifty(1, 1))
    };
    holds("fence if due, tag and rollback", &model, 236_080);
    let model = History {
        late: true,
        ..model
    };
    if long("fence if due, everything at once") {
        holds("fence if due, everything at once", &model, 1_368_412);
    }
    let model = two_expirers(thrifty(2, 1));
    holds("fence if due, two of each", &model, 212_827);
    let model = History {
        late: true,
        ..thrifty(2, 2)
    };
    if long("fence if due, late PUTs") {
        holds("fence if due, late PUTs", &model, 646_257);
    }
}

#[test]
fn without_a_fence_what_was_committed_since_the_plan_is_taken_for_left_over() {
    let model = naive(thrifty(1, 3), Naive::CommittedSince);
    breaks("committed since", &model, Violation::Dangling, 13);
}

#[test]
fn without_a_fence_an_expiry_that_another_overtook_deletes_what_a_rollback_needs() {
    let model = History {
        rollback: Some(Check::Fence),
        ..two_expirers(thrifty(0, 1))
    };
    holds("overtaken, rollback", &model, 693);
    let model = naive(model, Naive::PlansOnStaleBase);
    breaks("overtaken, rollback", &model, Violation::Dangling, 12);
    // While nothing goes back to an older version it does no harm.
    let model = naive(two_expirers(thrifty(1, 2)), Naive::PlansOnStaleBase);
    holds("overtaken, no rollback", &model, 108_622);
}

#[test]
fn merged_manifests_stand_for_what_is_still_listed() {
    let model = merging(history(2, 2), Merge::IfAllListed);
    holds("merges", &model, 28_386);
    let model = History {
        delete: true,
        ..merging(history(1, 1), Merge::IfAllListed)
    };
    holds("merge and delete", &model, 1_052);
    let model = merging(thrifty(2, 3), Merge::IfAllListed);
    holds("merges, fence if due", &model, 48_316);
    let model = History {
        delete: true,
        ..merging(thrifty(1, 3), Merge::IfAllListed)
    };
    holds("merge and delete, fence if due", &model, 12_868);
}

#[test]
fn a_merged_manifest_beside_what_it_stands_for_doubles_rows() {
    let model = merging(history(2, 0), Merge::Added);
    breaks("merge added", &model, Violation::RowTwice, 3);
}

#[test]
fn a_merged_manifest_in_place_of_what_is_not_listed_any_more_doubles_or_revives_rows() {
    let model = merging(history(2, 0), Merge::Replacing);
    breaks("merge unseen", &model, Violation::RowTwice, 8);
    let model = History {
        delete: true,
        ..merging(history(1, 0), Merge::Replacing)
    };
    breaks("merge against a delete", &model, Violation::RowBack, 7);
}

#[test]
fn a_statement_of_unknown_outcome_runs_again_with_its_key_and_is_there_once() {
    let keyed = |rounds| History {
        late: true,
        key: true,
        ..history(2, rounds)
    };
    holds("key", &keyed(1), 29_727);
    if long("key, two expiries") {
        holds("key, two expiries", &keyed(2), 433_091);
    }
}

#[test]
fn tombstones_that_forget_the_key_let_a_statement_commit_twice() {
    let model = History {
        key: true,
        ..naive(history(2, 2), Naive::TombstonesForgetKeys)
    };
    breaks("keys forgotten", &model, Violation::KeyTwice, 17);
}

#[test]
fn files_of_an_unknown_outcome_are_left_alone() {
    let late = |writers, rounds| History {
        late: true,
        ..history(writers, rounds)
    };
    holds("unknown outcome, an expiry", &late(2, 1), 54_987);
    if long("unknown outcome, two expiries") {
        holds("unknown outcome, two expiries", &late(2, 2), 669_065);
    }
}

#[test]
fn cleaning_up_after_an_unknown_outcome_deletes_files_that_are_committed_late() {
    let model = History {
        late: true,
        ..naive(history(1, 0), Naive::CleansUpAfterUnknown)
    };
    breaks("cleaning up after unknown", &model, Violation::Dangling, 5);
}

#[test]
fn tombstones_that_forget_who_was_revoked_let_a_slow_writer_commit_deleted_files() {
    let model = naive(history(1, 3), Naive::TombstonesForgetRevoked);
    breaks("revoked forgotten", &model, Violation::Dangling, 21);
}

#[test]
fn names_that_do_not_tell_their_transaction_let_it_commit_deleted_files() {
    let model = naive(history(1, 2), Naive::NamesWithoutTxn);
    breaks("names without a txn", &model, Violation::Dangling, 10);
}
