//! The tables of faults and of formats in the documentation name tests that exist.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const ROWS: usize = 72;
const FEATURES: usize = 21;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Names of functions that are tests, or that a macro makes tests of.
fn tests() -> BTreeSet<String> {
    let mut files = Vec::new();
    for folder in ["sql-tests", "src", "cli/tests"] {
        sources(&root().join(folder), &mut files);
    }
    let mut names = BTreeSet::new();
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        let functions = source.split("fn ").skip(1);
        let name = |text: &str| text.split_once('(').map(|(name, _)| name.to_owned());
        names.extend(functions.filter_map(name));
        // Those that a macro is given the names of.
        let words = source.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        names.extend(words.filter(|word| word.len() > 30).map(str::to_owned));
    }
    names
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Fails if the document names a test that does not exist.
fn assert_names_tests(document: &str) {
    let tests = tests();
    let named = quoted(document).filter(|name| name.len() > 20 && name.contains('_'));
    let missing: Vec<_> = named.filter(|name| !tests.contains(*name)).collect();
    assert!(missing.is_empty(), "no such tests: {}", missing.join(", "));
}

#[test]
fn every_format_does_what_its_tests_show() {
    let document = fs::read_to_string(root().join("src/docs/formats.md")).unwrap();
    assert_names_tests(&document);
    let rows = document.lines().filter(|line| line.starts_with("| "));
    // Behind the heading, and with three kinds of targets.
    let mut cells = rows.skip(1).flat_map(|row| row.split(" | ").skip(1));
    assert_eq!(cells.clone().count(), 3 * FEATURES);
    assert!(cells.all(|cell| !cell.trim_matches(['|', ' ']).is_empty()));
}

#[test]
fn every_fault_has_a_test_or_a_reason() {
    let document = fs::read_to_string(root().join("src/docs/faults.md")).unwrap();
    let mut rows = 0;
    let (mut tested, mut reasoned) = (0, 0);
    for line in document.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let Ok(number) = cells[0].parse::<usize>() else {
            continue;
        };
        rows += 1;
        assert_eq!(number, rows, "rows are numbered without a gap");
        let shown = cells.last().unwrap();
        match shown.split_once("*Reason:*") {
            Some((_, reason)) => {
                assert!(reason.trim().len() > 20, "row {number} gives no reason");
                reasoned += 1;
            }
            None => {
                assert!(quoted(shown).count() > 0, "row {number} names no test");
                tested += 1;
            }
        }
    }
    assert_eq!(rows, ROWS);
    assert_names_tests(&document);
    println!("{tested} faults are tested, {reasoned} have a reason");
}
