//! The whole history: tags, rollbacks, merged manifests, deletes, keys, and several expiries.
//!
//! Version 1 holds row A. Version 2 holds row B alone, so that version 1 can expire; where
//! manifests are merged or rows deleted it holds both. One object stands for a manifest and
//! its file. Each writer appends one row and tries at most three times. Each expiry retains
//! the newest version and the tagged ones.

mod changes;
mod expiry;
mod log;
mod writing;

use super::search::{Model, Step, Violation};
use log::Marker;
pub(super) use log::State;

/// Who takes part, and which rule they break.
#[derive(Clone, Copy, Default)]
pub(super) struct History {
    pub(super) writers: usize,
    pub(super) expirers: usize,
    /// How often each expirer begins.
    pub(super) rounds: u8,
    /// Somebody tags version 1.
    pub(super) tag: Option<Tag>,
    /// Somebody makes the state of version 1 the newest.
    pub(super) rollback: Option<Check>,
    /// Somebody deletes row A.
    pub(super) delete: bool,
    /// Writers replace all manifests by one beside their own, if they may.
    pub(super) merge: Option<Merge>,
    /// Writers run the same statement with the same key.
    pub(super) key: bool,
    /// Answers get lost, and requests are carried out late or never.
    pub(super) late: bool,
    pub(super) losing: Losing,
    /// Expiries list before they read the newest version, and commit a fence only if a file
    /// goes that somebody could still count on; they stop when another has buried versions
    /// that theirs does not know to have expired.
    pub(super) thrifty: bool,
    pub(super) naive: Option<Naive>,
}

/// How it is tested that version 1 can still be read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// On every attempt, by what has expired at the version that the commit builds on.
    Fence,
    /// On every attempt, by whether its record is a tombstone.
    Record,
    /// The same, and the first conflict is the end.
    RecordOnce,
    /// Only when it begins, by the record.
    Blind,
}

/// Where tags are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    /// In the log.
    Log(Check),
    /// Objects of their own, written after a look at the version.
    Object,
    /// The same with another look after writing; expiries look for tags after the fence.
    ObjectVerified,
}

/// What a rebase does with a merged manifest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Merge {
    /// Lists it if all that it stands for is listed, otherwise the small one.
    IfAllListed,
    /// Lists it beside the others.
    Added,
    /// Lists it in place of whatever is left of its inputs.
    Replacing,
}

/// What an expiry does that finds another commit in the place of its fence.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Losing {
    #[default]
    StartsAgain,
    /// Keeps the listing and plans anew on the newest version.
    PlansAnew,
    /// Keeps the listing and what its plan let stay, and reads only the versions since: all of
    /// them stay. Plans anew if another expiry came, or a tag.
    ReadsOn,
    KeepsPlan,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Naive {
    /// Tombstones do not say which transactions their version revoked.
    TombstonesForgetRevoked,
    /// Tombstones do not say with which key their version was made.
    TombstonesForgetKeys,
    /// The name of a staged object does not say whose it is, so nobody is revoked.
    NamesWithoutTxn,
    /// An expiry that needs no fence counts a transaction as committed that made a version
    /// above the one that its plan is for.
    CommittedSince,
    /// An expiry that needs no fence does not notice, from a tombstone that its plan cannot
    /// explain, that another expiry has come since.
    PlansOnStaleBase,
    /// An expiry that reads on does not look whether a tag came.
    ReadsOnPastTags,
    /// After CommitUnknown the writer deletes what it staged.
    CleansUpAfterUnknown,
}

impl Model for History {
    type State = State;

    fn start(&self) -> State {
        State::new(self)
    }

    fn steps(&self, state: &State, step: &mut Step<'_, State>) {
        for i in 0..self.writers {
            self.late_steps(state, i, step);
            self.writer_steps(state, i, step);
        }
        self.delete_steps(state, step);
        self.tag_steps(state, step);
        self.rollback_steps(state, step);
        for j in 0..self.expirers {
            self.expirer_steps(state, j, step);
        }
    }

    fn wrong(&self, state: &State) -> Option<Violation> {
        let newest = state.record(state.newest());
        if newest.tombstone {
            return Some(Violation::NewestIsTombstone);
        }
        if newest.lists & !state.data != 0 {
            return Some(Violation::Dangling);
        }
        let Some(rows) = state.rows_once(newest.lists) else {
            return Some(Violation::RowTwice);
        };
        if state.acked_rows & !rows != 0 && state.rollback.at != Marker::Acked {
            return Some(Violation::RowLost);
        }
        if state.acked_delete && rows & log::ROW_A != 0 {
            return Some(Violation::RowBack);
        }
        if state.acked_tag {
            let tagged = state.record(log::TAGGED);
            if newest.expired & log::version_bit(log::TAGGED) != 0 || tagged.tombstone {
                return Some(Violation::TagExpired);
            }
            if tagged.lists & !state.data != 0 {
                return Some(Violation::OlderDangling);
            }
        }
        let runs = log::row(0) | log::row(1);
        if self.key && rows & runs == runs {
            return Some(Violation::KeyTwice);
        }
        self.told_failed(state, rows)
    }
}
