//! A committer: look at what was passed, look at the files, create, find out what became of it.

use super::super::search::Step;
use super::{At, By, Committer, Kind, Late, NO_LATE, Naive, PARTS, Record, State, Tickets, live};

/// What a committer finds in the versions that it passes.
enum Found {
    Nothing,
    /// This one is of its own transaction.
    Own(u8),
    /// One stands against it.
    Against,
}

impl Tickets {
    pub(super) fn late_steps(&self, state: &State, i: usize, step: &mut Step<'_, State>) {
        let Late { key, files } = state.late[i];
        if key == 0 {
            return;
        }
        let mut next = *state;
        next.late[i] = NO_LATE;
        step(
            next,
            format_args!("the late PUT of v{key} by C{i} is dropped"),
        );
        if state.record(key).kind == Kind::Absent {
            self.land(&mut next, i, key, files);
            step(next, format_args!("the late PUT of v{key} by C{i} lands"));
        }
    }

    /// The record of a committer gets its place.
    fn land(&self, next: &mut State, i: usize, key: u8, files: u8) {
        let by = [By::First, By::Second][i];
        next.put(key, live(by, files, self.own(i)));
        if self.overwrite {
            // What it was begun on is replaced on purpose.
            next.acked &= !next.ticket.files;
        }
    }

    pub(super) fn committer_steps(&self, state: &State, i: usize, step: &mut Step<'_, State>) {
        let committer = state.committers[i];
        let key = committer.base + 1;
        let with = |committer| {
            let mut next = *state;
            next.committers[i] = committer;
            next
        };
        let to = |at| with(Committer { at, ..committer });
        match committer.at {
            At::Start => {
                if state.ticket.base != 0 && self.own(i) & !state.ticket.prepared == 0 {
                    let base = state.newest();
                    let next = with(Committer {
                        at: At::Based,
                        base,
                        files: state.record(base).files,
                        ..committer
                    });
                    step(next, format_args!("C{i} reads the newest v{base}"));
                }
            }
            At::Based => {
                let from = state.ticket.base + 1;
                let found = match self.is(Naive::BaseAtCommit) {
                    true => Found::Nothing,
                    false => self.find(state, from, committer.base),
                };
                match found {
                    Found::Nothing => {
                        step(
                            to(At::Checking),
                            format_args!("C{i} finds nothing since v{from}"),
                        );
                    }
                    found => self.ended(state, i, found, step),
                }
            }
            At::Checking => match self.own(i) & !state.data {
                0 => step(to(At::Ready), format_args!("C{i} looks at its files")),
                _ => step(to(At::No), format_args!("C{i} misses a file")),
            },
            At::Ready if state.record(key).kind == Kind::Absent => {
                self.create_steps(state, i, step);
            }
            At::Ready => step(
                to(At::Conflict),
                format_args!("C{i} finds that v{key} exists"),
            ),
            At::Unclear => {
                let found = state.record(key);
                let same = found.by == [By::First, By::Second][i]
                    || self.is(Naive::OwnIsSame) && found.by != By::Other;
                if found.kind == Kind::Absent {
                    let next = to(At::Ready);
                    step(
                        next,
                        format_args!("C{i} reads v{key} back, absent: sends it again"),
                    );
                } else if same {
                    let next = self.acked(state, i);
                    step(next, format_args!("C{i} reads v{key} back, its own"));
                } else {
                    let next = to(At::Conflict);
                    step(next, format_args!("C{i} takes v{key} for another's"));
                }
            }
            At::Conflict => {
                let newest = state.newest();
                match self.find(state, key, newest) {
                    Found::Nothing if committer.tries >= 2 => {
                        step(to(At::TooMany), format_args!("C{i} has tried three times"));
                    }
                    Found::Nothing => {
                        let next = with(Committer {
                            at: At::Ready,
                            base: newest,
                            files: state.record(newest).files,
                            tries: committer.tries + 1,
                            ..committer
                        });
                        step(next, format_args!("C{i} rebases on v{newest}"));
                    }
                    found => self.ended(state, i, found, step),
                }
            }
            At::No | At::TooMany => {
                let found = self.find(state, state.ticket.base + 1, state.newest());
                match found {
                    Found::Own(_) => self.ended(state, i, found, step),
                    Found::Nothing | Found::Against => {
                        let mut next = to(match committer.at {
                            At::No => At::Failed,
                            _ => At::GaveUp,
                        });
                        if self.is(Naive::CleansUp) {
                            next.data &= !self.own(i);
                        }
                        step(next, format_args!("C{i} fails"));
                    }
                }
            }
            At::Acked | At::Failed | At::GaveUp | At::Refused | At::Unknown => {}
        }
    }

    fn create_steps(&self, state: &State, i: usize, step: &mut Step<'_, State>) {
        let committer = state.committers[i];
        let key = committer.base + 1;
        let files = match self.overwrite {
            true => self.own(i),
            false => committer.files | self.own(i),
        };
        let mut next = *state;
        self.land(&mut next, i, key, files);
        next = self.acked(&next, i);
        step(next, format_args!("C{i} creates v{key}"));
        if committer.unclear {
            return;
        }
        let mut unclear = *state;
        unclear.committers[i] = Committer {
            at: At::Unclear,
            unclear: true,
            ..committer
        };
        let mut next = unclear;
        self.land(&mut next, i, key, files);
        step(next, format_args!("C{i} creates v{key}, the reply is lost"));
        let mut next = unclear;
        if self.late {
            next.late[i] = Late { key, files };
        }
        step(next, format_args!("C{i} sends v{key}, no answer yet"));
    }

    fn acked(&self, state: &State, i: usize) -> State {
        let mut next = *state;
        next.committers[i].at = At::Acked;
        next.acked |= self.own(i);
        next
    }

    /// What the versions from `first` to `last` mean for the ticket.
    fn find(&self, state: &State, first: u8, last: u8) -> Found {
        for version in first..=last {
            let Record {
                by, added, revoked, ..
            } = state.record(version);
            if by != By::Other && !self.is(Naive::OwnNotLookedFor) {
                return Found::Own(version);
            }
            if revoked & PARTS != 0 || self.overwrite && added != 0 {
                return Found::Against;
            }
        }
        Found::Nothing
    }

    /// The ending of a committer by what it found.
    fn ended(&self, state: &State, i: usize, found: Found, step: &mut Step<'_, State>) {
        let to = |at| {
            let mut next = *state;
            next.committers[i].at = at;
            next
        };
        let Found::Own(version) = found else {
            return step(
                to(At::No),
                format_args!("C{i} finds what stands against it"),
            );
        };
        let record = state.record(version);
        let there = self.own(i) & !state.record(state.newest()).files == 0;
        let same = match record.kind {
            Kind::Tombstone if u32::from(record.added) != self.own(i).count_ones() => Some(false),
            Kind::Tombstone => (there || self.is(Naive::CountsAreEnough)).then_some(true),
            _ => Some(record.added == self.own(i)),
        };
        match same {
            Some(same) if same || self.is(Naive::OwnIsSame) => {
                let next = self.acked(state, i);
                step(next, format_args!("C{i} finds that v{version} is its own"));
            }
            Some(_) => {
                let mut next = to(At::Refused);
                if self.is(Naive::CleansUp) {
                    next.data &= !self.own(i);
                }
                step(next, format_args!("C{i} finds v{version} with other parts"));
            }
            None => {
                let next = to(At::Unknown);
                step(next, format_args!("C{i} finds v{version}, and cannot tell"));
            }
        }
    }
}
