use super::super::marks::{Does, Marks, Naive, Rows};
use super::super::search::Violation;
use super::super::{all_hold, breaks};

const ALL: [Does; 7] = [
    Does::Append,
    Does::Delete(Rows::A),
    Does::Delete(Rows::B),
    Does::Delete(Rows::AandB),
    Does::Update(Rows::A),
    Does::Update(Rows::B),
    Does::WriteAnew,
];

/// These beside each other, in a file with a row that nobody deletes.
fn beside(statements: &[Does]) -> Marks {
    let mut model = Marks {
        with_c: true,
        ..Marks::default()
    };
    for (at, does) in model.statements.iter_mut().zip(statements) {
        *at = Some(*does);
    }
    model
}

/// The same beside an expiry.
fn expiring(statements: &[Does]) -> Marks {
    Marks {
        expires: true,
        ..beside(statements)
    }
}

fn naive(model: Marks, naive: Naive) -> Marks {
    Marks {
        naive: Some(naive),
        ..model
    }
}

/// All that so many statements can be, with a row that nobody deletes and without.
fn all(count: usize, of: fn(&[Does]) -> Marks) -> Vec<Marks> {
    let mut groups = vec![Vec::new()];
    for _ in 0..count {
        let longer = groups.iter().flat_map(|group: &Vec<usize>| {
            let from = group.last().copied().unwrap_or_default();
            // A row that is appended is there once.
            let twice = |at: usize| group.contains(&at) && ALL[at] == Does::Append;
            let next = (from..ALL.len()).filter(move |at| !twice(*at));
            next.map(|at| [group.as_slice(), &[at]].concat())
        });
        groups = longer.collect();
    }
    let models = groups.iter().flat_map(|group| {
        let statements: Vec<_> = group.iter().map(|at| ALL[*at]).collect();
        [false, true].map(|with_c| Marks {
            with_c,
            ..of(&statements)
        })
    });
    models.collect()
}

#[test]
fn marks_of_statements_beside_each_other_are_those_of_one_after_the_other() {
    all_hold("pairs that mark rows", all(2, beside), 719);
    all_hold("triples that mark rows", all(3, beside), 12_104);
}

#[test]
fn marks_beside_an_expiry_lose_nothing() {
    all_hold("pairs beside an expiry", all(2, expiring), 11_544);
    all_hold("triples beside an expiry", all(3, expiring), 269_521);
}

const DELETES: [Does; 2] = [Does::Delete(Rows::A), Does::Delete(Rows::B)];
const UPDATES: [Does; 2] = [Does::Update(Rows::A), Does::Update(Rows::A)];

#[test]
fn vector_that_is_carried_to_another_base_brings_back_a_row_that_was_deleted_there() {
    let replaces = naive(beside(&DELETES), Naive::ReplacesVector);
    breaks("replaces the vector", &replaces, Violation::RowBack, 5);
}

#[test]
fn marks_that_are_united_blindly_change_one_row_twice() {
    let unites = naive(beside(&UPDATES), Naive::UnitesBlindly);
    breaks("unites blindly", &unites, Violation::NotSerial, 5);
}

#[test]
fn statement_that_looks_at_marks_alone_lists_a_file_that_was_written_anew() {
    let two = beside(&[Does::WriteAnew, Does::Delete(Rows::A)]);
    let alone = naive(two, Naive::LooksAtMarksAlone);
    breaks("looks at marks alone", &alone, Violation::RowTwice, 5);
}

#[test]
fn file_that_is_written_anew_whatever_was_marked_brings_deleted_rows_back() {
    let two = beside(&[Does::Delete(Rows::A), Does::WriteAnew]);
    let ignores = naive(two, Naive::IgnoresMarks);
    breaks("ignores marks", &ignores, Violation::RowBack, 5);
    let copies = naive(two, Naive::CopiesMarkedRows);
    breaks("copies marked rows", &copies, Violation::RowBack, 4);
}

#[test]
fn marks_that_nobody_can_tell_and_that_count_as_none_change_one_row_twice() {
    let three = [
        Does::Update(Rows::A),
        Does::Update(Rows::A),
        Does::Delete(Rows::B),
    ];
    let none = naive(expiring(&three), Naive::UnknownIsNone);
    breaks("unknown is none", &none, Violation::NotSerial, 10);
}

#[test]
fn expiry_that_goes_by_the_age_of_vectors_deletes_one_of_the_newest_version() {
    let one = expiring(&[Does::Delete(Rows::A)]);
    let age = naive(one, Naive::ExpiresByAge);
    breaks("expires by age", &age, Violation::Dangling, 5);
}

#[test]
fn expiry_that_takes_every_content_for_a_file_of_its_own_deletes_one_of_the_newest_version() {
    let one = expiring(&[Does::Delete(Rows::A)]);
    let content = naive(one, Naive::ExpiresByVector);
    breaks("expires by vector", &content, Violation::Dangling, 6);
}
