use super::super::search::Violation;
use super::super::tickets::{Naive, Tickets};
use super::super::{breaks, holds, long};

/// A ticket that two processes commit, an append and an expiry.
fn two() -> Tickets {
    Tickets {
        committers: 2,
        parts: [3, 3],
        appends: true,
        expiries: 1,
        ..Tickets::default()
    }
}

/// The same where one process commits.
fn one() -> Tickets {
    Tickets {
        committers: 1,
        ..two()
    }
}

/// The same where each process has one of the parts alone.
fn other_parts() -> Tickets {
    Tickets {
        parts: [1, 2],
        ..two()
    }
}

/// The same where the first process has both parts, and the second one of them.
fn fewer_parts() -> Tickets {
    Tickets {
        parts: [3, 2],
        ..two()
    }
}

fn naive(model: Tickets, naive: Naive) -> Tickets {
    Tickets {
        naive: Some(naive),
        ..model
    }
}

#[test]
fn a_ticket_that_two_processes_commit_makes_one_version_at_most() {
    holds("a ticket", &two(), 125_921);
    holds("a ticket, other parts", &other_parts(), 145_183);
    let often = Tickets {
        expiries: 2,
        ..two()
    };
    holds("a ticket, fewer parts", &fewer_parts(), 134_976);
    if long("a ticket, two expiries") {
        holds("a ticket, two expiries", &often, 1_733_035);
    }
}

#[test]
fn requests_for_a_ticket_that_are_carried_out_late_lose_nothing() {
    let late = |model| Tickets {
        late: true,
        ..model
    };
    holds("a ticket, late PUTs", &late(two()), 304_743);
    holds("other parts, late PUTs", &late(other_parts()), 345_157);
}

#[test]
fn a_ticket_that_overwrites_loses_no_row_that_was_appended_since() {
    let overwrite = |model| Tickets {
        overwrite: true,
        ..model
    };
    holds("a ticket that overwrites", &overwrite(two()), 100_218);
    let model = naive(overwrite(one()), Naive::BaseAtCommit);
    breaks("based at the commit", &model, Violation::RowLost, 9);
}

#[test]
fn a_commit_that_does_not_look_at_what_came_since_the_ticket_names_deleted_files() {
    let model = naive(one(), Naive::BaseAtCommit);
    breaks("based at the commit", &model, Violation::Dangling, 11);
}

#[test]
fn a_commit_that_does_not_look_for_its_own_record_commits_twice() {
    let model = naive(two(), Naive::OwnNotLookedFor);
    breaks("own not looked for", &model, Violation::TicketTwice, 11);
}

#[test]
fn a_record_of_the_ticket_with_other_parts_that_is_taken_for_its_own_loses_rows() {
    let model = naive(other_parts(), Naive::OwnIsSame);
    breaks("own is the same", &model, Violation::RowLost, 9);
}

#[test]
fn a_tombstone_that_counts_as_many_files_does_not_tell_which() {
    let model = naive(other_parts(), Naive::CountsAreEnough);
    breaks("counts are enough", &model, Violation::RowLost, 14);
}

#[test]
fn a_committer_that_deletes_the_parts_when_it_fails_deletes_what_another_commits() {
    let model = naive(fewer_parts(), Naive::CleansUp);
    breaks("cleans up", &model, Violation::Dangling, 9);
}
