//! A local disk that loses power: what can be seen is not yet what will be there.
//!
//! Version 1 names file A, version 2 replaces it by file B. One writer appends, and expiries
//! retain the newest version alone. A process can die at any point and the others go on; the
//! power can fail once, and then there is what was durable.
//!
//! What the disk does by itself: changes of `metadata/` become durable in their order,
//! each at any time, or never without a sync; deletes of data files likewise, but in any
//! order, also before older changes of `metadata/`. A sync that succeeds makes all durable that
//! was done before in that directory; one that fails makes nothing durable.

mod processes;

use super::search::{Model, Step, Violation, hash_as_word};

#[derive(Clone, Copy)]
pub(super) struct Disk {
    pub(super) expirers: usize,
    /// How often each expirer begins.
    pub(super) rounds: u8,
    pub(super) naive: Option<Naive>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Naive {
    /// The record is created before what it names is synced.
    StagesWithoutSync,
    /// A commit is acknowledged when it can be seen.
    AcksWithoutSync,
    /// A commit that the writer found by reading back is acknowledged as it is.
    AcksFoundWithoutSync,
    /// A commit is acknowledged although the sync failed.
    AcksAfterFailedSync,
    /// An expiry deletes when its fence can be seen.
    DeletesWithoutSync,
    /// An expiry deletes because of its own fence that it found by reading back.
    DeletesOnFoundFence,
    /// An expiry deletes because of a fence that it did not make.
    DeletesOnOthersFence,
    /// An expiry deletes although the sync after its fence failed.
    DeletesAfterFailedSync,
    /// The pointer is moved when the record can be seen, and happens to be durable first.
    PointerBeforeSync,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// All changes of `metadata/` in their order.
    changes: [Change; 9],
    /// How many of them have been made, and how many are durable.
    made: u8,
    durable: u8,
    /// Files as they can be seen, and as they are on the disk.
    files: u8,
    durable_files: u8,
    pointer: u8,
    acked: bool,
    powered: bool,
    writer: Actor,
    expirers: [Actor; 2],
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Change {
    /// A record, if it makes a version, otherwise a tombstone for `buries`.
    makes_version: bool,
    by: u8,
    files: u8,
    /// Versions that have expired, by bits.
    expired: u8,
    buries: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Actor {
    at: At,
    base: u8,
    files: u8,
    rounds: u8,
    expired: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Based,
    Staged,
    /// Its record is created and the store, which did it, syncs next.
    Created,
    /// The reply was lost, or never came.
    Unknown,
    /// Its record, or another's fence, was found, and is to be synced.
    Found,
    Deleting,
    Done,
}

hash_as_word!(Change {
    makes_version,
    by,
    files,
    expired,
    buries
});
hash_as_word!(Actor {
    at,
    base,
    files,
    rounds,
    expired
});

const A: u8 = 1;
const B: u8 = 2;
const ROW: u8 = 4;
const WRITER: u8 = 1;
const EXPIRER: u8 = 2;

/// The log as far as its first changes tell.
struct Log<'a>(&'a [Change]);

impl Log<'_> {
    fn newest(&self) -> u8 {
        let mut versions = 0;
        for change in self.0 {
            versions += u8::from(change.makes_version);
        }
        versions
    }

    fn record(&self, version: u8) -> Change {
        let mut left = version;
        for change in self.0 {
            left -= u8::from(change.makes_version);
            if left == 0 {
                return *change;
            }
        }
        unreachable!("there is no version {version}")
    }

    fn buried(&self, version: u8) -> bool {
        self.0.iter().any(|change| change.buries == version)
    }
}

impl State {
    fn log(&self) -> Log<'_> {
        Log(&self.changes[..usize::from(self.made)])
    }

    fn push(&mut self, change: Change) {
        self.changes[usize::from(self.made)] = change;
        self.made += 1;
    }

    fn actor(&mut self, by: u8) -> &mut Actor {
        match by {
            WRITER => &mut self.writer,
            by => &mut self.expirers[usize::from(by - EXPIRER)],
        }
    }
}

impl Model for Disk {
    type State = State;

    fn start(&self) -> State {
        let record = |files| Change {
            makes_version: true,
            files,
            ..Change::default()
        };
        let mut changes = [Change::default(); 9];
        changes[0] = record(A);
        changes[1] = record(B);
        let actor = Actor {
            at: At::Start,
            base: 0,
            files: 0,
            rounds: self.rounds,
            expired: 0,
        };
        State {
            changes,
            made: 2,
            durable: 2,
            files: A | B,
            durable_files: A | B,
            pointer: 2,
            acked: false,
            powered: true,
            writer: Actor { rounds: 1, ..actor },
            expirers: [actor; 2],
        }
    }

    fn steps(&self, state: &State, step: &mut Step<'_, State>) {
        if !state.powered {
            return;
        }
        disk_steps(state, step);
        self.commit_steps(state, WRITER, step);
        self.writer_steps(state, step);
        for j in 0..self.expirers {
            let by = EXPIRER + j as u8;
            self.commit_steps(state, by, step);
            self.expirer_steps(state, by, step);
        }
    }

    fn wrong(&self, state: &State) -> Option<Violation> {
        let log = state.log();
        let newest = log.newest();
        let record = log.record(newest);
        if log.buried(newest) {
            return Some(Violation::NewestIsTombstone);
        }
        if record.files & !state.files != 0 {
            return Some(Violation::Dangling);
        }
        if state.acked && record.files & ROW == 0 {
            return Some(Violation::RowLost);
        }
        if state.pointer > newest {
            return Some(Violation::PointerAhead);
        }
        for version in 1..newest {
            let expired = record.expired & 1 << version != 0;
            if !expired && log.record(version).files & !state.files != 0 {
                return Some(Violation::OlderDangling);
            }
        }
        None
    }
}

/// What happens without anybody's doing.
fn disk_steps(state: &State, step: &mut Step<'_, State>) {
    if state.durable < state.made {
        let mut next = *state;
        next.durable += 1;
        step(
            next,
            format_args!("the disk writes back the oldest change of metadata/"),
        );
    }
    let changed = state.files ^ state.durable_files;
    for file in [A, B, ROW] {
        if changed & file != 0 {
            let mut next = *state;
            next.durable_files ^= file;
            step(
                next,
                format_args!("the disk writes back that file {} changed", name_of(file)),
            );
        }
    }
    let mut next = *state;
    next.powered = false;
    for change in usize::from(next.durable)..usize::from(next.made) {
        next.changes[change] = Change::default();
    }
    next.made = next.durable;
    next.files = next.durable_files;
    step(next, format_args!("the power fails"));
}

impl Disk {
    fn is(&self, naive: Naive) -> bool {
        self.naive == Some(naive)
    }
}

fn name_of(file: u8) -> char {
    match file {
        A => 'A',
        B => 'B',
        _ => 'W',
    }
}

/// An actor as a trace calls it.
struct Name(u8);

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            WRITER => write!(f, "W"),
            by => write!(f, "E{}", by - EXPIRER),
        }
    }
}
