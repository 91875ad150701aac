//! A writer: stage, create, find out what became of it, rebase.

use super::super::search::{Step, Violation};
use super::log::{At, Record, State, Writer, merged, row, small};
use super::{History, Merge, Naive};

impl History {
    pub(super) fn told_failed(&self, state: &State, rows: u8) -> Option<Violation> {
        for i in 0..self.writers {
            if state.writers[i].at == At::Failed && rows & row(i) != 0 {
                return Some(Violation::FailedButThere);
            }
        }
        None
    }

    pub(super) fn late_steps(&self, state: &State, i: usize, step: &mut Step<'_, State>) {
        let (key, record) = state.late[i];
        if key == 0 {
            return;
        }
        let mut next = *state;
        next.late[i] = (0, Record::default());
        step(
            next,
            format_args!("the late PUT of v{key} by W{i} is dropped"),
        );
        if !state.record(key).exists {
            next.put(key, record);
            step(next, format_args!("the late PUT of v{key} by W{i} lands"));
        }
    }

    pub(super) fn writer_steps(&self, state: &State, i: usize, step: &mut Step<'_, State>) {
        let writer = state.writers[i];
        let by = i as u8 + 1;
        let key = writer.base + 1;
        let to = |at| {
            let mut next = *state;
            next.writers[i] = Writer { at, ..writer };
            next
        };
        let acked = || {
            let mut next = to(At::Acked);
            next.acked_rows |= row(i);
            next
        };
        match writer.at {
            At::Start if self.key && state.keyed() => {
                step(
                    to(At::Repeated),
                    format_args!("W{i} finds its key: nothing to do"),
                );
            }
            At::Start => {
                let base = state.newest();
                let mut next = to(At::Based);
                next.writers[i].base = base;
                step(next, format_args!("W{i} reads base v{base}"));
            }
            At::Based => self.stage_steps(state, i, step),
            At::Ready if state.passed(writer.base) => {
                step(
                    to(At::Conflict),
                    format_args!("W{i} finds that v{key} exists"),
                );
            }
            At::Ready if state.record(writer.base).tombstone => {}
            At::Ready => {
                let record = self.record_of(state, i);
                let mut next = acked();
                next.put(key, record);
                step(next, format_args!("W{i} creates v{key}"));
                if self.late && !writer.unclear {
                    let mut unknown = to(At::Unknown);
                    unknown.writers[i].unclear = true;
                    let mut next = unknown;
                    next.put(key, record);
                    step(next, format_args!("W{i} creates v{key}, the reply is lost"));
                    let mut next = unknown;
                    next.late[i] = (key, record);
                    step(next, format_args!("W{i} sends v{key}, no answer yet"));
                }
            }
            At::Unknown if !state.passed(writer.base) => {
                step(
                    to(At::Ready),
                    format_args!("W{i} reads v{key} back, absent: sends it again"),
                );
                let mut next = to(At::GaveUp);
                if self.naive == Some(Naive::CleansUpAfterUnknown) {
                    next.data &= !small(i);
                }
                step(
                    next,
                    format_args!("W{i} reaches its deadline: CommitUnknown"),
                );
            }
            At::Unknown if state.record(key).by == by => {
                step(acked(), format_args!("W{i} reads v{key} back, its own"));
            }
            At::Unknown => {
                step(
                    to(At::Conflict),
                    format_args!("W{i} reads v{key} back, another's"),
                );
            }
            At::Conflict => self.rebase_steps(state, i, step),
            At::Acked | At::Failed | At::Repeated | At::GaveUp => {}
        }
    }

    fn stage_steps(&self, state: &State, i: usize, step: &mut Step<'_, State>) {
        let mut next = *state;
        if self.merge.is_none() {
            next.writers[i].at = At::Ready;
            next.data |= small(i);
            step(next, format_args!("W{i} stages its row"));
            return;
        }
        let base = state.record(state.writers[i].base);
        if base.tombstone || base.lists & !state.data != 0 {
            next.writers[i].at = At::Failed;
            step(next, format_args!("W{i} finds its base expired: fails"));
            return;
        }
        next.writers[i].at = At::Ready;
        next.writers[i].inputs = base.lists;
        next.writers[i].merged_rows = state.rows(base.lists) | row(i);
        next.data |= small(i) | merged(i);
        step(
            next,
            format_args!("W{i} stages its row and a merged manifest"),
        );
    }

    /// The record above the writer's base.
    fn record_of(&self, state: &State, i: usize) -> Record {
        let Writer { base, inputs, .. } = state.writers[i];
        let mut record = state.above(base, i as u8 + 1);
        record.keyed = self.key;
        let all_listed = inputs & !record.lists == 0;
        record.lists = match self.merge {
            Some(Merge::Added) => record.lists | merged(i),
            Some(Merge::Replacing) => record.lists & !inputs | merged(i),
            Some(Merge::IfAllListed) if all_listed => record.lists & !inputs | merged(i),
            _ => record.lists | small(i),
        };
        record
    }

    fn rebase_steps(&self, state: &State, i: usize, step: &mut Step<'_, State>) {
        let writer = state.writers[i];
        let by = i as u8 + 1;
        let key = writer.base + 1;
        let mut next = *state;
        if state.record(key).by == by {
            next.writers[i].at = At::Acked;
            next.acked_rows |= row(i);
            step(next, format_args!("W{i} finds its own v{key}"));
            return;
        }
        if writer.tries >= 2 {
            next.writers[i].at = At::Failed;
            step(next, format_args!("W{i} gives up after three tries"));
            return;
        }
        let newest = state.newest();
        let mut revoked = false;
        let mut keyed = false;
        for version in key..=newest {
            let passed = state.record(version);
            revoked |= passed.revoked & by != 0;
            keyed |= passed.keyed;
        }
        if revoked {
            next.writers[i].at = At::Failed;
            step(next, format_args!("W{i} finds itself revoked: fails"));
        } else if self.key && keyed {
            next.writers[i].at = At::Repeated;
            step(next, format_args!("W{i} passes its key: nothing to do"));
        } else {
            next.writers[i] = Writer {
                at: At::Ready,
                base: newest,
                tries: writer.tries + 1,
                ..writer
            };
            step(next, format_args!("W{i} rebases on v{newest}"));
        }
    }
}
