//! An expirer: read, list, fence, delete, bury.

use super::super::search::Step;
use super::{Appends, Expirer, ExpirerAt, Kind, NOBODY, Naive, Record, State, live};

/// The first expirer, as the maker of a version.
const EXPIRER: u8 = 8;

impl Appends {
    pub(super) fn expirer_steps(&self, state: &State, j: usize, step: &mut Step<'_, State>) {
        let expirer = state.expirers[j];
        let by = EXPIRER + j as u8;
        let key = expirer.base + 1;
        let with = |expirer| {
            let mut next = *state;
            next.expirers[j] = expirer;
            next
        };
        let over = || {
            with(Expirer {
                at: ExpirerAt::Idle,
                base: 0,
                candidates: 0,
                rounds: expirer.rounds - 1,
                live: 0,
            })
        };
        match expirer.at {
            ExpirerAt::Idle if expirer.rounds > 0 => {
                let base = state.newest();
                let newest = state.record(base);
                if newest.kind == Kind::Live {
                    let next = with(Expirer {
                        at: ExpirerAt::Listing,
                        base,
                        live: newest.files,
                        ..expirer
                    });
                    step(next, format_args!("E{j} reads v{base}"));
                }
            }
            ExpirerAt::Idle => {}
            ExpirerAt::Listing => {
                let at = match self.is(Naive::NoFence) {
                    true => ExpirerAt::Deleting,
                    false => ExpirerAt::Fencing,
                };
                let candidates = state.data & !expirer.live;
                let next = with(Expirer {
                    at,
                    candidates,
                    ..expirer
                });
                step(next, format_args!("E{j} lists the files"));
            }
            ExpirerAt::Fencing if state.record(key).kind == Kind::Absent => {
                let fence = live(by, expirer.live, expirer.candidates);
                let mut next = with(Expirer {
                    at: ExpirerAt::Deleting,
                    base: key,
                    ..expirer
                });
                next.put(key, fence);
                step(next, format_args!("E{j} commits the fence v{key}"));
                let mut next = with(Expirer {
                    at: ExpirerAt::Unknown,
                    ..expirer
                });
                next.put(key, fence);
                step(
                    next,
                    format_args!("E{j} commits the fence v{key}, the reply is lost"),
                );
            }
            ExpirerAt::Fencing => {
                step(over(), format_args!("E{j} finds that v{key} exists: stops"))
            }
            ExpirerAt::Unknown => match state.record(key).by == by {
                true => {
                    let next = with(Expirer {
                        at: ExpirerAt::Deleting,
                        base: key,
                        ..expirer
                    });
                    step(next, format_args!("E{j} reads v{key} back, its own"));
                }
                false => step(
                    over(),
                    format_args!("E{j} reads v{key} back, another's: stops"),
                ),
            },
            ExpirerAt::Deleting => self.delete_steps(state, j, over(), step),
        }
    }

    fn delete_steps(&self, state: &State, j: usize, over: State, step: &mut Step<'_, State>) {
        let expirer = state.expirers[j];
        if expirer.candidates != 0 {
            let file = expirer.candidates.trailing_zeros();
            let mut next = *state;
            next.expirers[j].candidates &= !(1 << file);
            next.data &= !(1 << file);
            step(next, format_args!("E{j} deletes file {file}"));
            step(over, format_args!("E{j} crashes"));
            return;
        }
        for version in 1..expirer.base {
            let record = state.record(version);
            if record.kind == Kind::Live {
                let mut next = *state;
                match self.is(Naive::DeletesRecords) {
                    true => next.put(version, NOBODY),
                    false => next.put(
                        version,
                        Record {
                            kind: Kind::Tombstone,
                            files: 0,
                            ..record
                        },
                    ),
                }
                step(next, format_args!("E{j} buries v{version}"));
                break;
            }
        }
        step(over, format_args!("E{j} is done"));
    }
}
