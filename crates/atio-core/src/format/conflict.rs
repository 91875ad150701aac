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
    /// Rows or files that it counts on are gone, or marked as deleted.
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
    let fewer = !theirs.same_rows && !theirs.removes.is_none() || !theirs.marks.is_empty();
    if gone
        || marked
        || (reads.all_files && fewer)
        || may_share_rows(&mine.change.marks, &theirs.marks)
    {
        return Some(Reason::Removed);
    }
    let later = theirs.blind && reads.isolation == Isolation::WriteSerializable;
    // What only rearranges rows would leave the new ones as they are.
    let matters = !mine.change.same_rows && !theirs.same_rows && !later;
    let came = matters && theirs.adds.may_be_selected(reads);
    came.then_some(Reason::Added)
}

#[cfg(test)]
mod tests;
