//! The ticket and its parts, an append, and an expirer: read, list, fence, delete, bury.

use super::super::search::Step;
use super::{
    APPENDED, Appender, AppenderAt, By, Expirer, ExpirerAt, Kind, PARTS, Record, State, Ticket,
    Tickets, live,
};

impl Tickets {
    pub(super) fn ticket_steps(&self, state: &State, step: &mut Step<'_, State>) {
        let ticket = state.ticket;
        if ticket.base == 0 {
            let base = state.newest();
            let mut next = *state;
            next.ticket = Ticket {
                base,
                files: state.record(base).files,
                prepared: 0,
            };
            return step(next, format_args!("the ticket is begun on v{base}"));
        }
        for part in [2, 4] {
            if PARTS & part & !ticket.prepared != 0 {
                let mut next = *state;
                next.ticket.prepared |= part;
                next.data |= part;
                step(next, format_args!("part {} is prepared", part / 2));
            }
        }
    }

    pub(super) fn append_steps(&self, state: &State, step: &mut Step<'_, State>) {
        let appender = state.appender;
        let mut next = *state;
        match appender.at {
            AppenderAt::Start => {
                let base = state.newest();
                next.data |= APPENDED;
                next.appender = Appender {
                    at: AppenderAt::Staged,
                    base,
                    files: state.record(base).files,
                };
                step(
                    next,
                    format_args!("A reads base v{base} and stages its file"),
                );
            }
            AppenderAt::Staged => {
                let key = appender.base + 1;
                next.appender.at = AppenderAt::Ended;
                match state.record(key).kind {
                    Kind::Absent => {
                        next.put(key, live(By::Other, appender.files | APPENDED, APPENDED));
                        next.acked |= APPENDED;
                        step(next, format_args!("A creates v{key}"));
                    }
                    _ => step(next, format_args!("A finds that v{key} exists, and stops")),
                }
            }
            AppenderAt::Ended => {}
        }
    }

    pub(super) fn expirer_steps(&self, state: &State, step: &mut Step<'_, State>) {
        let expirer = state.expirer;
        let key = expirer.base + 1;
        let with = |expirer| {
            let mut next = *state;
            next.expirer = expirer;
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
                let next = with(Expirer {
                    at: ExpirerAt::Listing,
                    base,
                    live: state.record(base).files,
                    ..expirer
                });
                step(next, format_args!("E reads v{base}"));
            }
            ExpirerAt::Idle => {}
            ExpirerAt::Listing => {
                let next = with(Expirer {
                    at: ExpirerAt::Fencing,
                    candidates: state.data & !expirer.live,
                    ..expirer
                });
                step(next, format_args!("E lists the files"));
            }
            ExpirerAt::Fencing if state.record(key).kind == Kind::Absent => {
                let mut next = with(Expirer {
                    at: ExpirerAt::Deleting,
                    base: key,
                    ..expirer
                });
                let fence = Record {
                    revoked: expirer.candidates,
                    ..live(By::Other, expirer.live, 0)
                };
                next.put(key, fence);
                step(next, format_args!("E commits the fence v{key}"));
            }
            ExpirerAt::Fencing => step(over(), format_args!("E finds that v{key} exists: stops")),
            ExpirerAt::Deleting => self.delete_steps(state, over(), step),
        }
    }

    fn delete_steps(&self, state: &State, over: State, step: &mut Step<'_, State>) {
        let expirer = state.expirer;
        if expirer.candidates != 0 {
            let file = 1 << expirer.candidates.trailing_zeros();
            let mut next = *state;
            next.expirer.candidates &= !file;
            next.data &= !file;
            step(next, format_args!("E deletes file {file}"));
            step(over, format_args!("E crashes"));
            return;
        }
        for version in 1..expirer.base {
            let record = state.record(version);
            if record.kind == Kind::Live {
                let mut next = *state;
                let tombstone = Record {
                    kind: Kind::Tombstone,
                    files: 0,
                    added: record.added.count_ones() as u8,
                    ..record
                };
                next.put(version, tombstone);
                step(next, format_args!("E buries v{version}"));
                break;
            }
        }
        step(over, format_args!("E is done"));
    }
}
