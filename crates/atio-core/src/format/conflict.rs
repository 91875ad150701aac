//! What becomes of a statement whose number another version took (the table in section 7.7 of
//! [the format](crate::docs::format)).

use super::change::{Change, Intent, Rows};

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
    let other_rows = !theirs.same_rows;
    let spoiled = match &mine.rows {
        Rows::None => false,
        Rows::Of(files) => theirs.removes.may_have(files),
        Rows::Matching(files) => {
            theirs.removes.may_have(files) || (other_rows && !theirs.adds.is_none())
        }
        Rows::All => theirs.changes_state(),
    };
    let changes_the_table = |change: &Change| change.schema || change.options;
    let both_change_the_table = changes_the_table(&mine.change) && changes_the_table(theirs);
    if spoiled || both_change_the_table {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::format::Operation;
    use crate::format::change::Files;

    const WORDS: [&str; 10] = [
        "create",
        "append",
        "overwrite",
        "schema",
        "rollback",
        "tag",
        "untag",
        "expire",
        "drop",
        "other",
    ];

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
            let intent = Intent::of(&operation(&row[0]));
            for (theirs, said) in WORDS.iter().zip(&row[1..]) {
                let verdict = conflict(&intent, &Change::of(&operation(theirs)));
                assert_eq!(word(verdict), said, "{} after {theirs}", row[0]);
            }
            assert_eq!(row.len(), 1 + WORDS.len());
            mine.push(row[0].clone());
        }
        // No release writes the other two yet.
        mine.sort();
        let mut ours = WORDS.map(str::to_owned).to_vec();
        ours.retain(|word| word != "schema" && word != "other");
        ours.sort();
        assert_eq!(mine, ours);
    }

    fn paths(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    fn rewrite(rows: Rows, removed: &[&str]) -> Intent {
        Intent {
            rows,
            schema: true,
            absent: false,
            replans: false,
            change: Change {
                adds: Files::Some,
                removes: Files::These(paths(removed)),
                ..Change::default()
            },
        }
    }

    fn removal(removed: &[&str], adds: Files, same_rows: bool) -> Change {
        Change {
            adds,
            removes: Files::These(paths(removed)),
            same_rows,
            ..Change::default()
        }
    }

    #[test]
    fn statements_on_different_files_both_succeed() {
        let delete = rewrite(Rows::Of(paths(&["a"])), &["a"]);
        let other = removal(&["b"], Files::Some, false);
        assert_eq!(conflict(&delete, &other), Verdict::Rebase);
        let same = removal(&["a", "c"], Files::None, false);
        assert_eq!(conflict(&delete, &same), Verdict::Conflict(Reason::State));
        let append = Change::of(&Operation::Append);
        assert_eq!(conflict(&delete, &append), Verdict::Rebase);
        let overwrite = Change::of(&Operation::Overwrite);
        assert_eq!(
            conflict(&delete, &overwrite),
            Verdict::Conflict(Reason::State)
        );
    }

    #[test]
    fn a_condition_meets_rows_that_come_and_not_rows_that_are_only_moved() {
        let update = rewrite(Rows::Matching(paths(&["a"])), &["a"]);
        let append = Change::of(&Operation::Append);
        assert_eq!(conflict(&update, &append), Verdict::Conflict(Reason::State));
        let compaction = removal(&["b", "c"], Files::Some, true);
        assert_eq!(conflict(&update, &compaction), Verdict::Replan);
        let compaction = removal(&["a", "c"], Files::Some, true);
        assert_eq!(
            conflict(&update, &compaction),
            Verdict::Conflict(Reason::State)
        );
    }

    #[test]
    fn a_compaction_stands_against_no_overwrite_and_no_append() {
        let compaction = removal(&["a"], Files::Some, true);
        let overwrite = Intent::of(&Operation::Overwrite);
        assert_eq!(conflict(&overwrite, &compaction), Verdict::Replan);
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
