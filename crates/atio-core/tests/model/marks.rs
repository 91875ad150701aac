//! Rows of one file that statements mark as deleted, beside an append, a statement that writes the
//! file anew, and an expiry.
//!
//! Version 1 holds the rows `A`, `B` and perhaps `C` in one file. A statement that marks rows lists
//! their file with another deletion vector: that of its base and these rows. What it passes decides
//! whether it goes on, and there it takes the vector of its new base. The rows that are there must be
//! those that the statements make in the order of their versions.

mod expiry;

use super::search::{Model, Step, Violation};
use expiry::Expirer;

/// Rows, one bit each. What the statement `i` makes of a row is `BECOMES << i`.
const A: u8 = 1;
const B: u8 = 1 << 1;
const C: u8 = 1 << 2;
const NEW: u8 = 1 << 3;
const BECOMES: u8 = 1 << 4;

const STATEMENTS: usize = 3;
/// That of version 1, and one of each statement.
const FILES: usize = 1 + STATEMENTS;
/// Version 0 is none; an expiry makes one.
const VERSIONS: usize = 3 + STATEMENTS;
/// Who made the version of an expiry.
const EXPIRY: u8 = 1 + STATEMENTS as u8;

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    /// Adds `NEW`.
    Append,
    /// Marks these rows, if they are there.
    Delete(Rows),
    /// Marks this row, if it is there, and adds what becomes of it.
    Update(Rows),
    /// Writes the rows that are left of the file into another.
    WriteAnew,
}

/// Rows of version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    A,
    B,
    AandB,
}

impl Rows {
    fn bits(self) -> u8 {
        match self {
            Rows::A => A,
            Rows::B => B,
            Rows::AandB => A | B,
        }
    }
}

impl Does {
    /// The rows that are there after it.
    fn apply(self, i: usize, rows: u8) -> u8 {
        match self {
            Does::Append => rows | NEW,
            Does::Delete(these) => rows & !these.bits(),
            Does::Update(this) if rows & this.bits() != 0 => rows & !this.bits() | BECOMES << i,
            Does::Update(_) | Does::WriteAnew => rows,
        }
    }
}

