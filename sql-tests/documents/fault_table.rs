//! The tables of faults and of formats in the documentation name tests that exist.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::test_names::test_names;

const ROWS: usize = 86;
const FEATURES: usize = 21;

pub(super) fn document(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs");
    fs::read_to_string(folder.join(name)).unwrap()
}

pub(super) fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The cells of the rows of a table, without its heading.
pub(super) fn cells(line: &str) -> Vec<&str> {
    let line = line.trim().trim_start_matches('|').trim_end_matches('|');
    line.split(" | ").map(str::trim).collect()
}

/// What is wrong with the tables of faults in `document`, and how many of its faults are tested
/// and how many have a reason instead.
fn wrong_faults(document: &str, tests: &BTreeSet<String>) -> (Vec<String>, usize, usize) {
    let mut wrong = Vec::new();
    let (mut tested, mut reasoned) = (0, 0);
    for line in document.lines().filter(|line| line.starts_with("| ")) {
        let cells = cells(line);
        let Ok(number) = cells[0].parse::<usize>() else {
            continue;
        };
        if number != tested + reasoned + 1 {
            wrong.push(format!("row {number} is not numbered without a gap"));
        }
        let shown = cells[cells.len() - 1];
        match shown.split_once("*Reason:*") {
            Some((_, reason)) => {
                reasoned += 1;
                if reason.trim().len() <= 20 {
                    wrong.push(format!("row {number} gives no reason"));
                }
            }
            None => {
                tested += 1;
                if quoted(shown).next().is_none() {
                    wrong.push(format!("row {number} names no test"));
                }
            }
        }
        let unknown = quoted(shown).filter(|name| !tests.contains(*name));
        wrong.extend(unknown.map(|name| format!("row {number}: there is no test {name}")));
    }
    // Outside the table, names of tests are told from other words by their length.
    let text = document.lines().filter(|line| !line.starts_with('|'));
    let named = text.flat_map(quoted);
    let named = named.filter(|name| name.len() > 20 && name.contains('_'));
    let unknown = named.filter(|name| !tests.contains(*name));
    wrong.extend(unknown.map(|name| format!("there is no test {name}")));
    (wrong, tested, reasoned)
}

#[test]
fn every_fault_has_a_test_or_a_reason() {
    let (wrong, tested, reasoned) = wrong_faults(&document("faults.md"), &test_names());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(tested + reasoned, ROWS);
    println!("{tested} faults are tested, {reasoned} have a reason");
}

/// The check itself: a name that is long, or a word of the sources, is not yet a test's.
#[test]
fn fault_table_with_a_wrong_name_or_none_is_found_wrong() {
    let tests = BTreeSet::from(["statement_that_is_dropped_writes_nothing".to_owned()]);
    let table = "\
        | 1 | a | b | `statement_that_is_dropped_writes_nothing` |\n\
        | 2 | a | b | `statement_that_is_dropped_writes_something` |\n\
        | 3 | a | b | none |\n\
        | 4 | a | b | `none` |\n\
        | 5 | a | b | *Reason:* |\n\
        | 7 | a | b | *Reason:* it happens in row 1, and is tested there |\n\
        And `every_fault_of_this_document_together`.\n";
    let (wrong, tested, reasoned) = wrong_faults(table, &tests);
    let expected = [
        "row 2: there is no test statement_that_is_dropped_writes_something",
        "row 3 names no test",
        "row 4: there is no test none",
        "row 5 gives no reason",
        "row 7 is not numbered without a gap",
        "there is no test every_fault_of_this_document_together",
    ];
    assert_eq!(wrong, expected);
    assert_eq!((tested, reasoned), (4, 2));
}

#[test]
fn every_format_does_what_its_tests_show() {
    let document = document("formats.md");
    let tests = test_names();
    let rows = document.lines().filter(|line| line.starts_with("| "));
    // Behind the heading, and with three kinds of targets.
    let targets: Vec<_> = rows
        .skip(1)
        .flat_map(|row| cells(row).split_off(1))
        .collect();
    assert_eq!(targets.len(), 3 * FEATURES);
    for cell in targets {
        assert!(!cell.is_empty());
        for name in quoted(cell) {
            assert!(tests.contains(name), "there is no test {name}");
        }
    }
}
