//! Every verdict, against the tables in the format.

mod by_rows;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::format::change::{MarkedRows, Marks, NewFiles};
use crate::format::{FileEntry, Manifest, Operation};

const WORDS: [&str; 16] = [
    "create",
    "append",
    "overwrite",
    "delete",
    "update",
    "merge",
    "truncate",
    "compact",
    "schema",
    "rollback",
    "tag",
    "untag",
    "expire",
    "repair",
    "drop",
    "other",
];
/// What the table adds to the word of a statement that is held against appends, too.
const SERIALIZABLE: &str = " (serializable)";

fn operation(word: &str) -> Operation {
    match word {
        "other" => Operation::Other("unheard of".to_owned()),
        word => serde_json::from_value(word.into()).unwrap(),
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Rebase => "rebase",
        Verdict::Replan => "replan",
        Verdict::Conflict(_) => "conflict",
    }
}

fn paths(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn file(path: &str) -> FileEntry {
    FileEntry {
        path: path.to_owned(),
        format: "parquet".to_owned(),
        size: Some(1),
        rows: Some(1),
        checksum: None,
        stats: Vec::new(),
        dv: None,
        column_bytes: Vec::new(),
    }
}

fn new(names: &[&str]) -> NewFiles {
    let files = names.iter().map(|path| file(path)).collect();
    NewFiles::These(vec![Arc::new(Manifest::new(1, Vec::new(), files))])
}

/// What looked into the file "read", and would have looked into every file but those whose
/// names begin with "other".
fn reads(isolation: Isolation) -> Reads {
    let could = |file: &FileEntry| !file.path.starts_with("other");
    Reads {
        files: paths(&["read"]),
        all_files: false,
        may_select: Some(Arc::new(move |manifest: &Manifest| {
            manifest.files.iter().map(could).collect()
        })),
        isolation,
    }
}

/// Such a statement, which removes the file "mine" if it removes only some.
fn intent(of: &str) -> Intent {
    let (of, isolation) = match of.strip_suffix(SERIALIZABLE) {
        Some(of) => (of, Isolation::Serializable),
        None => (of, Isolation::WriteSerializable),
    };
    let operation = operation(of);
    match operation {
        Operation::Append => Intent::of_append(Some(reads(isolation))),
        Operation::Compact => {
            let reads = Reads::default();
            Intent::of_rewrite(&operation, paths(&["mine"]), Marks::new(), reads)
        }
        Operation::Delete | Operation::Update | Operation::Merge => {
            Intent::of_rewrite(&operation, paths(&["mine"]), Marks::new(), reads(isolation))
        }
        operation => Intent::of(&operation),
    }
}

/// The same change, if the files of `removes` and `adds` are all that it removes and adds.
fn only(change: &Change, removes: &[&str], adds: &[&str]) -> Change {
    Change {
        removes: match change.removes.is_none() {
            true => Files::None,
            false => Files::These(paths(removes)),
        },
        adds: match change.adds.is_none() {
            true => NewFiles::None,
            false => new(adds),
        },
        ..change.clone()
    }
}

#[test]
fn the_table_in_the_format_document_is_what_the_function_says() {
    let document = include_str!("../../docs/format.md");
    let mut rows = document
        .lines()
        .skip_while(|line| !line.starts_with("| mine \\ theirs |"));
    let cells = |line: &str| -> Vec<String> {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    let head = cells(rows.next().expect("the table of verdicts"));
    assert_eq!(head[1..], WORDS);
    let rows = rows.skip(1).take_while(|line| line.starts_with('|'));
    let mut mine: Vec<_> = Vec::new();
    for row in rows {
        let row = cells(row);
        assert_eq!(row.len(), 1 + WORDS.len());
        for label in row[0].split(", ") {
            let intent = intent(label);
            let same_rows = word(conflict(&intent, &Change::of(&Operation::Tag)));
            for (theirs, said) in WORDS.iter().zip(&row[1..]) {
                let most = Change::of(&operation(theirs));
                let least = only(&most, &["other"], &["other"]);
                let [most, least] = [most, least].map(|theirs| conflict(&intent, &theirs));
                let expected = match said.as_str() {
                    "by files" => ["conflict", same_rows],
                    said => [said, said],
                };
                let found = [word(most), word(least)];
                assert_eq!(found, expected, "{label} after {theirs}");
            }
            mine.push(label.to_owned());
        }
    }
    // No release writes two of the others yet, and a repair begins anew.
    mine.sort();
    let mut ours = WORDS.map(str::to_owned).to_vec();
    ours.retain(|word| !["schema", "repair", "other"].contains(&word.as_str()));
    ours.extend(["append", "delete", "update", "merge"].map(|of| format!("{of}{SERIALIZABLE}")));
    ours.sort();
    assert_eq!(mine, ours);
}

/// What stands against a statement is what its file-by-file footnote in the format names.
#[test]
fn verdict_by_files_is_a_conflict_where_what_was_read_is_gone_or_more_would_have_been() {
    let all = [
        "overwrite",
        "delete",
        "update",
        "merge",
        "compact",
        "rollback",
        "other",
    ];
    for isolation in ["", SERIALIZABLE] {
        for mine in ["delete", "update", "merge"] {
            let mine = format!("{mine}{isolation}");
            let intent = intent(&mine);
            for theirs in all {
                let change = Change::of(&operation(theirs));
                let verdict = |removes: &[&str], adds: &[&str]| {
                    conflict(&intent, &only(&change, removes, adds))
                };
                let what = format!("{mine} after {theirs}");
                let removed = Verdict::Conflict(Reason::Removed);
                assert_eq!(verdict(&["other"], &["other"]), Verdict::Replan, "{what}");
                assert_eq!(verdict(&["other", "read"], &["other"]), removed, "{what}");
                assert_eq!(verdict(&["mine", "other"], &["other"]), removed, "{what}");
                // What these add has no row that was not there.
                let expected = match theirs {
                    "delete" | "compact" => Verdict::Replan,
                    _ => Verdict::Conflict(Reason::Added),
                };
                assert_eq!(verdict(&["other"], &["other", "x"]), expected, "{what}");
            }
        }
    }
}

#[test]
fn rows_that_an_append_brings_stand_against_what_is_serializable() {
    let append = Change::of(&Operation::Append);
    let verdict = |mine: &str, adds: &[&str]| conflict(&intent(mine), &only(&append, &[], adds));
    for mine in ["delete", "update", "merge"] {
        assert_eq!(verdict(mine, &["x"]), Verdict::Replan);
        let mine = format!("{mine}{SERIALIZABLE}");
        assert_eq!(verdict(&mine, &["x"]), Verdict::Conflict(Reason::Added));
        assert_eq!(verdict(&mine, &["other"]), Verdict::Replan);
    }
    let append = format!("append{SERIALIZABLE}");
    assert_eq!(verdict("append", &["x"]), Verdict::Rebase);
    assert_eq!(verdict(&append, &["x"]), Verdict::Conflict(Reason::Added));
    assert_eq!(verdict(&append, &["other"]), Verdict::Rebase);
    let delete = only(&Change::of(&Operation::Delete), &["read"], &[]);
    let verdict = |mine: &str| conflict(&intent(mine), &delete);
    assert_eq!(verdict("append"), Verdict::Rebase);
    assert_eq!(verdict(&append), Verdict::Conflict(Reason::Removed));
}

#[test]
fn what_is_not_known_of_rows_or_files_stands_against_whoever_reads_any() {
    let intent = |may_select| {
        let reads = Reads {
            may_select,
            ..reads(Isolation::WriteSerializable)
        };
        Intent::of_rewrite(&Operation::Update, paths(&["mine"]), Marks::new(), reads)
    };
    let update = Change::of(&Operation::Update);
    let (known, unknown) = (only(&update, &["other"], &["other", "other-2"]), update);
    let added = Verdict::Conflict(Reason::Added);
    assert_eq!(conflict(&intent(None), &known), added);
    let no = |count| -> Option<crate::format::MaySelect> {
        Some(Arc::new(move |_: &Manifest| vec![false; count]))
    };
    // It says nothing of the second file.
    assert_eq!(conflict(&intent(no(1)), &known), added);
    assert_eq!(conflict(&intent(no(2)), &known), Verdict::Replan);
    let unlisted = Change {
        removes: Files::None,
        ..unknown
    };
    assert_eq!(conflict(&intent(no(2)), &unlisted), added);
    // Nobody says that it adds, so nobody asks which.
    let nothing = Change {
        adds: NewFiles::None,
        ..unlisted
    };
    assert_eq!(conflict(&intent(None), &nothing), Verdict::Replan);
}

#[test]
fn rows_that_go_stand_against_whoever_counts_on_all_of_them() {
    let intent = |all_files| {
        let reads = Reads {
            all_files,
            may_select: Some(Arc::new(|manifest: &Manifest| {
                vec![false; manifest.files.len()]
            })),
            ..reads(Isolation::WriteSerializable)
        };
        Intent::of_rewrite(&Operation::Merge, paths(&["mine"]), Marks::new(), reads)
    };
    let removed = Verdict::Conflict(Reason::Removed);
    let delete = only(&Change::of(&Operation::Delete), &["other"], &[]);
    let marking = Change {
        removes: Files::None,
        marks: Marks::from([("other".to_owned(), MarkedRows::Some)]),
        ..delete.clone()
    };
    for fewer in [delete, marking] {
        assert_eq!(conflict(&intent(true), &fewer), removed);
        assert_eq!(conflict(&intent(false), &fewer), Verdict::Replan);
    }
    assert_eq!(
        conflict(&intent(true), &compaction(&["other"])),
        Verdict::Replan
    );
}

/// A compaction of these files.
fn compaction(removed: &[&str]) -> Change {
    only(&Change::of(&Operation::Compact), removed, &["x"])
}

#[test]
fn a_condition_meets_rows_that_come_and_not_rows_that_are_only_moved() {
    let update = intent("update");
    let others = compaction(&["other", "other-2"]);
    assert_eq!(conflict(&update, &others), Verdict::Replan);
    let removed = Verdict::Conflict(Reason::Removed);
    for file in ["mine", "read"] {
        let moved = compaction(&[file, "other"]);
        assert_eq!(conflict(&update, &moved), removed, "{file}");
    }
}

#[test]
fn a_compaction_stands_against_no_overwrite_and_no_append() {
    let compaction = compaction(&["read"]);
    for all in ["overwrite", "truncate", "rollback"] {
        let all = intent(all);
        assert_eq!(conflict(&all, &compaction), Verdict::Replan);
    }
    let append = intent("append");
    assert_eq!(conflict(&append, &compaction), Verdict::Rebase);
}

/// Its files are "mine"; what it could have selected matters to nobody.
#[test]
fn a_compaction_gives_way_where_rows_of_its_files_went_and_nowhere_else() {
    let mine = intent("compact");
    let removed = Verdict::Conflict(Reason::Removed);
    for theirs in [
        "delete",
        "update",
        "merge",
        "compact",
        "rollback",
        "overwrite",
    ] {
        let change = Change::of(&operation(theirs));
        let verdict = |removes: &[&str]| conflict(&mine, &only(&change, removes, &["x"]));
        assert_eq!(verdict(&["read", "other"]), Verdict::Replan, "{theirs}");
        assert_eq!(verdict(&["other", "mine"]), removed, "{theirs}");
    }
    for (path, expected) in [("mine", removed), ("read", Verdict::Replan)] {
        let marks = Change {
            marks: [(path.to_owned(), MarkedRows::Some)].into(),
            ..Change::default()
        };
        assert_eq!(conflict(&mine, &marks), expected, "{path}");
    }
    let append = Change::of(&Operation::Append);
    assert_eq!(conflict(&mine, &append), Verdict::Replan);
}

#[test]
fn of_two_changes_of_the_table_itself_one_holds() {
    let schema = Intent {
        rows: Rows::None,
        ..Intent::of(&Operation::Schema)
    };
    for theirs in [Operation::Schema, Operation::Rollback] {
        let verdict = conflict(&schema, &Change::of(&theirs));
        assert_eq!(verdict, Verdict::Conflict(Reason::State), "{theirs:?}");
    }
    let append = Change::of(&Operation::Append);
    assert_eq!(conflict(&schema, &append), Verdict::Rebase);
}
