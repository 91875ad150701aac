//! Statements that mark rows of one file, or count on them.

use super::*;
use crate::format::change::MarkedRows;

/// Rows that are marked in the file "file".
fn marks(rows: Option<&[u64]>) -> Marks {
    let rows = match rows {
        Some(rows) => MarkedRows::These(Arc::new(rows.iter().copied().collect())),
        None => MarkedRows::Some,
    };
    [("file".to_owned(), rows)].into()
}

/// What `of` does to the file "file".
fn to_the_file(of: &str, does: &str, isolation: Isolation) -> Intent {
    let mut reads = reads(isolation);
    reads.files.clear();
    let (mut removes, mut marked) = (paths(&["mine"]), Marks::new());
    match does {
        "marks rows of it" => marked = marks(Some(&[1, 2])),
        "removes it" => removes = paths(&["file"]),
        "read it for all its rows" => reads.files = paths(&["file"]),
        "found no row in it" => {}
        other => panic!("{other}"),
    }
    let of = operation(of);
    match of {
        Operation::Append => Intent::of_append(Some(reads)),
        of => Intent::of_rewrite(&of, removes, marked, reads),
    }
}

#[test]
fn the_table_by_rows_in_the_format_document_is_what_the_function_says() {
    const THEIRS: [&str; 4] = [
        "marks other rows",
        "marks one of these rows",
        "marks some rows",
        "removes it",
    ];
    let document = include_str!("../../../docs/format.md");
    let mut rows = document
        .lines()
        .skip_while(|line| !line.starts_with("| mine \\ theirs, to one file |"));
    let cells = |line: &str| -> Vec<String> {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    let head = cells(rows.next().expect("the table of verdicts by rows"));
    assert_eq!(head[1..], THEIRS);
    let rows: Vec<_> = rows
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert_eq!(rows.len(), 4);
    for row in rows {
        let row = cells(row);
        for (does, said) in THEIRS.iter().zip(&row[1..]) {
            for of in ["delete", "update", "merge"] {
                let theirs = Change {
                    removes: match *does {
                        "removes it" => Files::These(paths(&["file"])),
                        _ => Files::These(paths(&["other"])),
                    },
                    marks: match *does {
                        "marks other rows" => marks(Some(&[3, 1 << 40])),
                        "marks one of these rows" => marks(Some(&[0, 2])),
                        "marks some rows" => marks(None),
                        _ => Marks::new(),
                    },
                    ..only(&Change::of(&operation(of)), &[], &["other"])
                };
                for isolation in [Isolation::WriteSerializable, Isolation::Serializable] {
                    for mine in ["delete", "update", "merge"] {
                        let intent = to_the_file(mine, &row[0], isolation);
                        let found = conflict(&intent, &theirs);
                        let what = format!("{mine}: {}, {of}: {does}", row[0]);
                        assert_eq!(word(found), said, "{what}");
                        if said == "conflict" {
                            assert_eq!(found, Verdict::Conflict(Reason::Removed), "{what}");
                        }
                    }
                }
                // An append marks and removes nothing; one that is serializable counts on what it read.
                let append = |isolation| to_the_file("append", &row[0], isolation);
                if row[0] == "read it for all its rows" {
                    let found = conflict(&append(Isolation::Serializable), &theirs);
                    assert_eq!(found, Verdict::Conflict(Reason::Removed));
                    let found = conflict(&append(Isolation::WriteSerializable), &theirs);
                    assert_eq!(found, Verdict::Rebase);
                }
            }
        }
    }
}

/// Rows that are marked are of the state that an overwrite, a truncate or a rollback replaces.
#[test]
fn marks_stand_against_who_counts_on_all_rows() {
    let marked = Change {
        marks: marks(Some(&[1])),
        ..Change::default()
    };
    for all in ["overwrite", "truncate", "rollback"] {
        let verdict = conflict(&intent(all), &marked);
        assert_eq!(verdict, Verdict::Conflict(Reason::State), "{all}");
    }
    for none in ["append", "tag", "untag", "expire", "drop"] {
        let verdict = conflict(&intent(none), &marked);
        assert!(!matches!(verdict, Verdict::Conflict(_)), "{none}");
    }
}

/// A rollback may take marks away, and a newer release may mean anything by a file that it lists anew.
#[test]
fn who_marks_rows_counts_on_a_file_that_others_list_anew_for_reasons_of_theirs() {
    let mine = to_the_file("delete", "marks rows of it", Isolation::WriteSerializable);
    for theirs in ["rollback", "other", "overwrite"] {
        let anew = only(&Change::of(&operation(theirs)), &["file"], &["other"]);
        let removed = Verdict::Conflict(Reason::Removed);
        assert_eq!(conflict(&mine, &anew), removed, "{theirs}");
        let elsewhere = only(&Change::of(&operation(theirs)), &["other"], &["other"]);
        assert_eq!(conflict(&mine, &elsewhere), Verdict::Replan, "{theirs}");
        // Nobody knows which.
        let some = Change::of(&operation(theirs));
        assert_eq!(conflict(&mine, &some), removed, "{theirs}");
    }
    // Rows that come with marks are rows that it could have selected.
    let update = Change {
        marks: marks(Some(&[7])),
        ..only(&Change::of(&Operation::Update), &[], &["new"])
    };
    assert_eq!(conflict(&mine, &update), Verdict::Conflict(Reason::Added));
}
