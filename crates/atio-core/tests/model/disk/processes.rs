//! The writer and the expirers: what they do before and after a sync.

use super::super::search::Step;
use super::{Actor, At, Change, Disk, Naive, Name, ROW, State, WRITER, name_of};

impl Disk {
    pub(super) fn writer_steps(&self, state: &State, step: &mut Step<'_, State>) {
        let writer = state.writer;
        let newest = state.log().newest();
        let mut next = *state;
        match writer.at {
            At::Start => {
                let record = state.log().record(newest);
                let Change { files, expired, .. } = record;
                next.writer = Actor {
                    at: At::Based,
                    base: newest,
                    files,
                    expired,
                    ..writer
                };
                step(next, format_args!("W reads base v{newest}"));
            }
            At::Based => {
                next.writer.at = At::Staged;
                next.files |= ROW;
                if !self.is(Naive::StagesWithoutSync) {
                    next.durable_files |= ROW;
                }
                step(next, format_args!("W stages its file"));
            }
            At::Staged if newest != writer.base => {
                // No expiry here revokes anybody.
                let Change { files, expired, .. } = state.log().record(newest);
                next.writer = Actor {
                    base: newest,
                    files,
                    expired,
                    ..writer
                };
                step(next, format_args!("W rebases on v{newest}"));
            }
            _ => {}
        }
    }

    /// Creating a record, finding out, and syncing, for the writer and the expirers.
    pub(super) fn commit_steps(&self, state: &State, by: u8, step: &mut Step<'_, State>) {
        let mut next = *state;
        let name = Name(by);
        let actor = *next.actor(by);
        let key = actor.base + 1;
        match actor.at {
            At::Staged if state.log().newest() == actor.base => {
                next.push(Change {
                    makes_version: true,
                    by,
                    files: if by == WRITER {
                        actor.files | ROW
                    } else {
                        actor.files
                    },
                    expired: actor.expired,
                    buries: 0,
                });
                let mut unknown = next;
                next.actor(by).at = At::Created;
                step(next, format_args!("{name} creates v{key}"));
                unknown.actor(by).at = At::Unknown;
                step(
                    unknown,
                    format_args!("{name} creates v{key}, the reply is lost"),
                );
            }
            At::Unknown => {
                next.actor(by).at = At::Found;
                step(next, format_args!("{name} reads v{key} back, its own"));
            }
            At::Created | At::Found => self.sync_steps(state, by, step),
            _ => {}
        }
        if by != WRITER && !matches!(actor.at, At::Start | At::Done) {
            let mut next = *state;
            *next.actor(by) = over(actor);
            step(next, format_args!("{name} crashes"));
        }
    }

    fn sync_steps(&self, state: &State, by: u8, step: &mut Step<'_, State>) {
        let mut next = *state;
        let name = Name(by);
        let found = next.actor(by).at == At::Found;
        let own = state.log().record(next.actor(by).base + 1).by == by;
        let skips = match (by == WRITER, found) {
            (true, false) => self.is(Naive::AcksWithoutSync),
            (true, true) => self.is(Naive::AcksFoundWithoutSync),
            (false, false) => self.is(Naive::DeletesWithoutSync),
            (false, true) if own => self.is(Naive::DeletesOnFoundFence),
            (false, true) => self.is(Naive::DeletesOnOthersFence),
        };
        let ignores = match by {
            WRITER => self.is(Naive::AcksAfterFailedSync),
            _ => self.is(Naive::DeletesAfterFailedSync),
        };
        let mut failed = next;
        if ignores {
            go_on(&mut failed, by);
        } else if by == WRITER {
            failed.writer.at = At::Done;
        } else {
            *failed.actor(by) = over(*failed.actor(by));
        }
        step(failed, format_args!("{name} cannot sync metadata/"));
        if self.is(Naive::PointerBeforeSync) && by == WRITER {
            let mut next = next;
            next.pointer = state.log().newest();
            step(
                next,
                format_args!("{name} moves the pointer, which becomes durable"),
            );
        }
        if !skips {
            next.durable = next.made;
        }
        go_on(&mut next, by);
        match skips {
            true => step(next, format_args!("{name} goes on without a sync")),
            false => step(next, format_args!("{name} syncs metadata/")),
        }
    }

    pub(super) fn expirer_steps(&self, state: &State, by: u8, step: &mut Step<'_, State>) {
        let mut next = *state;
        let name = Name(by);
        let actor = *next.actor(by);
        let log = state.log();
        let newest = log.newest();
        match actor.at {
            At::Start if actor.rounds > 0 => {
                let record = log.record(newest);
                let mut expired = record.expired;
                let mut unfinished = false;
                for version in 1..newest {
                    if log.record(version).files & !record.files != 0 {
                        expired |= 1 << version;
                    }
                    unfinished |= record.expired & 1 << version != 0 && !log.buried(version);
                }
                let at = match (expired != record.expired, unfinished) {
                    (true, _) => At::Staged,
                    (false, true) => At::Found,
                    (false, false) => return,
                };
                // What is found is below the newest version, or the newest itself.
                let base = if at == At::Staged { newest } else { newest - 1 };
                *next.actor(by) = Actor {
                    at,
                    base,
                    files: record.files,
                    expired,
                    ..actor
                };
                let what = if at == At::Staged {
                    "plans"
                } else {
                    "finds work left to do"
                };
                step(next, format_args!("{name} reads v{newest} and {what}"));
            }
            At::Staged if newest != actor.base => {
                *next.actor(by) = over(actor);
                step(next, format_args!("{name} finds another version: stops"));
            }
            At::Deleting => {
                for version in 1..=newest {
                    if actor.expired & 1 << version == 0 {
                        continue;
                    }
                    let doomed = log.record(version).files & !actor.files & state.files;
                    if doomed != 0 {
                        let file = doomed & doomed.wrapping_neg();
                        next.files &= !file;
                        step(next, format_args!("{name} deletes file {}", name_of(file)));
                        return;
                    }
                    if !log.buried(version) {
                        next.push(Change {
                            buries: version,
                            ..Change::default()
                        });
                        step(next, format_args!("{name} buries v{version}"));
                        return;
                    }
                }
                *next.actor(by) = over(actor);
                step(next, format_args!("{name} is done"));
            }
            _ => {}
        }
    }
}

/// What the commit was for.
fn go_on(state: &mut State, by: u8) {
    if by == WRITER {
        state.writer.at = At::Done;
        state.acked = true;
    } else {
        state.actor(by).at = At::Deleting;
    }
}

/// The end of one round, or of the process and the start of another.
fn over(actor: Actor) -> Actor {
    Actor {
        at: At::Start,
        base: 0,
        files: 0,
        rounds: actor.rounds - 1,
        expired: 0,
    }
}
