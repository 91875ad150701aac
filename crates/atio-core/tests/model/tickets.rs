//! A write in two phases: parts that processes prepare under one ticket, which two processes
//! commit, beside an append and an expiry.
//!
//! Version 1 names one file. The ticket has two parts of one file each. A committer
//! has both parts, or one of them. A committer tries at most three times. An expiry
//! retains the newest version alone.

mod committing;
mod others;

use super::search::{Model, Step, Violation, hash_as_word};

/// Who takes part, and which rule they break.
#[derive(Clone, Copy, Default)]
pub(super) struct Tickets {
    pub(super) committers: usize,
    /// The parts that each committer has: 1 is the first, 2 the second, 3 both.
    pub(super) parts: [u8; 2],
    /// The ticket replaces all rows.
    pub(super) overwrite: bool,
    pub(super) appends: bool,
    /// How often the expirer begins.
    pub(super) expiries: u8,
    /// A request without an answer may be carried out later, or never.
    pub(super) late: bool,
    pub(super) naive: Option<Naive>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Naive {
    /// The commit begins on the newest version, and does not look at those since the ticket.
    BaseAtCommit,
    /// A committer does not look for a record of its own transaction.
    OwnNotLookedFor,
    /// Every record of its own transaction is that of its own parts.
    OwnIsSame,
    /// A tombstone of its own transaction that counts as many files is that of its own parts.
    CountsAreEnough,
    /// A committer that fails deletes the parts.
    CleansUp,
}

/// The file of version 1, those of the parts, and that of the append, as bits.
const FIRST: u8 = 1;
const PARTS: u8 = 2 | 4;
const APPENDED: u8 = 8;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct State {
    log: [Record; 6],
    committers: [Committer; 2],
    appender: Appender,
    expirer: Expirer,
    /// Requests under way that nobody waits for, one a committer.
    late: [Late; 2],
    ticket: Ticket,
    /// Files that exist.
    data: u8,
    /// Files whose commit was acknowledged.
    acked: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Record {
    kind: Kind,
    by: By,
    files: u8,
    /// Of a tombstone, how many.
    added: u8,
    /// The transactions of these files.
    revoked: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Absent,
    Live,
    Tombstone,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Other,
    /// The ticket's transaction, through this committer.
    First,
    Second,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Ticket {
    /// The version that it was begun on; 0 before.
    base: u8,
    /// What that version names.
    files: u8,
    /// Parts that were handed over.
    prepared: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Committer {
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
    Checking,
    Ready,
    Unclear,
    Conflict,
    /// It has failed, and looks once more whether another has committed the ticket.
    No,
    TooMany,
    Acked,
    /// Told that the ticket was not committed.
    Failed,
    /// Told that others came first again and again.
    GaveUp,
    /// Told that the ticket was committed with other parts.
    Refused,
    /// Told that nobody knows.
    Unknown,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Appender {
    at: AppenderAt,
    base: u8,
    files: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AppenderAt {
    Start,
    Staged,
    Ended,
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
    added,
    revoked
});
hash_as_word!(Ticket {
    base,
    files,
    prepared
});
hash_as_word!(Committer {
    at,
    base,
    files,
    tries,
    unclear
});
hash_as_word!(Appender { at, base, files });
hash_as_word!(Expirer {
    at,
    base,
    candidates,
    rounds,
    live
});
hash_as_word!(Late { key, files });

const NOBODY: Record = Record {
    kind: Kind::Absent,
    by: By::Other,
    files: 0,
    added: 0,
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

    /// How many versions the ticket has made.
    fn made(&self) -> usize {
        let made = self.log.iter().filter(|record| record.by != By::Other);
        made.count()
    }
}

fn live(by: By, files: u8, added: u8) -> Record {
    Record {
        kind: Kind::Live,
        by,
        files,
        added,
        revoked: 0,
    }
}

impl Model for Tickets {
    type State = State;

    fn start(&self) -> State {
        let committer = Committer {
            at: At::Start,
            base: 0,
            files: 0,
            tries: 0,
            unclear: false,
        };
        let mut state = State {
            log: [NOBODY; 6],
            committers: [committer; 2],
            appender: Appender {
                at: match self.appends {
                    true => AppenderAt::Start,
                    false => AppenderAt::Ended,
                },
                base: 0,
                files: 0,
            },
            expirer: Expirer {
                at: ExpirerAt::Idle,
                base: 0,
                candidates: 0,
                rounds: self.expiries,
                live: 0,
            },
            late: [NO_LATE; 2],
            ticket: Ticket {
                base: 0,
                files: 0,
                prepared: 0,
            },
            data: FIRST,
            acked: FIRST,
        };
        state.put(1, live(By::Other, FIRST, FIRST));
        state
    }

    fn steps(&self, state: &State, step: &mut Step<'_, State>) {
        self.ticket_steps(state, step);
        for i in 0..self.committers {
            self.committer_steps(state, i, step);
            self.late_steps(state, i, step);
        }
        self.append_steps(state, step);
        self.expirer_steps(state, step);
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
        if state.made() > 1 {
            return Some(Violation::TicketTwice);
        }
        let failed = state.committers.iter().any(|one| one.at == At::Failed);
        (failed && state.made() > 0).then_some(Violation::FailedButThere)
    }
}

impl Tickets {
    fn is(&self, naive: Naive) -> bool {
        self.naive == Some(naive)
    }

    /// The files that a committer commits.
    fn own(&self, i: usize) -> u8 {
        self.parts[i] << 1
    }
}
