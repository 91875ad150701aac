use super::super::disk::{Disk, Naive};
use super::super::search::Violation;
use super::super::{breaks, holds};

fn disk(expirers: usize, rounds: u8) -> Disk {
    Disk {
        expirers,
        rounds,
        naive: None,
    }
}

fn naive(naive: Naive) -> Disk {
    Disk {
        naive: Some(naive),
        ..disk(2, 1)
    }
}

#[test]
fn what_was_acknowledged_survives_a_power_failure() {
    holds("power failure, an expirer", &disk(1, 2), 1_761);
    holds("power failure, two expirers", &disk(2, 2), 45_774);
}

#[test]
fn a_record_before_its_files_are_durable_names_files_that_a_power_failure_takes() {
    let model = naive(Naive::StagesWithoutSync);
    breaks("staged without a sync", &model, Violation::Dangling, 5);
}

#[test]
fn acknowledging_what_is_only_visible_loses_a_row() {
    let model = naive(Naive::AcksWithoutSync);
    breaks("acknowledged unsynced", &model, Violation::RowLost, 5);
    let model = naive(Naive::AcksFoundWithoutSync);
    breaks("found and acknowledged", &model, Violation::RowLost, 6);
    let model = naive(Naive::AcksAfterFailedSync);
    breaks("sync fails, acknowledged", &model, Violation::RowLost, 5);
}

#[test]
fn deleting_because_of_a_fence_that_is_only_visible_damages_a_version() {
    let dangles = |name, how, steps| {
        breaks(name, &naive(how), Violation::OlderDangling, steps);
    };
    dangles("fence unsynced", Naive::DeletesWithoutSync, 6);
    dangles("own fence found", Naive::DeletesOnFoundFence, 7);
    dangles("another's fence", Naive::DeletesOnOthersFence, 7);
    dangles("sync of fence fails", Naive::DeletesAfterFailedSync, 6);
}

#[test]
fn a_pointer_that_moves_before_the_version_is_durable_names_none() {
    let model = naive(Naive::PointerBeforeSync);
    breaks("pointer first", &model, Violation::PointerAhead, 5);
}
