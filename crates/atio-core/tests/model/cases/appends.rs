use super::super::appends::{Appends, Cleaning, Naive};
use super::super::search::Violation;
use super::super::{breaks, holds, long};

/// Two writers, and one expirer that begins twice.
fn two() -> Appends {
    Appends {
        writers: 2,
        expirers: 1,
        rounds: 2,
        ..Appends::default()
    }
}

/// The same where requests without an answer may be carried out late.
fn late() -> Appends {
    Appends {
        late: true,
        ..two()
    }
}

fn naive(model: Appends, naive: Naive) -> Appends {
    Appends {
        naive: Some(naive),
        ..model
    }
}

fn cleaning(model: Appends, cleaning: Cleaning) -> Appends {
    Appends { cleaning, ..model }
}

#[test]
fn writers_and_an_expirer_lose_nothing() {
    holds("two writers, an expirer", &two(), 106_189);
}

#[test]
fn three_writers_and_an_expirer_lose_nothing() {
    let model = Appends {
        writers: 3,
        rounds: 1,
        ..two()
    };
    if long("three writers, an expirer") {
        holds("three writers, an expirer", &model, 739_248);
    }
}

#[test]
fn writers_and_two_expirers_lose_nothing() {
    let model = Appends {
        expirers: 2,
        rounds: 1,
        ..two()
    };
    if long("two writers, two expirers") {
        holds("two writers, two expirers", &model, 673_140);
    }
}

#[test]
fn requests_that_are_carried_out_late_lose_nothing() {
    holds("late PUTs, an expirer", &late(), 352_265);
    let model = Appends {
        expirers: 2,
        rounds: 1,
        ..late()
    };
    if long("late PUTs, two expirers") {
        holds("late PUTs, two expirers", &model, 2_223_370);
    }
}

#[test]
fn deleting_the_records_of_expired_versions_loses_a_row() {
    let model = naive(two(), Naive::DeletesRecords);
    breaks("records are deleted", &model, Violation::RowLost, 11);
}

#[test]
fn deleting_orphans_without_a_fence_takes_a_file_of_the_newest_version() {
    let model = naive(two(), Naive::NoFence);
    breaks("no fence", &model, Violation::Dangling, 6);
}

#[test]
fn not_reading_back_reports_a_failure_of_rows_that_are_there() {
    let model = naive(two(), Naive::NoReadBack);
    breaks("no read-back", &model, Violation::FailedButThere, 15);
    let model = naive(late(), Naive::NoSecondReadBack);
    breaks("one read-back", &model, Violation::FailedButThere, 17);
}

#[test]
fn taking_absence_for_a_failure_reports_a_failure_of_rows_that_land_late() {
    let model = naive(late(), Naive::AbsentIsFailed);
    breaks("absent is failed", &model, Violation::FailedButThere, 5);
}

#[test]
fn a_writer_may_delete_its_files_once_another_record_has_its_place() {
    let model = cleaning(two(), Cleaning::OnConflict);
    holds("conflict, cleaned up", &model, 50_380);
    let model = cleaning(late(), Cleaning::OnConflict);
    holds("conflict, late PUTs, cleaned up", &model, 134_056);
    let model = cleaning(late(), Cleaning::WhenFailed);
    holds("failure, late PUTs, cleaned up", &model, 344_347);
}

#[test]
fn cleaning_up_at_a_conflict_that_may_be_its_own_commit_deletes_committed_files() {
    let model = naive(cleaning(two(), Cleaning::OnConflict), Naive::NoReadBack);
    breaks("cleaning up, no read-back", &model, Violation::Dangling, 5);
    let model = naive(
        cleaning(late(), Cleaning::OnConflict),
        Naive::NoSecondReadBack,
    );
    breaks("cleaning up, one read-back", &model, Violation::Dangling, 7);
}
