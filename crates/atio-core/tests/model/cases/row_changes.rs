use super::super::row_changes::{Does, Naive, RowChanges};
use super::super::search::Violation;
use super::super::{all_hold, breaks, holds};

const ALL: [Does; 8] = [
    Does::Append,
    Does::Copy,
    Does::Delete,
    Does::UpdateA,
    Does::UpdateB,
    Does::UpdateBByA,
    Does::UpdateBByNew,
    Does::MergeA,
];

/// These beside each other, held against what an append brings, too.
fn serializable(statements: &[Does]) -> RowChanges {
    RowChanges {
        serializable: true,
        ..beside(statements)
    }
}

/// The same, not held against that.
fn beside(statements: &[Does]) -> RowChanges {
    let mut model = RowChanges::default();
    for (at, does) in model.statements.iter_mut().zip(statements) {
        *at = Some(*does);
    }
    model
}

fn naive(model: RowChanges, naive: Naive) -> RowChanges {
    RowChanges {
        naive: Some(naive),
        ..model
    }
}

/// All that so many statements can be, each row of version 1 in a file of its own and both in one.
fn all(count: usize, of: fn(&[Does]) -> RowChanges) -> Vec<RowChanges> {
    let mut groups = vec![Vec::new()];
    for _ in 0..count {
        let longer = groups.iter().flat_map(|group: &Vec<usize>| {
            let from = group.last().copied().unwrap_or_default();
            // A row that is appended is there once.
            let twice = |at: usize| group.contains(&at) && ALL[at].is_append();
            let next = (from..ALL.len()).filter(move |at| !twice(*at));
            next.map(|at| [group.as_slice(), &[at]].concat())
        });
        groups = longer.collect();
    }
    let models = groups.iter().flat_map(|group| {
        let statements: Vec<_> = group.iter().map(|at| ALL[*at]).collect();
        [false, true].map(|one_file| RowChanges {
            one_file,
            ..of(&statements)
        })
    });
    models.collect()
}

#[test]
fn two_statements_beside_each_other_make_what_they_make_one_after_the_other() {
    all_hold("pairs", all(2, beside), 914);
    all_hold("serializable pairs", all(2, serializable), 904);
}

#[test]
fn serializable_statements_make_what_they_make_in_the_order_of_their_versions() {
    all_hold("serializable triples", all(3, serializable), 16_231);
}

/// The one exception among three: what is only held against other changes goes before the append
/// that it has not seen, and so before whoever read what was appended.
#[test]
fn what_is_not_held_against_appends_may_be_in_no_order_with_who_read_both() {
    let three = [Does::Append, Does::Delete, Does::UpdateBByNew];
    let holding = all(3, beside).into_iter();
    let same = |model: &RowChanges| model.statements == three.map(Some) && !model.one_file;
    all_hold("triples", holding.filter(|model| !same(model)), 16_818);
    breaks("one triple", &beside(&three), Violation::NotSerial, 7);
    holds("the same, serializable", &serializable(&three), 99);
}

/// All that so many statements can be beside a compaction.
fn and_a_compaction(count: usize, of: fn(&[Does]) -> RowChanges) -> Vec<RowChanges> {
    let models = all(count, of).into_iter().filter(|model| !model.one_file);
    let models = models.map(|mut model| {
        model.statements[count] = Some(Does::Compact);
        model
    });
    models.collect()
}

/// The same rows in another file concern nobody who did not look into the old ones.
#[test]
fn statements_beside_a_compaction_make_what_they_make_without() {
    all_hold("two and a compaction", and_a_compaction(2, beside), 3_194);
}

#[test]
fn serializable_statements_beside_a_compaction_make_what_they_make_without() {
    let models = and_a_compaction(2, serializable);
    all_hold("serializable two and a compaction", models, 3_125);
}

#[test]
fn of_compactions_beside_each_other_each_row_is_there_once() {
    let others = ALL.iter();
    let models = others.map(|other| beside(&[Does::Compact, Does::Compact, *other]));
    all_hold("two compactions and another", models, 640);
}

#[test]
fn compaction_that_does_not_look_at_removed_files_brings_back_what_was_deleted() {
    let ignores = |other| naive(beside(&[Does::Compact, other]), Naive::IgnoresRemoved);
    let back = ignores(Does::Delete);
    breaks("compacted, deleted", &back, Violation::NotSerial, 5);
    let twice = ignores(Does::Compact);
    breaks("compacted, twice", &twice, Violation::RowTwice, 5);
}

#[test]
fn manifests_that_are_carried_to_another_base_bring_back_what_was_removed_there() {
    let two = beside(&[Does::Delete, Does::UpdateB]);
    let carries = naive(two, Naive::CarriesManifests);
    breaks("carries manifests", &carries, Violation::NotSerial, 5);
}

#[test]
fn list_that_is_carried_to_another_base_loses_what_was_appended_there() {
    let two = beside(&[Does::Append, Does::UpdateA]);
    let carries = naive(two, Naive::CarriesList);
    breaks("carries the list", &carries, Violation::NotSerial, 5);
}

#[test]
fn statement_that_does_not_look_at_removed_files_loses_an_update_or_doubles_a_row() {
    let ignores = |statements: [Does; 2]| naive(beside(&statements), Naive::IgnoresRemoved);
    let lost = ignores([Does::Delete, Does::UpdateA]);
    breaks("removed, deleted", &lost, Violation::NotSerial, 5);
    let twice = ignores([Does::UpdateA, Does::UpdateA]);
    breaks("removed, twice", &twice, Violation::RowTwice, 5);
}

#[test]
fn statement_that_looks_at_the_files_that_it_removes_alone_goes_by_rows_that_are_gone() {
    let two = beside(&[Does::Delete, Does::UpdateBByA]);
    let ignores = naive(two, Naive::IgnoresRead);
    breaks("read", &ignores, Violation::NotSerial, 5);
}

#[test]
fn statement_that_does_not_look_at_added_rows_leaves_some_that_it_should_have_changed() {
    let two = beside(&[Does::Delete, Does::UpdateBByA]);
    let ignores = naive(two, Naive::IgnoresAdded);
    breaks("added", &ignores, Violation::NotSerial, 5);
}

#[test]
fn serializable_statement_that_does_not_look_at_appended_rows_is_not() {
    let ignores = naive(
        serializable(&[Does::Append, Does::Delete]),
        Naive::IgnoresAppended,
    );
    breaks("appended", &ignores, Violation::NotSerial, 5);
    let ignores = naive(
        serializable(&[Does::Copy, Does::Delete]),
        Naive::IgnoresCopied,
    );
    breaks("copied", &ignores, Violation::NotSerial, 5);
}
