//! The tables of statements that change rows name tests, and texts of `.slt` files, that exist.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::fault_table::{cells, quoted};
use super::test_names::test_names;

/// The statements that the engine's hooks would lose.
const LOST: usize = 18;
const VERBS: [&str; 5] = ["DELETE", "UPDATE", "MERGE", "TRUNCATE", "upsert"];
const CASES: usize = 36;

/// What a cell says that is not so, if anything.
fn wrong_cell(cell: &str, tests: &BTreeSet<String>) -> Option<String> {
    if let Some(reason) = cell.strip_prefix("*Reason:*") {
        let none = reason.trim().is_empty();
        return none.then(|| "there is no reason".to_owned());
    }
    if quoted(cell).next().is_none() {
        return Some(format!("no test is named: {cell}"));
    }
    let is_missing = |shown: &&str| match shown.split_once(".slt: ") {
        None => !tests.contains(*shown),
        Some((file, text)) => {
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            let path = root.join(format!("sql-tests/slt/{file}.slt"));
            !fs::read_to_string(path).is_ok_and(|script| script.contains(text))
        }
    };
    let missing = quoted(cell).find(is_missing)?;
    Some(format!("there is no {missing}"))
}

/// The rows of the table whose heading begins with `heading`.
fn table<'a>(document: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let lines = document.lines();
    let lines = lines.skip_while(|line| !line.starts_with(heading));
    let lines = lines.take_while(|line| line.starts_with('|'));
    let rows: Vec<_> = lines.map(cells).collect();
    // Behind the heading is a line of dashes.
    rows.into_iter()
        .enumerate()
        .filter(|(at, _)| *at != 1)
        .map(|(_, row)| row)
        .collect()
}

#[test]
fn every_case_of_changed_rows_has_a_test_or_a_reason() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql-tests/row_changes.md");
    let document = fs::read_to_string(path).unwrap();
    let tests = test_names();
    let lost = table(&document, "| statement |");
    assert_eq!(lost.len(), LOST + 1);
    for row in &lost[1..] {
        assert_eq!(wrong_cell(row[2], &tests), None, "{}", row[0]);
        assert!(!row[2].contains("*Reason:*"), "{}", row[0]);
    }
    let cases = table(&document, "| case |");
    assert_eq!(cases[0][1..], VERBS);
    assert_eq!(cases.len(), CASES + 1);
    for row in &cases[1..] {
        assert_eq!(row.len(), VERBS.len() + 1, "{}", row[0]);
        for (verb, cell) in VERBS.into_iter().zip(&row[1..]) {
            assert_eq!(wrong_cell(cell, &tests), None, "{}, {verb}", row[0]);
        }
    }
}

/// The check itself.
#[test]
fn cell_that_names_what_is_not_there_is_found_wrong() {
    let tests = BTreeSet::from(["a_test".to_owned()]);
    for (cell, wrong) in [
        ("`a_test`, `delete.slt: DELETE FROM t`", None),
        ("*Reason:* it has none", None),
        ("`a_test`, `b_test`", Some("there is no b_test")),
        (
            "`delete.slt: DELETE FROM nobody`",
            Some("there is no delete.slt: DELETE FROM nobody"),
        ),
        (
            "`nothing.slt: DELETE`",
            Some("there is no nothing.slt: DELETE"),
        ),
        ("a_test", Some("no test is named: a_test")),
        ("*Reason:*", Some("there is no reason")),
    ] {
        assert_eq!(wrong_cell(cell, &tests).as_deref(), wrong);
    }
}
