use super::super::search::Violation;
use super::super::undrops::{Naive, Undrops};
use super::super::{breaks, holds};

fn naive(naive: Naive) -> Undrops {
    Undrops { naive: Some(naive) }
}

#[test]
fn tables_that_are_set_aside_and_come_back_take_no_version_of_another() {
    holds("DROP, CREATE and undrop", &Undrops::default(), 461);
}

#[test]
fn a_table_that_comes_back_with_its_transactions_takes_a_version_of_another() {
    let model = naive(Naive::LeavesTransactions);
    breaks(
        "undrop leaves transactions",
        &model,
        Violation::InAnotherTable,
        9,
    );
}

#[test]
fn a_directory_that_is_made_after_the_last_look_may_be_in_another_table() {
    let model = naive(Naive::MakesDirectoryLate);
    breaks("directory made late", &model, Violation::InAnotherTable, 7);
}

#[test]
fn syncing_by_path_may_sync_another_table_and_lose_a_row() {
    let model = naive(Naive::SyncsByPath);
    breaks("sync by path", &model, Violation::RowLost, 9);
}

#[test]
fn a_purge_that_deletes_what_can_come_back_damages_it() {
    let model = naive(Naive::DeletesInPlace);
    breaks("purge in place", &model, Violation::Dangling, 4);
}
