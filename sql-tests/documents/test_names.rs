//! The names of all tests, as the sources have them.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where tests are, beside the folders of `crates/`.
const FOLDERS: [&str; 4] = ["sql-tests", "src", "cli/src", "cli/tests"];

/// Macros that make tests of the functions whose names they are given, each in a module of
/// that name.
const OF_FUNCTIONS: [&str; 4] = [
    "on_every_place!(",
    "on_every_server!(",
    "on_every_database!(",
    "on_both_servers!(",
];

/// Macros that are given names with what they test, as `name: case;`.
const OF_CASES: [&str; 2] = ["sweeps! {", "overtaken! {"];

/// The names of all tests in the sources of this repository.
pub(crate) fn test_names() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in FOLDERS {
        sources(&root.join(folder), &mut files);
    }
    if root.join("crates").exists() {
        sources(&root.join("crates"), &mut files);
    }
    let mut names = BTreeSet::new();
    for file in files {
        names.extend(tests_of(&fs::read_to_string(file).unwrap()));
    }
    names
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

/// The tests of one file: functions behind a test attribute, and names that go to a macro.
fn tests_of(source: &str) -> BTreeSet<String> {
    let source = &without_macros(source);
    let mut names = BTreeSet::new();
    let mut functions = BTreeSet::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        if let Some(name) = function(line) {
            functions.insert(name);
            if is_test {
                names.insert(name.to_owned());
            }
            is_test = false;
        }
    }
    for given in arguments(source, &OF_FUNCTIONS, ')') {
        let listed = given.split(',').map(str::trim);
        let listed = listed.filter(|name| functions.contains(name));
        names.extend(listed.map(str::to_owned));
    }
    for given in arguments(source, &OF_CASES, '}') {
        let listed = given.split(';').filter_map(|case| case.split_once(':'));
        names.extend(listed.map(|(name, _)| name.trim().to_owned()));
    }
    names
}

/// The source without the definitions of macros at the beginning of a line.
fn without_macros(source: &str) -> String {
    let mut parts = source.split("\nmacro_rules!");
    let first = parts.next().unwrap_or_default().to_owned();
    parts
        .filter_map(|part| part.split_once("\n}\n"))
        .fold(first, |text, (_, rest)| text + "\n" + rest)
}

/// The name of the function that begins on this line, if one does.
fn function(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let line = line.strip_prefix("async ").unwrap_or(line);
    let (name, _) = line.strip_prefix("fn ")?.split_once('(')?;
    Some(name)
}

/// What is given to the calls of these macros at the beginning of a line.
fn arguments<'a>(source: &'a str, macros: &[&str], end: char) -> Vec<&'a str> {
    let mut found = Vec::new();
    for call in macros {
        for (at, _) in source.match_indices(&format!("\n{call}")) {
            let given = &source[at + 1 + call.len()..];
            found.push(given.split(end).next().unwrap_or_default());
        }
    }
    found
}

/// Tests that this program has must be found, or a document could not name them.
#[test]
fn test_names_are_those_of_this_program() {
    let names = test_names();
    let this = std::env::current_exe().unwrap();
    let listed = std::process::Command::new(this)
        .arg("--list")
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let mut count = 0;
    for path in listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
    {
        count += 1;
        // What a macro makes for each place is in a module that has the name of the test.
        let mut parts = path.rsplit("::").skip_while(|part| part.starts_with("on_"));
        let is_script = path.starts_with("slt::") && path.contains("::on_");
        assert!(
            is_script || names.contains(parts.next().unwrap()),
            "{path} is not found"
        );
    }
    assert!(count > 500, "only {count} tests are listed");
}
