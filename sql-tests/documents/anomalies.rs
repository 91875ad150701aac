//! The table of anomalies names, in each cell, tests that show what the cell says.

#![cfg(test)]

use std::collections::BTreeSet;

use super::fault_table::{cells, document, quoted};
use super::test_names::test_names;

const ROWS: usize = 14;
/// How the names of the tests end, by column.
const ENDS: [&str; 2] = ["_happen_if_write_serializable", "_happen_if_serializable"];

/// What is wrong with the table of anomalies in `document`, and how many rows it has.
fn wrong_anomalies(document: &str, tests: &BTreeSet<String>) -> (Vec<String>, usize) {
    let lines = document.lines();
    let rows = lines.skip_while(|line| !line.starts_with("| anomaly |"));
    let rows = rows.skip(2).take_while(|line| line.starts_with("| "));
    let mut wrong = Vec::new();
    let mut unnamed: BTreeSet<&str> = tests.iter().map(String::as_str).collect();
    unnamed.retain(|name| ENDS.iter().any(|end| name.ends_with(end)));
    let mut count = 0;
    for row in rows {
        count += 1;
        let cells = cells(row);
        for (column, end) in ENDS.into_iter().enumerate() {
            let cell = cells.get(column + 1).copied().unwrap_or_default();
            let can = match cell.split_once(':') {
                Some(("No", _)) => "_cannot",
                Some(("Yes", _)) => "_can",
                _ => {
                    wrong.push(format!("row {count} says neither No nor Yes: {cell}"));
                    continue;
                }
            };
            let ends = format!("{can}{end}");
            if quoted(cell).next().is_none() {
                wrong.push(format!("row {count} names no test: {cell}"));
            }
            for name in quoted(cell) {
                unnamed.remove(name);
                if !tests.contains(name) {
                    wrong.push(format!("row {count}: there is no test {name}"));
                } else if !name.ends_with(&ends) {
                    wrong.push(format!("row {count}: {name} shows something else"));
                }
            }
        }
    }
    wrong.extend(unnamed.iter().map(|name| format!("no row names {name}")));
    (wrong, count)
}

#[test]
fn every_cell_of_the_anomalies_is_what_its_test_shows() {
    let (wrong, rows) = wrong_anomalies(&document("tables.md"), &test_names());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(rows, ROWS);
}

/// The check itself.
#[test]
fn cell_that_its_test_does_not_show_is_found_wrong() {
    let tests = [
        "skew_can_happen_if_write_serializable",
        "skew_cannot_happen_if_serializable",
        "phantom_cannot_happen_if_serializable",
    ];
    let tests = BTreeSet::from(tests.map(str::to_owned));
    let table = "| anomaly | weak | strong |\n|---|---|---|\n\
        | skew | Yes: `skew_can_happen_if_write_serializable` | No: `skew_cannot_happen_if_serializable` |\n\
        | skew | No: `skew_can_happen_if_write_serializable` | Yes: `skew_cannot_happen_if_serializable` |\n\
        | lost | No: `lost_cannot_happen_if_write_serializable` | No: none |\n\
        | skew | perhaps | No: `skew_can_happen_if_write_serializable` |\n";
    let (wrong, rows) = wrong_anomalies(table, &tests);
    let expected = [
        "row 2: skew_can_happen_if_write_serializable shows something else",
        "row 2: skew_cannot_happen_if_serializable shows something else",
        "row 3: there is no test lost_cannot_happen_if_write_serializable",
        "row 3 names no test: No: none",
        "row 4 says neither No nor Yes: perhaps",
        "row 4: skew_can_happen_if_write_serializable shows something else",
        "no row names phantom_cannot_happen_if_serializable",
    ];
    assert_eq!(wrong, expected);
    assert_eq!(rows, 4);
}
