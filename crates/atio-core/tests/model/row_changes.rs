//! Deletes, updates, merges, appends and compactions beside each other: what each read, and what the
//! others changed.
//!
//! Version 1 holds the rows `A0` and `B0`, in a file of each or both in one, in one manifest. Each
//! statement is planned on a version, and commits one version at most. What it finds in its place
//! decides whether it goes on there or fails. The rows that are there must be those that the
//! statements with a version make one after the other.

use super::search::{Model, Step, Violation, hash_as_word};

/// Rows, one bit each. `A1` is what becomes of `A0`, and `B1`, `BIG` and `SUM` of `B0`.
const A0: u8 = 1;
const A1: u8 = 1 << 1;
const B0: u8 = 1 << 2;
const B1: u8 = 1 << 3;
const BIG: u8 = 1 << 4;
const SUM: u8 = 1 << 5;
const NEW: u8 = 1 << 6;
const COPY: u8 = 1 << 7;

const STATEMENTS: usize = 3;
/// The files of version 1, and one of each statement.
const FILES: usize = 2 + STATEMENTS;
const MANIFESTS: usize = 1 + STATEMENTS;
const VERSIONS: usize = 2 + STATEMENTS;

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    /// Adds `NEW`, whatever is there.
    Append,
    /// Adds `COPY` if `A0` is there.
    Copy,
    /// Removes all of `A0`, `A1`, `NEW` and `BIG` that it finds.
    Delete,
    /// Makes `A1` of `A0`.
    UpdateA,
    /// Makes `B1` of `B0`.
    UpdateB,
    /// Makes `BIG` of `B0` if it finds `A0`, else `B1`.
    UpdateBByA,
    /// Makes `SUM` of `B0` if it finds both `A0` and `NEW`, else `B1`.
    UpdateBByNew,
    /// Makes `A1` of `A0`, and adds it if neither is there.
    MergeA,
    /// Writes all rows into one file.
    Compact,
}

impl Does {
    /// The rows that it looks for.
    fn selects(self) -> u8 {
        match self {
            Does::Append | Does::Compact => 0,
            Does::Copy | Does::UpdateA => A0,
            Does::Delete => A0 | A1 | NEW | BIG,
            Does::UpdateB => B0,
            Does::UpdateBByA => A0 | B0,
            Does::UpdateBByNew => A0 | B0 | NEW,
            Does::MergeA => A0 | A1,
        }
    }

    /// The rows that are there after it.
    fn apply(self, rows: u8) -> u8 {
        let has = |some: u8| rows & some == some;
        let (of, becomes) = match self {
            Does::Append => return rows | NEW,
            Does::Copy if has(A0) => return rows | COPY,
            Does::Copy => return rows,
            Does::Delete => return rows & !self.selects(),
            Does::MergeA => return rows & !A0 | A1,
            Does::Compact => return rows,
            Does::UpdateA => (A0, A1),
            Does::UpdateBByA if has(A0) => (B0, BIG),
            Does::UpdateBByNew if has(A0 | NEW) => (B0, SUM),
            Does::UpdateB | Does::UpdateBByA | Does::UpdateBByNew => (B0, B1),
        };
        match has(of) {
            true => rows & !of | becomes,
            false => rows,
        }
    }

    /// True if its version is an append, which is all that others know of it.
    pub(super) fn is_append(self) -> bool {
        matches!(self, Does::Append | Does::Copy)
    }
}

/// Who takes part, and which rule they break.
#[derive(Clone, Copy, Default)]
pub(super) struct RowChanges {
    pub(super) statements: [Option<Does>; STATEMENTS],
    /// Held against appends, too; and the rows are those of the order of the versions.
    pub(super) serializable: bool,
    /// Both rows of version 1 are in one file.
    pub(super) one_file: bool,
    pub(super) naive: Option<Naive>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naive {
    /// Puts the manifests that it wrote on its base into the list of a new one.
    CarriesManifests,
    /// Lists on a new base what it listed on its own.
    CarriesList,
    /// Does not look for the files that it removes among those that others removed.
    IgnoresRemoved,
    /// Looks for these alone, not for those that it only read.
    IgnoresRead,
    /// Does not look at the rows that others added.
    IgnoresAdded,
    /// Of those that appends added it does not.
    IgnoresAppended,
    /// An append that read the table counts on nothing.
    IgnoresCopied,
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
    /// The files that it looked into, and those that it removes.
    reads: u8,
    removes: u8,
    /// What it lists on the base that it was planned on first.
    first: List,
    first_base: u8,
}

/// Manifests: each the files that it lists; 0 is none. In the order of their numbers.
type List = [u8; MANIFESTS];

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Record {
    /// The statement that made it, from 1; 0 is version 1.
    by: u8,
    lists: List,
    removed: u8,
}

impl std::hash::Hash for Record {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        let [a, b, c, d] = self.lists;
        let words = Words {
            a,
            b,
            c,
            d,
            by: self.by,
            removed: self.removed,
        };
        words.hash(hasher);
    }
}

