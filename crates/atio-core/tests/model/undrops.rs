//! DROP on a local disk, where the table is set aside, CREATE in the same place, and the return of
//! both tables.
//!
//! Version 1 of the first table is the base of a writer. Anybody drops the table that is there,
//! creates the second one once, brings back what was dropped, or purges it, at any time and as
//! often as it can be done.

use super::search::{Model, Step, Violation, hash_as_word};

/// Which rule is broken.
#[derive(Clone, Copy, Default)]
pub(super) struct Undrops {
    pub(super) naive: Option<Naive>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Naive {
    /// A table comes back with the directories of transactions.
    LeavesTransactions,
    /// A writer makes its directory after it has looked at its base, and not before.
    MakesDirectoryLate,
    /// A writer syncs the records of the table that its path leads to.
    SyncsByPath,
    /// A purge deletes the files of a table that can still come back.
    DeletesInPlace,
}

/// The two tables are the bits 1 and 2.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    /// The table that is there; 0 if none is.
    there: u8,
    /// Those that were dropped, and of these those that no transaction is left in.
    kept: u8,
    ended: u8,
    purged: u8,
    created: u8,
    /// Those some of whose files were deleted.
    deleted: u8,
    /// Those in which the writer has made its directory.
    staging: u8,
    /// Those that have the writer's version, and in which it is durable.
    version: u8,
    durable: u8,
    writer: At,
    /// The one whose records the writer has open.
    opened: u8,
}

hash_as_word!(State {
    there,
    kept,
    ended,
    purged,
    created,
    deleted,
    staging,
    version,
    durable,
    writer,
    opened
});

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum At {
    #[default]
    Start,
    Based,
    /// The rule: the directory is there, the base was not looked at again.
    Begun,
    /// The rule broken: the other way round.
    LookedFirst,
    Looked,
    Opened,
    Visible,
    Acked,
    Failed,
    /// The power failed before it had an answer.
    Dead,
}

const FIRST: u8 = 1;
const SECOND: u8 = 2;

impl Model for Undrops {
    type State = State;

    fn start(&self) -> State {
        State {
            there: FIRST,
            kept: 0,
            ended: 0,
            purged: 0,
            created: FIRST,
            deleted: 0,
            staging: 0,
            version: 0,
            durable: 0,
            writer: At::Start,
            opened: 0,
        }
    }

    fn steps(&self, state: &State, step: &mut Step<'_, State>) {
        self.writer_steps(state, step);
        self.table_steps(state, step);
        let mut next = *state;
        next.version &= state.durable;
        if !matches!(state.writer, At::Acked | At::Failed) {
            next.writer = At::Dead;
        }
        step(next, format_args!("the power fails"));
    }

    fn wrong(&self, state: &State) -> Option<Violation> {
        let in_first = state.version & FIRST != 0;
        if state.version & SECOND != 0 {
            return Some(Violation::InAnotherTable);
        }
        if state.there & state.deleted != 0 {
            return Some(Violation::Dangling);
        }
        match state.writer {
            // It went with its table, for good.
            At::Acked if state.purged & FIRST != 0 => None,
            At::Acked if !in_first => Some(Violation::RowLost),
            At::Failed if in_first => Some(Violation::FailedButThere),
            _ => None,
        }
    }
}

impl Undrops {
    fn is(&self, naive: Naive) -> bool {
        self.naive == Some(naive)
    }

    fn writer_steps(&self, state: &State, step: &mut Step<'_, State>) {
        let there = state.there;
        let mut next = *state;
        // Where there is no table, and where it is another one.
        next.writer = At::Failed;
        let what = match state.writer {
            At::Start if there == FIRST => {
                next.writer = At::Based;
                "reads its base"
            }
            At::Based if self.is(Naive::MakesDirectoryLate) => {
                if there == FIRST {
                    next.writer = At::LookedFirst;
                }
                "looks at its base once more"
            }
            At::Based | At::LookedFirst => {
                if there != 0 {
                    next.staging |= there;
                    next.writer = match state.writer {
                        At::Based => At::Begun,
                        _ => At::Looked,
                    };
                }
                "makes its directory"
            }
            At::Begun => {
                if there == FIRST {
                    next.writer = At::Looked;
                }
                "looks at its base once more"
            }
            At::Looked => {
                if there != 0 {
                    next.opened = there;
                    next.writer = At::Opened;
                }
                "opens the directory of the records"
            }
            At::Opened => {
                if there & state.staging != 0 {
                    next.version |= state.opened;
                    next.writer = At::Visible;
                }
                "renames its record"
            }
            // Without a table there is nothing to sync, and no answer.
            At::Visible if self.is(Naive::SyncsByPath) && there == 0 => return,
            At::Visible => {
                next.durable |= match self.is(Naive::SyncsByPath) {
                    true => there & state.version,
                    false => state.opened,
                };
                next.writer = At::Acked;
                "syncs the records, and is done"
            }
            _ => return,
        };
        let failed = match next.writer {
            At::Failed => ": it is not there, and the writer fails",
            _ => "",
        };
        step(next, format_args!("the writer {what}{failed}"));
    }

    fn table_steps(&self, state: &State, step: &mut Step<'_, State>) {
        let there = state.there;
        if there != 0 {
            let mut next = *state;
            next.kept |= there;
            next.there = 0;
            step(next, format_args!("DROP sets table {there} aside"));
        }
        if there == 0 && state.created & SECOND == 0 {
            let mut next = *state;
            next.created |= SECOND;
            next.there = SECOND;
            step(next, format_args!("CREATE makes table {SECOND}"));
        }
        for table in [FIRST, SECOND] {
            if state.kept & table == 0 {
                continue;
            }
            let ended = self.is(Naive::LeavesTransactions) || state.ended & table != 0;
            let mut next = *state;
            if !ended {
                next.staging &= !table;
                next.ended |= table;
                step(
                    next,
                    format_args!("UNDROP ends the transactions of table {table}"),
                );
            } else if there == 0 {
                next.kept &= !table;
                next.ended &= !table;
                next.there = table;
                step(next, format_args!("UNDROP brings table {table} back"));
            }
            let mut next = *state;
            next.deleted |= table;
            if self.is(Naive::DeletesInPlace) {
                step(next, format_args!("PURGE deletes a file of table {table}"));
            } else {
                next.kept &= !table;
                next.ended &= !table;
                next.purged |= table;
                next.version &= !table;
                step(
                    next,
                    format_args!("PURGE takes table {table} away and deletes it"),
                );
            }
        }
    }
}
