//! What becomes of a statement whose number another version took (the table in section 7.7 of
//! [the format](crate::docs::format)).

use std::collections::BTreeSet;

use super::change::{Change, Files, may_share_rows};
use super::intent::{Intent, Rows};
use super::{Isolation, Reads};

/// What a statement does that lost the race for a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It goes on on the winner: what it staged stands.
    Rebase,
    /// It is planned anew on the winner.
    Replan,
    /// It fails, for this reason.
    Conflict(Reason),
}

/// What of the winner's stands against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Rows, columns or options that it counts on are not what they were.
    State,
    /// Files in which it found rows, or could have, are gone.
    Removed,
    /// Rows have come that it would have selected, or could have.
    Added,
    /// The columns of what it staged are not those of the table any more.
    Schema,
    /// The table ended.
    Ended,
    /// There is a table.
    Exists,
}

/// Whether a statement with the intent `mine` still holds where the change `theirs` came first.
pub fn conflict(mine: &Intent, theirs: &Change) -> Verdict {
    if mine.absent {
        return Verdict::Conflict(Reason::Exists);
    }
    if theirs.ends {
        return Verdict::Conflict(Reason::Ended);
    }
    let spoiled = match &mine.rows {
        Rows::None => None,
        Rows::Read(reads) => spoiled(mine, reads, theirs),
        Rows::All => theirs.changes_state().then_some(Reason::State),
    };
    if let Some(reason) = spoiled {
        return Verdict::Conflict(reason);
    }
    let changes_the_table = |change: &Change| change.schema || change.options;
    if changes_the_table(&mine.change) && changes_the_table(theirs) {
        return Verdict::Conflict(Reason::State);
    }
    if mine.schema && theirs.schema {
        return Verdict::Conflict(Reason::Schema);
    }
    // Files were rearranged that it wrote down as those that it removes.
    let rearranged = theirs.same_rows && !theirs.removes.is_none();
    let both_change_refs = mine.change.refs && theirs.refs;
    let anew = both_change_refs || (rearranged && !mine.change.removes.is_none());
    match mine.replans || anew {
        true => Verdict::Replan,
        false => Verdict::Rebase,
    }
}

/// What of `theirs` stands against what `mine` read.
fn spoiled(mine: &Intent, reads: &Reads, theirs: &Change) -> Option<Reason> {
    let none = BTreeSet::new();
    let removes = match &mine.change.removes {
        Files::These(paths) => paths,
        _ => &none,
    };
    // Of a file that it marks only the rows count that it marks.
    let whole = || removes.iter().chain(&reads.files);
    let gone = theirs
        .removes
        .may_have(whole().chain(mine.change.marks.keys()));
    let marked = whole().any(|path| theirs.marks.contains_key(path));
    if gone || marked || may_share_rows(&mine.change.marks, &theirs.marks) {
        return Some(Reason::Removed);
    }
    let later = theirs.blind && reads.isolation == Isolation::WriteSerializable;
    let came = !theirs.same_rows && !later && theirs.adds.may_be_selected(reads);
    came.then_some(Reason::Added)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::format::change::{MarkedRows, Marks, NewFiles};
    use crate::format::{FileEntry, Manifest, Operation};

    const WORDS: [&str; 14] = [
        "create",
        "append",
        "overwrite",
        "delete",
        "update",
        "merge",
        "truncate",
        "schema",
        "rollback",
        "tag",
        "untag",
        "expire",
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
        let document = include_str!("../docs/format.md");
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
        // No release writes the other two yet.
        mine.sort();
        let mut ours = WORDS.map(str::to_owned).to_vec();
        ours.retain(|word| word != "schema" && word != "other");
        ours.extend(
            ["append", "delete", "update", "merge"].map(|of| format!("{of}{SERIALIZABLE}")),
        );
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
                    // What a delete adds has no row that was not there.
                    let expected = match theirs {
                        "delete" => Verdict::Replan,
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
        let verdict =
            |mine: &str, adds: &[&str]| conflict(&intent(mine), &only(&append, &[], adds));
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
        let document = include_str!("../docs/format.md");
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

    fn rearranged(removed: &[&str]) -> Change {
        Change {
            adds: NewFiles::Some,
            removes: Files::These(paths(removed)),
            same_rows: true,
            ..Change::default()
        }
    }

    #[test]
    fn a_condition_meets_rows_that_come_and_not_rows_that_are_only_moved() {
        let update = intent("update");
        let compaction = rearranged(&["b", "c"]);
        assert_eq!(conflict(&update, &compaction), Verdict::Replan);
        let compaction = rearranged(&["mine", "c"]);
        assert_eq!(
            conflict(&update, &compaction),
            Verdict::Conflict(Reason::Removed)
        );
    }

    #[test]
    fn a_compaction_stands_against_no_overwrite_and_no_append() {
        let compaction = rearranged(&["a"]);
        for all in ["overwrite", "truncate"] {
            let all = intent(all);
            assert_eq!(conflict(&all, &compaction), Verdict::Replan);
        }
        let append = Intent::of(&Operation::Append);
        assert_eq!(conflict(&append, &compaction), Verdict::Rebase);
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
}