struct Words {
    a: u8,
    b: u8,
    c: u8,
    d: u8,
    by: u8,
    removed: u8,
}
hash_as_word!(Words {
    a,
    b,
    c,
    d,
    by,
    removed
});

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// The rows of each file.
    files: [u8; FILES],
    records: [Record; VERSIONS],
    newest: u8,
    actors: [Actor; STATEMENTS],
}

impl State {
    fn record(&self, version: u8) -> &Record {
        &self.records[usize::from(version)]
    }

    /// The rows of the files that are listed, or None if one is there twice.
    fn rows_once(&self, lists: List) -> Option<u8> {
        let mut rows = 0;
        for file in lists.into_iter().flat_map(|files| self.of(files)) {
            if rows & file != 0 {
                return None;
            }
            rows |= file;
        }
        Some(rows)
    }

    /// The rows of each of `files`.
    fn of(&self, files: u8) -> impl Iterator<Item = u8> {
        let all = self.files;
        (0..FILES).filter_map(move |file| (files & 1 << file != 0).then_some(all[file]))
    }

    fn rows(&self, files: u8) -> u8 {
        self.of(files).fold(0, |rows, file| rows | file)
    }

    /// Those of `files` that have one of `rows`.
    fn with(&self, files: u8, rows: u8) -> u8 {
        (0..FILES)
            .filter(|file| files & 1 << file != 0 && self.files[*file] & rows != 0)
            .fold(0, |found, file| found | 1 << file)
    }
}

fn listed(lists: List) -> u8 {
    lists.into_iter().fold(0, |all, files| all | files)
}

/// These manifests in order, without those that list nothing.
fn list(lists: impl IntoIterator<Item = u8>) -> List {
    let mut list = List::default();
    let mut kept: Vec<_> = lists.into_iter().filter(|files| *files != 0).collect();
    kept.sort_unstable_by(|a, b| b.cmp(a));
    assert!(kept.len() <= MANIFESTS, "{kept:?}");
    list[..kept.len()].copy_from_slice(&kept);
    list
}

impl RowChanges {
    fn does(&self, i: usize) -> Does {
        self.statements[i].expect("a statement that takes part")
    }

    /// Plans the statement on the newest version; gives what it does then.
    fn plan(&self, state: &State, i: usize) -> (State, &'static str) {
        let does = self.does(i);
        let base = state.newest;
        let lists = state.record(base).lists;
        let rows = state.rows(listed(lists));
        let after = does.apply(rows);
        let goes = match does {
            Does::Compact => rows,
            _ => rows & !after,
        };
        let mut removes = state.with(listed(lists), goes);
        if does == Does::Compact && removes.count_ones() < 2 {
            removes = 0;
        }
        let file = state.rows(removes) & after | after & !rows;
        let mut next = *state;
        let mut actor = Actor {
            at: At::Ready,
            base,
            reads: state.with(listed(lists), does.selects()),
            removes,
            first_base: base,
            ..Actor::default()
        };
        next.files[2 + i] = file;
        actor.first = self.lists_on(&next, i, &actor, lists);
        let nothing = removes == 0 && file == 0;
        if nothing {
            actor = Actor {
                at: At::Unchanged,
                ..Actor::default()
            };
        }
        next.actors[i] = actor;
        (
            next,
            if nothing {
                "finds nothing to do"
            } else {
                "reads"
            },
        )
    }

    /// What the statement lists above a version that lists `lists`.
    fn lists_on(&self, state: &State, i: usize, actor: &Actor, lists: List) -> List {
        let mut added = 1 << (2 + i);
        if state.files[2 + i] == 0 {
            added = 0;
        }
        let rest = lists.map(|files| files & !actor.removes);
        list(rest.into_iter().chain([added]))
    }

