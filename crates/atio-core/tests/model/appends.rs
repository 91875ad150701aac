//! Appends that race each other and an expiry: the commit, its unclear answers, the fence.
//!
//! Version 1 names one file. Each writer appends one file of its own, and tries at most
//! three times. Each expiry retains the newest version alone.

mod expiry;
mod writing;

use super::search::{Model, Step, Violation, hash_as_word};

/// Who takes part, and which rule they break.
#[derive(Clone, Copy, Default)]
pub(super) struct Appends {
    pub(super) writers: usize,
    pub(super) expirers: usize,
    /// How often each expirer begins.
    pub(super) rounds: u8,
    /// A request without an answer may be carried out later, or never.
    pub(super) late: bool,
    pub(super) cleaning: Cleaning,
    pub(super) naive: Option<Naive>,
}

/// When a writer deletes what it staged.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Cleaning {
    /// Never: what it leaves is for an expiry.
    #[default]
    Never,
    /// Once it has failed for good.
    WhenFailed,
    /// At the first conflict, which ends it, like that of an overwrite.
    OnConflict,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Naive {
    /// The record of an expired version is deleted, and not replaced by a tombstone.
    DeletesRecords,
    /// Orphans are deleted without a commit that revokes their transactions.
    NoFence,
    /// "Already exists" is a conflict, whoever wrote what exists.
    NoReadBack,
    /// The answer to a request that was sent again is taken as it comes.
    NoSecondReadBack,
    /// A record that is not there after an unclear answer was not written.
    AbsentIsFailed,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct State {
    log: [Record; 6],
    writers: [Writer; 3],
    expirers: [Expirer; 2],
    /// Requests under way that nobody waits for, one a writer.
    late: [Late; 3],
    /// Files that exist: bit 0 is that of version 1, bit 1 that of the first writer.
    data: u8,
    /// Files whose commit was acknowledged.
    acked: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Record {
    kind: Kind,
    by: u8,
    files: u8,
    /// Transactions, by the bits of their files.
    revoked: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Absent,
    Live,
    Tombstone,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Writer {
    at: At,
    base: u8,
    /// What the base names.
    files: u8,
    tries: u8,
    /// One answer has been lost already.
    unclear: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Based,
    Ready,
    Unknown,
    Conflict,
    Acked,
    Failed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Expirer {
    at: ExpirerAt,
    base: u8,
    candidates: u8,
    rounds: u8,
    live: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ExpirerAt {
    Idle,
    Listing,
    Fencing,
    Unknown,
    Deleting,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Late {
    /// The version that the request is for; 0 if there is none.
    key: u8,
    files: u8,
}

hash_as_word!(Record {
    kind,
    by,
    files,
    revoked
});
hash_as_word!(Writer {
    at,
    base,
    files,
    tries,
    unclear
});
hash_as_word!(Expirer {
    at,
    base,
    candidates,
    rounds,
    live
});
hash_as_word!(Late { key, files });

/// Who made version 1; the writers are 1, 2 and 3.
const FIRST: u8 = 0;
const NOBODY: Record = Record {
    kind: Kind::Absent,
    by: 0,
    files: 0,
    revoked: 0,
};
const NO_LATE: Late = Late { key: 0, files: 0 };

impl State {
    fn newest(&self) -> u8 {
        let mut version = self.log.len();
        while self.log[version - 1].kind == Kind::Absent {
            version -= 1;
        }
        version as u8
    }

    fn record(&self, version: u8) -> Record {
        self.log[usize::from(version) - 1]
    }

    fn put(&mut self, version: u8, record: Record) {
        self.log[usize::from(version) - 1] = record;
    }
}

fn own(writer: usize) -> u8 {
    2 << writer
}

fn live(by: u8, files: u8, revoked: u8) -> Record {
    Record {
        kind: Kind::Live,
        by,
        files,
        revoked,
    }
}

impl Model for Appends {
    type State = State;

    fn start(&self) -> State {
        let writer = Writer {
            at: At::Start,
            base: 0,
            files: 0,
            tries: 0,
            unclear: false,
        };
        let expirer = Expirer {
            at: ExpirerAt::Idle,
            base: 0,
            candidates: 0,
            rounds: self.rounds,
            live: 0,
        };
        let mut state = State {
            log: [NOBODY; 6],
            writers: [writer; 3],
            expirers: [expirer; 2],
            late: [NO_LATE; 3],
            data: 1,
            acked: 0,
        };
        state.put(1, live(FIRST, 1, 0));
        state
    }

    fn steps(&self, state: &State, step: &mut Step<'_, State>) {
        for i in 0..self.writers {
            self.late_steps(state, i, step);
            self.writer_steps(state, i, step);
        }
        for j in 0..self.expirers {
            self.expirer_steps(state, j, step);
        }
    }

    fn wrong(&self, state: &State) -> Option<Violation> {
        let newest = state.record(state.newest());
        if newest.kind == Kind::Tombstone {
            return Some(Violation::NewestIsTombstone);
        }
        if newest.files & !state.data != 0 {
            return Some(Violation::Dangling);
        }
        if state.acked & !newest.files != 0 {
            return Some(Violation::RowLost);
        }
        for i in 0..self.writers {
            if state.writers[i].at == At::Failed && newest.files & own(i) != 0 {
                return Some(Violation::FailedButThere);
            }
        }
        None
    }
}

impl Appends {
    fn is(&self, naive: Naive) -> bool {
        self.naive == Some(naive)
    }
}
