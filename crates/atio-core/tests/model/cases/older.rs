use super::super::history::{Check, History, Losing, Tag};
use super::super::search::Violation;
use super::super::{breaks, holds, long};

/// One writer, and one expirer that begins twice.
fn one() -> History {
    History {
        writers: 1,
        expirers: 1,
        rounds: 2,
        ..History::default()
    }
}

fn tagged(check: Check) -> History {
    History {
        tag: Some(Tag::Log(check)),
        ..one()
    }
}

fn rolled_back(check: Check) -> History {
    History {
        rollback: Some(check),
        ..one()
    }
}

#[test]
fn tags_and_rollbacks_that_ask_the_newest_fence_are_on_readable_versions() {
    holds("tag", &tagged(Check::Fence), 3_155);
    let model = History {
        writers: 0,
        expirers: 2,
        ..tagged(Check::Fence)
    };
    holds("tag, two expirers", &model, 9_994);
    holds("rollback", &rolled_back(Check::Fence), 4_052);
    let both = History {
        rollback: Some(Check::Fence),
        ..tagged(Check::Fence)
    };
    holds("tag and rollback", &both, 35_064);
    let model = History {
        losing: Losing::PlansAnew,
        rounds: 3,
        ..both
    };
    holds("tag, rollback, expiry plans anew", &model, 126_109);
    let model = History {
        expirers: 2,
        ..rolled_back(Check::Fence)
    };
    if long("rollback, two expirers") {
        holds("rollback, two expirers", &model, 1_247_813);
    }
}

#[test]
fn a_tag_that_asks_the_record_is_on_a_version_that_has_expired() {
    let broken = |name, check| {
        let model = History {
            writers: 0,
            ..tagged(check)
        };
        breaks(name, &model, Violation::TagExpired, 5);
    };
    broken("tag, asks once", Check::Blind);
    broken("tag, asks the record", Check::Record);
    broken("tag, asks the record, no rebase", Check::RecordOnce);
}

#[test]
fn a_tag_outside_the_log_is_on_a_version_that_has_expired() {
    let with = |tag| History {
        tag: Some(tag),
        ..one()
    };
    let model = with(Tag::Object);
    breaks("tag object", &model, Violation::TagExpired, 5);
    let model = with(Tag::ObjectVerified);
    breaks("tag object, verified", &model, Violation::TagExpired, 6);
}

#[test]
fn a_rollback_that_asks_the_record_names_files_that_are_deleted() {
    let broken = |name, check| {
        breaks(name, &rolled_back(check), Violation::Dangling, 6);
    };
    broken("rollback, asks once", Check::Blind);
    broken("rollback, asks the record", Check::Record);
    broken("rollback, asks the record, no rebase", Check::RecordOnce);
}
