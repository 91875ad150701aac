//! The SQL of README.md, run as it stands: each block's last statement gives the text below it.

#![cfg(test)]

use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;

use super::test_names::test_names;

const README: &str = include_str!("../../README.md");

/// The fenced blocks of the README: what they hold, and in which language.
fn blocks() -> Vec<(&'static str, String)> {
    let mut blocks = Vec::new();
    let mut lines = README.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let body: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((language, body.join("\n")));
        }
    }
    blocks
}

#[tokio::test]
async fn every_statement_of_the_readme_gives_the_result_that_it_shows() {
    let directory = tempfile::tempdir().unwrap();
    let place = |text: &str| text.replace("/tmp/", &format!("{}/", directory.path().display()));
    let ctx = SessionContext::new();
    atio::register(&ctx).unwrap();
    let blocks = blocks();
    let mut compared = 0;
    for (at, (language, sql)) in blocks.iter().enumerate() {
        if *language != "sql" {
            continue;
        }
        let mut last = Vec::new();
        for statement in sql
            .split(';')
            .filter(|statement| !statement.trim().is_empty())
        {
            let frame = ctx
                .sql(&place(statement))
                .await
                .unwrap_or_else(|error| panic!("{statement}: {error}"));
            last = frame
                .collect()
                .await
                .unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        if let Some(("text", shown)) = blocks.get(at + 1).map(|(language, text)| (*language, text))
        {
            assert_eq!(
                &pretty_format_batches(&last).unwrap().to_string(),
                shown,
                "{sql}"
            );
            compared += 1;
        }
    }
    assert!(compared >= 3, "the README shows {compared} results");
}

#[test]
fn every_promise_of_the_readme_is_a_test() {
    let section = README
        .split("## ")
        .find(|section| section.starts_with("What holds"));
    let names = section
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("- `")?.strip_suffix('`'));
    let tests = test_names();
    let mut promises = 0;
    for name in names {
        assert!(tests.contains(name), "there is no test {name}");
        promises += 1;
    }
    assert!(promises > 10);
}
