use super::super::drops::{Drops, Naive};
use super::super::search::Violation;
use super::super::{breaks, holds};

fn naive(naive: Naive) -> Drops {
    Drops { naive: Some(naive) }
}

#[test]
fn a_table_is_dropped_and_another_created_in_its_place() {
    holds("DROP and CREATE", &Drops::default(), 224);
}

#[test]
fn a_drop_that_lists_after_its_record_deletes_the_next_table() {
    let model = naive(Naive::ListsAfterRecord);
    breaks("DROP lists late", &model, Violation::Dangling, 9);
}

#[test]
fn a_rebase_over_a_drop_brings_rows_of_the_old_table_into_the_new() {
    let model = naive(Naive::RebasesOverDrop);
    breaks("rebase over a DROP", &model, Violation::RowBack, 10);
}

#[test]
fn a_drop_that_deletes_the_log_lets_an_older_writer_begin_a_broken_one() {
    let model = naive(Naive::DeletesLog);
    breaks("DROP deletes the log", &model, Violation::Dangling, 9);
}
