//! The SQL of README.md and of the pages in `src/docs/`, run as it stands: a block's last statement
//! gives the text right below it.

#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;

use super::test_names::test_names;

const README: &str = "README.md";

/// README.md and the pages, by name.
pub(super) fn documents() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = fs::read_dir(root.join("src/docs")).unwrap();
    let pages = pages.map(|page| page.unwrap().path());
    let pages = pages.filter(|page| page.extension().is_some_and(|ending| ending == "md"));
    pages
        .chain([root.join(README)])
        .map(|path| {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            (name.to_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect()
}

/// A block of SQL, and the text that is right below it.
struct Example {
    sql: String,
    shown: Option<String>,
}

fn examples(document: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut lines = document.lines();
    // True behind a block of SQL, until there is a line of prose.
    let mut below = false;
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            below &= line.is_empty();
            continue;
        };
        let body: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        let body = body.join("\n");
        match (language, examples.last_mut()) {
            ("sql", _) => examples.push(Example {
                sql: body,
                shown: None,
            }),
            ("text", Some(example)) if below => example.shown = Some(body),
            _ => {}
        }
        below = language == "sql";
    }
    examples
}

/// Runs the SQL of a document in a session of its own. Returns how many results it shows.
async fn run(name: &str, document: &str) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let place = |text: &str| text.replace("/tmp/", &format!("{}/", directory.path().display()));
    let ctx = SessionContext::new();
    atio::register(&ctx).unwrap();
    let mut compared = 0;
    for Example { sql, shown } in examples(document) {
        let mut last = Vec::new();
        let statements = sql.split(';').filter(|sql| !sql.trim().is_empty());
        for statement in statements {
            let run = async { ctx.sql(&place(statement)).await?.collect().await };
            last = run
                .await
                .unwrap_or_else(|error| panic!("{name}: {statement}: {error}"));
        }
        if let Some(shown) = shown {
            let found = pretty_format_batches(&last).unwrap().to_string();
            assert_eq!(found, shown, "{name}: {sql}");
            compared += 1;
        }
    }
    compared
}

#[tokio::test]
async fn every_statement_of_the_readme_and_the_pages_gives_the_result_that_it_shows() {
    let mut compared = BTreeMap::new();
    for (name, document) in documents() {
        let results = run(&name, &document).await;
        if !examples(&document).is_empty() {
            compared.insert(name, results);
        }
    }
    let shown = |name: &str| compared.get(name).copied();
    assert_eq!(shown(README), Some(2));
    assert_eq!(shown("src/docs/tables.md"), Some(12));
    assert_eq!(shown("src/docs/streams.md"), Some(1));
    assert_eq!(shown("src/docs/databases.md"), Some(1));
    assert_eq!(shown("src/docs/files.md"), Some(0));
}

#[test]
fn every_promise_of_the_readme_is_a_test() {
    let documents = documents();
    let mut sections = documents[README].split("## ");
    let section = sections.find(|section| section.starts_with("What holds"));
    let promises = section.unwrap().lines().filter_map(|line| {
        let (promise, names) = line.strip_prefix("| ")?.rsplit_once(" | ")?;
        (!promise.is_empty()).then_some((promise, names))
    });
    let tests = test_names();
    let mut count = 0;
    for (promise, names) in promises {
        let names: Vec<_> = names.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test shows: {promise}");
        for name in names {
            assert!(tests.contains(name), "there is no test {name}");
        }
        count += 1;
    }
    assert!(count > 10);
}