/// Who takes part, and which rule they break.
#[derive(Clone, Copy, Default)]
pub(super) struct Marks {
    pub(super) statements: [Option<Does>; STATEMENTS],
    /// The file holds `C`, too, which nobody deletes.
    pub(super) with_c: bool,
    /// All versions but the newest expire, once.
    pub(super) expires: bool,
    pub(super) naive: Option<Naive>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naive {
    /// Lists on a new base the vector that it made for its own: that of another is replaced.
    ReplacesVector,
    /// Unites its rows with what others marked, and does not look whether one is in both.
    UnitesBlindly,
    /// Holds the marks in a file against others, and does not look whether the file was written anew.
    LooksAtMarksAlone,
    /// Writes a file anew, whatever others have marked in it since.
    IgnoresMarks,
    /// Writes all rows that are stored into the new file.
    CopiesMarkedRows,
    /// Takes marks that nobody can tell any more for none.
    UnknownIsNone,
    /// The expiry deletes what its expired versions wrote, whoever names it.
    ExpiresByAge,
    /// The expiry deletes the files of which an older vector has expired.
    ExpiresByVector,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
enum At {
    #[default]
    Start,
    /// It is planned on a base.
    Ready,
    Acked,
    Failed,
    /// It found nothing to do, and makes no version.
    Unchanged,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Actor {
    at: At,
    base: u8,
    first_base: u8,
    /// The file of which it marks rows, or that it writes anew.
    file: u8,
    /// The rows that it marks.
    marks: u8,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Record {
    /// The statement that made it, from 1; 0 is version 1.
    by: u8,
    /// The files that it lists, a bit each.
    lists: u8,
    /// The vector of each file: that of the statement of this number, from 1; 0 is none.
    vectors: [u8; FILES],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// The rows that are stored in each file.
    files: [u8; FILES],
    /// The rows of the vector of each statement.
    vectors: [u8; STATEMENTS],
    records: [Record; VERSIONS],
    newest: u8,
    actors: [Actor; STATEMENTS],
    expirer: Expirer,
    /// The first version that has not expired.
    first: u8,
    /// What was deleted, a bit each: files, and vectors by their statements from 1.
    gone_files: u8,
    gone_vectors: u8,
}

impl State {
    fn record(&self, version: u8) -> &Record {
        &self.records[usize::from(version)]
    }

    /// The rows of the vector `vector`.
    fn marked(&self, vector: u8) -> u8 {
        match vector {
            0 => 0,
            vector => self.vectors[usize::from(vector) - 1],
        }
    }

    /// The rows that are left of a file of `record`.
    fn left(&self, record: &Record, file: usize) -> u8 {
        self.files[file] & !self.marked(record.vectors[file])
    }

    /// The rows of a version, or None if one is there twice.
    fn rows_once(&self, record: &Record) -> Option<u8> {
        let mut rows = 0;
        for file in listed(record) {
            let left = self.left(record, file);
            if rows & left != 0 {
                return None;
            }
            rows |= left;
        }
        Some(rows)
    }

    /// True if a version names what was deleted.
    fn dangles(&self, record: &Record) -> bool {
        named_vectors(record) & self.gone_vectors != 0 || record.lists & self.gone_files != 0
    }
}

fn listed(record: &Record) -> impl Iterator<Item = usize> {
    let lists = record.lists;
    (0..FILES).filter(move |file| lists & 1 << file != 0)
}

/// The vectors that a version names, a bit each.
fn named_vectors(record: &Record) -> u8 {
    let vectors = listed(record).map(|file| 1 << record.vectors[file]);
    vectors.fold(0, |named, vector: u8| named | vector) & !1
}

impl Marks {
    fn does(&self, i: usize) -> Does {
        self.statements[i].expect("a statement that takes part")
    }

    /// Plans the statement on the newest version; gives what it does then.
    fn plan(&self, state: &State, i: usize) -> (State, &'static str) {
        let base = state.newest;
        let record = *state.record(base);
        let mut next = *state;
        let mut actor = Actor {
            at: At::Ready,
            base,
            first_base: base,
            ..Actor::default()
        };
        let wanted = match self.does(i) {
            Does::Append => NEW,
            Does::Delete(rows) | Does::Update(rows) => rows.bits(),
            Does::WriteAnew => A | B | C,
        };
        let file = listed(&record).find(|file| state.left(&record, *file) & wanted != 0);
        let new = match (self.does(i), file) {
            (Does::Append, _) => NEW,
            (_, None) => {
                next.actors[i].at = At::Unchanged;
                return (next, "finds nothing to do");
            }
            (does, Some(file)) => {
                let left = state.left(&record, file);
                actor.file = file as u8;
                actor.marks = left & wanted;
                match does {
                    Does::Update(_) => BECOMES << i,
                    Does::WriteAnew if self.naive == Some(Naive::CopiesMarkedRows) => {
                        state.files[file]
                    }
                    Does::WriteAnew => left,
                    _ => 0,
                }
            }
        };
        next.files[1 + i] = new;
        next.actors[i] = actor;
        (next, "reads")
    }

    /// What stands against it in a version that it passes.
    fn stands_against(&self, state: &State, i: usize, version: u8) -> Option<&'static str> {
        let (does, actor) = (self.does(i), state.actors[i]);
        let (below, record) = (state.record(version - 1), state.record(version));
        if does == Does::Append || record.by == EXPIRY {
            return None;
        }
        let theirs = self.does(usize::from(record.by) - 1);
        // A tombstone tells what was done, and not to which files.
        let buried = state.expirer == Expirer::Done && version < state.first;
        if buried && theirs != Does::Append && self.naive != Some(Naive::UnknownIsNone) {
            return Some("nobody can tell what it changed");
        }
        let (file, bit) = (usize::from(actor.file), 1 << actor.file);
        let removed = below.lists & !record.lists & bit != 0;
        if removed && self.naive != Some(Naive::LooksAtMarksAlone) {
            return Some("removes its file");
        }
        let (was, is) = (below.vectors[file], record.vectors[file]);
        if removed || was == is {
            return None;
        }
        if does == Does::WriteAnew {
            let ignores = self.naive == Some(Naive::IgnoresMarks);
            return (!ignores).then_some("marks rows of its file");
        }
        if state.gone_vectors & (1 << was | 1 << is) != 0 {
            let none = self.naive == Some(Naive::UnknownIsNone);
            return (!none).then_some("nobody can tell which rows it marks");
        }
        let marked = state.marked(is) & !state.marked(was);
        let looks = self.naive != Some(Naive::UnitesBlindly);
        (looks && marked & actor.marks != 0).then_some("marks a row of its")
    }

    /// The version that it makes above `base`, and the rows of its vector.
    fn version(&self, state: &State, i: usize, base: &Record) -> (Record, u8) {
        let (does, actor) = (self.does(i), state.actors[i]);
        let (file, bit) = (usize::from(actor.file), 1_u8 << actor.file);
        let mut record = Record {
            by: i as u8 + 1,
            ..*base
        };
        let mut vector = 0;
        match does {
            Does::Append => {}
            Does::WriteAnew => {
                record.lists &= !bit;
                record.vectors[file] = 0;
            }
            Does::Delete(_) | Does::Update(_) => {
                let first = state.record(actor.first_base);
                let before = match self.naive {
                    Some(Naive::ReplacesVector) => first.vectors[file],
                    _ => base.vectors[file],
                };
                vector = state.marked(before) | actor.marks;
                record.lists |= bit;
                record.vectors[file] = record.by;
                if vector == state.files[file] {
                    record.lists &= !bit;
                    record.vectors[file] = 0;
                }
            }
        }
        if state.files[1 + i] != 0 {
            record.lists |= 1 << (1 + i);
        }
        (record, vector)
    }

    fn steps_of(&self, state: &State, i: usize, step: &mut Step<'_, State>) {
        let (does, actor) = (self.does(i), state.actors[i]);
        match actor.at {
            At::Start => {
                let (next, what) = self.plan(state, i);
                let base = state.newest;
                step(next, format_args!("S{i} {does:?} {what} on base v{base}"));
            }
            At::Ready if state.newest > actor.base => {
                let mut next = *state;
                for version in actor.base + 1..=state.newest {
                    if let Some(why) = self.stands_against(state, i, version) {
                        next.actors[i] = Actor {
                            at: At::Failed,
                            ..Actor::default()
                        };
                        step(next, format_args!("S{i} {does:?} fails: v{version} {why}"));
                        return;
                    }
                }
                next.actors[i].base = state.newest;
                let base = state.newest;
                step(
                    next,
                    format_args!("S{i} {does:?} is planned anew on v{base}"),
                );
            }
            At::Ready => {
                let mut next = *state;
                let (record, vector) = self.version(state, i, state.record(state.newest));
                next.newest += 1;
                next.records[usize::from(next.newest)] = record;
                next.vectors[i] = vector;
                next.actors[i] = Actor {
                    at: At::Acked,
                    ..Actor::default()
                };
                step(next, format_args!("S{i} {does:?} creates v{}", next.newest));
            }
            At::Acked | At::Failed | At::Unchanged => {}
        }
    }

    /// The statements that made versions, in order.
    fn made(&self, state: &State) -> impl Iterator<Item = usize> {
        let records = state.records;
        let made = (2..=state.newest).map(move |version| records[usize::from(version)].by);
        made.filter(|by| *by != EXPIRY)
            .map(|by| usize::from(by) - 1)
    }
}

impl Model for Marks {
    type State = State;

    fn start(&self) -> State {
        let mut state = State {
            files: [0; FILES],
            vectors: [0; STATEMENTS],
            records: [Record::default(); VERSIONS],
            newest: 1,
            actors: [Actor::default(); STATEMENTS],
            expirer: Expirer::Start,
            first: 1,
            gone_files: 0,
            gone_vectors: 0,
        };
        state.files[0] = if self.with_c { A | B | C } else { A | B };
        state.records[1].lists = 1;
        state
    }

    fn steps(&self, state: &State, step: &mut Step<'_, State>) {
        for i in 0..STATEMENTS {
            if self.statements[i].is_some() {
                self.steps_of(state, i, step);
            }
        }
        if self.expires {
            self.expire(state, step);
        }
    }

    fn wrong(&self, state: &State) -> Option<Violation> {
        let newest = state.record(state.newest);
        if state.dangles(newest) {
            return Some(Violation::Dangling);
        }
        let mut retained = state.first..=state.newest;
        if retained.any(|version| state.dangles(state.record(version))) {
            return Some(Violation::OlderDangling);
        }
        let Some(rows) = state.rows_once(newest) else {
            return Some(Violation::RowTwice);
        };
        for i in self.made(state) {
            if let Does::Delete(deleted) = self.does(i)
                && rows & deleted.bits() != 0
            {
                return Some(Violation::RowBack);
            }
        }
        let all = state.files[0];
        let expected = self.made(state);
        let expected = expected.fold(all, |rows, i| self.does(i).apply(i, rows));
        (rows != expected).then_some(Violation::NotSerial)
    }
}
