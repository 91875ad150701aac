//! DROP where a directory cannot be renamed, and CREATE in the same place.
//!
//! Version 1 is of the first table and names one file. Somebody drops it, somebody creates
//! another, on which somebody appends; a writer of the first table comes late.

use super::search::{Model, Step, Violation, hash_as_word};

/// Which rule is broken.
#[derive(Clone, Copy, Default)]
pub(super) struct Drops {
    pub(super) naive: Option<Naive>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Naive {
    /// DROP lists what to delete after its record, and not before.
    ListsAfterRecord,
    /// A writer rebases over the record of a DROP.
    RebasesOverDrop,
    /// CREATE begins at version 1 again, for DROP has deleted the log.
    DeletesLog,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct State {
    log: [Record; 6],
    /// The writers of the first and of the second table, CREATE, and DROP.
    old: Actor,
    new: Actor,
    create: Actor,
    drop: Actor,
    data: u8,
    /// Files whose commit was acknowledged.
    acked: u8,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Record {
    kind: Kind,
    table: u8,
    files: u8,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Absent,
    Live,
    Drop,
    Tombstone,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Actor {
    at: At,
    base: u8,
    table: u8,
    /// What its base names, or what DROP deletes.
    files: u8,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum At {
    #[default]
    Start,
    Based,
    Ready,
    Listing,
    Deleting,
    Acked,
    Failed,
}

hash_as_word!(Record { kind, table, files });
hash_as_word!(Actor {
    at,
    base,
    table,
    files
});

const OLD: u8 = 2;
const CREATED: u8 = 4;
const NEW: u8 = 8;

impl State {
    fn newest(&self) -> u8 {
        let last = self
            .log
            .iter()
            .rposition(|record| record.kind != Kind::Absent);
        last.map_or(0, |at| at as u8 + 1)
    }

    /// The record of `version`; none is there for version 0.
    fn record(&self, version: u8) -> Record {
        match version {
            0 => Record::default(),
            version => self.log[usize::from(version) - 1],
        }
    }

    fn put(&mut self, version: u8, record: Record) {
        self.log[usize::from(version) - 1] = record;
    }
}

impl Model for Drops {
    type State = State;

    fn start(&self) -> State {
        let mut log = [Record::default(); 6];
        log[0] = Record {
            kind: Kind::Live,
            table: 1,
            files: 1,
        };
        let actor = Actor::default();
        State {
            log,
            old: actor,
            new: actor,
            create: actor,
            drop: actor,
            data: 1,
            acked: 0,
        }
    }

    fn steps(&self, state: &State, step: &mut Step<'_, State>) {
        self.writer_steps(state, OLD, step);
        self.writer_steps(state, NEW, step);
        self.create_steps(state, step);
        self.drop_steps(state, step);
    }

    fn wrong(&self, state: &State) -> Option<Violation> {
        let newest = state.record(state.newest());
        match newest.kind {
            Kind::Tombstone => return Some(Violation::NewestIsTombstone),
            // Rows go with their table.
            Kind::Drop | Kind::Absent => return None,
            Kind::Live if newest.files & !state.data != 0 => return Some(Violation::Dangling),
            Kind::Live => {}
        }
        if newest.table == 2 && newest.files & OLD != 0 {
            return Some(Violation::RowBack);
        }
        let lasting = if newest.table == 2 {
            CREATED | NEW
        } else {
            OLD
        };
        (state.acked & lasting & !newest.files != 0).then_some(Violation::RowLost)
    }
}

impl Drops {
    fn is(&self, naive: Naive) -> bool {
        self.naive == Some(naive)
    }

    fn writer_steps(&self, state: &State, own: u8, step: &mut Step<'_, State>) {
        let (actor, table, name) = match own {
            OLD => (state.old, 1, "the old writer"),
            _ => (state.new, 2, "the new writer"),
        };
        let with = |actor| {
            let mut next = *state;
            match own {
                OLD => next.old = actor,
                _ => next.new = actor,
            }
            next
        };
        let newest = state.newest();
        let record = state.record(newest);
        let key = actor.base + 1;
        match actor.at {
            At::Start if record.kind == Kind::Live && record.table == table => {
                let files = record.files;
                let next = with(Actor {
                    at: At::Based,
                    base: newest,
                    table,
                    files,
                });
                step(next, format_args!("{name} reads base v{newest}"));
            }
            At::Based => {
                let mut next = with(Actor {
                    at: At::Ready,
                    ..actor
                });
                next.data |= own;
                step(next, format_args!("{name} stages its file"));
            }
            At::Ready if state.record(key).kind == Kind::Absent => {
                let files = actor.files | own;
                let mut next = with(Actor {
                    at: At::Acked,
                    ..actor
                });
                next.put(
                    key,
                    Record {
                        kind: Kind::Live,
                        table: actor.table,
                        files,
                    },
                );
                next.acked |= own;
                step(next, format_args!("{name} creates v{key}"));
            }
            At::Ready => {
                let mut dropped = false;
                for version in key..=newest {
                    let passed = state.record(version);
                    dropped |= passed.kind != Kind::Live || passed.table != table;
                }
                if self.is(Naive::RebasesOverDrop) && record.kind == Kind::Live {
                    dropped = false;
                }
                let next = match dropped {
                    true => with(Actor {
                        at: At::Failed,
                        ..actor
                    }),
                    false => {
                        let Record { table, files, .. } = record;
                        with(Actor {
                            base: newest,
                            table,
                            files,
                            ..actor
                        })
                    }
                };
                let what = if dropped {
                    "finds its table dropped: fails"
                } else {
                    "rebases"
                };
                step(next, format_args!("{name} {what}"));
            }
            _ => {}
        }
    }

    fn create_steps(&self, state: &State, step: &mut Step<'_, State>) {
        let newest = state.newest();
        let key = state.create.base + 1;
        let mut next = *state;
        let gone = matches!(state.record(newest).kind, Kind::Drop | Kind::Absent);
        match state.create.at {
            At::Start if gone => {
                next.create = Actor {
                    at: At::Based,
                    base: newest,
                    ..state.create
                };
                step(next, format_args!("CREATE finds no table, at v{newest}"));
            }
            At::Based => {
                next.create.at = At::Ready;
                next.data |= CREATED;
                step(next, format_args!("CREATE stages its snapshot"));
            }
            At::Ready if state.record(key).kind == Kind::Absent => {
                next.create.at = At::Acked;
                next.acked |= CREATED;
                next.put(
                    key,
                    Record {
                        kind: Kind::Live,
                        table: 2,
                        files: CREATED,
                    },
                );
                step(next, format_args!("CREATE creates v{key}"));
            }
            At::Ready => {
                next.create.at = At::Failed;
                step(next, format_args!("CREATE finds a table"));
            }
            _ => {}
        }
    }

    fn drop_steps(&self, state: &State, step: &mut Step<'_, State>) {
        let newest = state.newest();
        let key = state.drop.base + 1;
        let mut next = *state;
        match state.drop.at {
            At::Start => {
                next.drop = Actor {
                    at: At::Based,
                    files: state.data,
                    ..state.drop
                };
                step(next, format_args!("DROP lists"));
            }
            At::Based => {
                next.drop = Actor {
                    at: At::Ready,
                    base: newest,
                    ..state.drop
                };
                step(next, format_args!("DROP reads base v{newest}"));
            }
            At::Ready if state.record(key).kind == Kind::Absent => {
                next.drop.at = match self.is(Naive::ListsAfterRecord) {
                    true => At::Listing,
                    false => At::Deleting,
                };
                next.put(
                    key,
                    Record {
                        kind: Kind::Drop,
                        table: 1,
                        files: 0,
                    },
                );
                step(next, format_args!("DROP creates v{key}"));
            }
            At::Ready => {
                next.drop.at = At::Start;
                step(
                    next,
                    format_args!("DROP finds that v{key} exists: starts again"),
                );
            }
            At::Listing => {
                next.drop = Actor {
                    at: At::Deleting,
                    files: state.data,
                    ..state.drop
                };
                step(next, format_args!("DROP lists"));
            }
            At::Deleting => self.bury_steps(state, step),
            _ => {}
        }
    }

    fn bury_steps(&self, state: &State, step: &mut Step<'_, State>) {
        let mut next = *state;
        if state.drop.files != 0 {
            let file = state.drop.files.trailing_zeros();
            next.drop.files &= !(1 << file);
            next.data &= !(1 << file);
            step(next, format_args!("DROP deletes file {file}"));
            return;
        }
        let last = state.drop.base + u8::from(self.is(Naive::DeletesLog));
        for version in 1..=last {
            let record = state.record(version);
            if !matches!(record.kind, Kind::Absent | Kind::Tombstone) {
                match self.is(Naive::DeletesLog) {
                    true => next.put(version, Record::default()),
                    false => next.put(
                        version,
                        Record {
                            kind: Kind::Tombstone,
                            files: 0,
                            ..record
                        },
                    ),
                }
                step(next, format_args!("DROP buries v{version}"));
                return;
            }
        }
    }
}
