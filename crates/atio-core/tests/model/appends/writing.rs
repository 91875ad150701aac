//! A writer: stage, create, find out what became of it, rebase.

use super::super::search::Step;
use super::{Appends, At, Cleaning, Kind, Late, NO_LATE, Naive, Record, State, Writer, live, own};

impl Appends {
    pub(super) fn late_steps(&self, state: &State, i: usize, step: &mut Step<'_, State>) {
        let Late { key, files } = state.late[i];
        if key == 0 {
            return;
        }
        let mut next = *state;
        next.late[i] = NO_LATE;
        step(
            next,
            format_args!("the late PUT of v{key} by W{i} is dropped"),
        );
        if state.record(key).kind == Kind::Absent {
            next.put(key, live(i as u8 + 1, files, 0));
            step(next, format_args!("the late PUT of v{key} by W{i} lands"));
        }
    }

    pub(super) fn writer_steps(&self, state: &State, i: usize, step: &mut Step<'_, State>) {
        let writer = state.writers[i];
        let by = i as u8 + 1;
        let key = writer.base + 1;
        let with = |writer| {
            let mut next = *state;
            next.writers[i] = writer;
            next
        };
        let to = |at| with(Writer { at, ..writer });
        let acked = || {
            let mut next = to(At::Acked);
            next.acked |= own(i);
            next
        };
        match writer.at {
            At::Start => {
                let base = state.newest();
                let Record { kind, files, .. } = state.record(base);
                if kind == Kind::Live {
                    let next = with(Writer {
                        at: At::Based,
                        base,
                        files,
                        ..writer
                    });
                    step(next, format_args!("W{i} reads base v{base}"));
                }
            }
            At::Based => {
                let mut next = to(At::Ready);
                next.data |= own(i);
                step(next, format_args!("W{i} stages its file"));
            }
            At::Ready if state.record(key).kind == Kind::Absent => {
                let files = writer.files | own(i);
                let mut next = acked();
                next.put(key, live(by, files, 0));
                step(next, format_args!("W{i} creates v{key}"));
                if !writer.unclear {
                    let unknown = with(Writer {
                        at: At::Unknown,
                        unclear: true,
                        ..writer
                    });
                    let mut next = unknown;
                    next.put(key, live(by, files, 0));
                    step(next, format_args!("W{i} creates v{key}, the reply is lost"));
                    let mut next = unknown;
                    if self.late {
                        next.late[i] = Late { key, files };
                    }
                    step(next, format_args!("W{i} sends v{key}, no answer yet"));
                }
            }
            At::Ready => step(
                to(At::Conflict),
                format_args!("W{i} finds that v{key} exists"),
            ),
            At::Unknown => {
                let found = state.record(key);
                if found.kind == Kind::Absent {
                    step(
                        to(At::Ready),
                        format_args!("W{i} reads v{key} back, absent: sends it again"),
                    );
                    if self.is(Naive::AbsentIsFailed) {
                        step(
                            to(At::Failed),
                            format_args!("W{i} reads v{key} back, absent: reports failure"),
                        );
                    }
                } else if found.by == by && !self.is(Naive::NoReadBack) {
                    step(acked(), format_args!("W{i} reads v{key} back, its own"));
                } else {
                    step(
                        to(At::Conflict),
                        format_args!("W{i} takes v{key} for another's"),
                    );
                }
            }
            At::Conflict => self.rebase_steps(state, i, step),
            At::Acked | At::Failed => {}
        }
    }

    fn rebase_steps(&self, state: &State, i: usize, step: &mut Step<'_, State>) {
        let writer = state.writers[i];
        let key = writer.base + 1;
        let failed = || {
            let mut next = *state;
            next.writers[i].at = At::Failed;
            if self.cleaning != Cleaning::Never {
                next.data &= !own(i);
            }
            next
        };
        let found = state.record(key);
        let ours = found.kind != Kind::Absent && found.by == i as u8 + 1;
        if ours && !self.is(Naive::NoReadBack) && !self.is(Naive::NoSecondReadBack) {
            let mut next = *state;
            next.writers[i].at = At::Acked;
            next.acked |= own(i);
            step(next, format_args!("W{i} finds its own v{key}"));
            return;
        }
        if self.cleaning == Cleaning::OnConflict {
            step(failed(), format_args!("W{i} gives up and deletes its file"));
            return;
        }
        if writer.tries >= 2 {
            step(failed(), format_args!("W{i} gives up after three tries"));
            return;
        }
        let newest = state.newest();
        let mut revoked = false;
        if !self.is(Naive::NoFence) {
            for version in key..=newest {
                let passed = state.record(version);
                revoked |= passed.kind == Kind::Absent || passed.revoked & own(i) != 0;
            }
        }
        if revoked {
            step(
                failed(),
                format_args!("W{i} is revoked, or misses a record: fails"),
            );
            return;
        }
        let base = state.record(newest);
        if base.kind == Kind::Live {
            let mut next = *state;
            next.writers[i] = Writer {
                at: At::Ready,
                base: newest,
                files: base.files,
                tries: writer.tries + 1,
                ..writer
            };
            step(next, format_args!("W{i} rebases on v{newest}"));
        }
    }
}