    /// What it lists above its base.
    fn lists(&self, state: &State, i: usize) -> List {
        let actor = state.actors[i];
        let lists = state.record(actor.base).lists;
        let first = state.record(actor.first_base).lists;
        let moved = actor.base != actor.first_base && actor.removes != 0;
        match self.naive {
            Some(Naive::CarriesList) if moved => actor.first,
            Some(Naive::CarriesManifests) if moved => {
                let kept = lists
                    .into_iter()
                    .filter(|files| !first.contains(files) || files & actor.removes == 0);
                let written = actor
                    .first
                    .into_iter()
                    .filter(|files| !first.contains(files));
                list(kept.chain(written))
            }
            _ => self.lists_on(state, i, &actor, lists),
        }
    }

    /// What stands against it in a version that it passes.
    fn stands_against(&self, state: &State, i: usize, version: u8) -> Option<&'static str> {
        let (does, actor) = (self.does(i), state.actors[i]);
        if does.is_append() && (!self.serializable || self.naive == Some(Naive::IgnoresCopied)) {
            return None;
        }
        let record = state.record(version);
        let theirs = usize::from(record.by) - 1;
        let mut files = actor.reads | actor.removes;
        if self.naive == Some(Naive::IgnoresRead) {
            files = actor.removes;
        }
        if self.naive != Some(Naive::IgnoresRemoved) && record.removed & files != 0 {
            return Some("removes a file of its");
        }
        let ignores = match self.does(theirs) {
            // What these add is left of what they remove.
            Does::Delete | Does::Compact => true,
            theirs if theirs.is_append() => {
                !self.serializable || self.naive == Some(Naive::IgnoresAppended)
            }
            _ => false,
        };
        let ignores = ignores || self.naive == Some(Naive::IgnoresAdded);
        let added = state.files[2 + theirs];
        (!ignores && added & does.selects() != 0).then_some("adds a row for it")
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
                let passed = actor.base + 1..=state.newest;
                let mut next = *state;
                for version in passed {
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
                step(
                    next,
                    format_args!("S{i} {does:?} is planned anew on v{}", state.newest),
                );
            }
            At::Ready => {
                let mut next = *state;
                next.newest += 1;
                next.records[usize::from(next.newest)] = Record {
                    by: i as u8 + 1,
                    lists: self.lists(state, i),
                    removed: actor.removes,
                };
                next.actors[i] = Actor {
                    at: At::Acked,
                    ..Actor::default()
                };
                step(next, format_args!("S{i} {does:?} creates v{}", next.newest));
            }
            At::Acked | At::Failed | At::Unchanged => {}
        }
    }

    /// True if the statements `made`, in this order, make `rows`.
    fn makes(&self, made: &[usize], rows: u8) -> bool {
        let after = made
            .iter()
            .fold(A0 | B0, |rows, i| self.does(*i).apply(rows));
        after == rows
    }

    /// True if they do in some order.
    fn makes_somehow(&self, made: &mut Vec<usize>, from: usize, rows: u8) -> bool {
        if from == made.len() {
            return self.makes(made, rows);
        }
        (from..made.len()).any(|at| {
            made.swap(from, at);
            let found = self.makes_somehow(made, from + 1, rows);
            made.swap(from, at);
            found
        })
    }
}

impl Model for RowChanges {
    type State = State;

    fn start(&self) -> State {
        let mut state = State {
            files: [0; FILES],
            records: [Record::default(); VERSIONS],
            newest: 1,
            actors: [Actor::default(); STATEMENTS],
        };
        let files = match self.one_file {
            true => [A0 | B0, 0],
            false => [A0, B0],
        };
        state.files[..2].copy_from_slice(&files);
        state.records[1].lists = list([if self.one_file { 1 } else { 3 }]);
        state
    }

    fn steps(&self, state: &State, step: &mut Step<'_, State>) {
        for i in 0..STATEMENTS {
            if self.statements[i].is_some() {
                self.steps_of(state, i, step);
            }
        }
    }

    fn wrong(&self, state: &State) -> Option<Violation> {
        let Some(rows) = state.rows_once(state.record(state.newest).lists) else {
            return Some(Violation::RowTwice);
        };
        let made = (2..=state.newest).map(|version| usize::from(state.record(version).by) - 1);
        let mut made: Vec<_> = made.collect();
        let right = match self.serializable {
            true => self.makes(&made, rows),
            false => self.makes_somehow(&mut made, 0, rows),
        };
        (!right).then_some(Violation::NotSerial)
    }
}
