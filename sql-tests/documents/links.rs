//! Links of the documents that lead into the repository lead to a file, and to a heading in it.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::pages::documents;

/// What the links of a document lead to: `[text](here)`, and `[name]: here` at the end.
fn targets(document: &str) -> BTreeSet<&str> {
    let inline = document.split("](").skip(1);
    let inline = inline.filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    let defined = document.lines().filter(|line| line.starts_with('['));
    let defined = defined.filter_map(|line| line.split_once("]: ").map(|(_, target)| target));
    inline.chain(defined).collect()
}

/// The names of references that are used, and those that are defined.
fn references(document: &str) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let used = document.split("][").skip(1);
    let used = used.filter_map(|rest| rest.split_once(']').map(|(name, _)| name));
    let defined = document.lines().filter_map(|line| {
        let (name, _) = line.strip_prefix('[')?.split_once("]: ")?;
        Some(name)
    });
    (used.collect(), defined.collect())
}

/// The anchors of headings, as code hosts make them.
fn anchors(document: &str) -> BTreeSet<String> {
    let headings = document.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let words = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter_map(|c| match c {
                ' ' => Some('-'),
                '-' | '_' => Some(c),
                c => c.is_alphanumeric().then_some(c),
            });
            kept.collect()
        })
        .collect()
}

/// What is wrong with the links of a document in `folder`.
fn wrong_links(folder: &Path, document: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for target in targets(document) {
        if target.contains("://") {
            continue;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let text = match path {
            "" => document.to_owned(),
            path if !folder.join(path).exists() => {
                wrong.push(format!("there is no {path}"));
                continue;
            }
            path => fs::read_to_string(folder.join(path)).unwrap_or_default(),
        };
        if !anchor.is_empty() && !anchors(&text).contains(anchor) {
            wrong.push(format!("there is no heading for {target}"));
        }
    }
    let (used, defined) = references(document);
    wrong.extend(used.symmetric_difference(&defined).map(|name| {
        format!("the reference [{name}] is used and not defined, or the other way round")
    }));
    wrong
}

#[test]
fn every_link_of_the_documents_leads_to_a_file_and_a_heading() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, document) in documents() {
        let path = root.join(&name);
        let wrong = wrong_links(path.parent().unwrap(), &document);
        assert!(wrong.is_empty(), "{name}: {}", wrong.join("; "));
    }
}

/// The check itself.
#[test]
fn link_to_no_file_or_no_heading_is_found_wrong() {
    let document = "\
        # A page: of links\n\
        [good](#a-page-of-links), [bad](#another), [good](Cargo.toml), [bad](nothing.md#x),\n\
        [far](https://example.org/nothing), [named][here], [named][nowhere]\n\n\
        [here]: Cargo.toml\n";
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let expected = [
        "there is no heading for #another",
        "there is no nothing.md",
        "the reference [nowhere] is used and not defined, or the other way round",
    ];
    assert_eq!(wrong_links(root, document), expected);
}
