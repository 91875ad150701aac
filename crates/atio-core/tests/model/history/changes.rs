//! What others do: delete a row, tag a version, go back to one.

use super::super::search::Step;
use super::log::{
    Actor, DELETER, FIRST, Marker, ROLLBACK, State, TAGGED, TAGGER, WITHOUT_A, version_bit,
};
use super::{Check, History, Tag};

impl History {
    /// Deletes row A: rewrites the manifest that holds it, and plans anew after a conflict.
    pub(super) fn delete_steps(&self, state: &State, step: &mut Step<'_, State>) {
        let actor = state.delete;
        let base = state.newest();
        let mut next = *state;
        match actor.at {
            Marker::Start => {
                next.delete = Actor {
                    at: Marker::Ready,
                    base,
                    ..actor
                };
                step(next, format_args!("D reads base v{base}"));
            }
            Marker::Ready if state.passed(actor.base) && actor.tries < 2 => {
                next.delete = Actor {
                    base,
                    tries: actor.tries + 1,
                    ..actor
                };
                step(
                    next,
                    format_args!("D finds another version: plans anew on v{base}"),
                );
            }
            Marker::Ready if state.passed(actor.base) => {
                next.delete = Actor::at(Marker::Absent);
                step(next, format_args!("D gives up"));
            }
            Marker::Ready if !state.record(actor.base).tombstone => {
                let mut record = state.above(actor.base, DELETER);
                let mut rows = 0;
                if let Some((object, others)) = state.holding_a(record.lists) {
                    record.lists &= !object;
                    rows = others;
                }
                if rows != 0 {
                    record.lists |= WITHOUT_A;
                    next.data |= WITHOUT_A;
                }
                next.delete = Actor {
                    at: Marker::Acked,
                    rows,
                    ..actor
                };
                next.acked_delete = true;
                next.put(actor.base + 1, record);
                step(
                    next,
                    format_args!("D creates v{} without row A", actor.base + 1),
                );
            }
            _ => {}
        }
    }

    pub(super) fn tag_steps(&self, state: &State, step: &mut Step<'_, State>) {
        match self.tag {
            None => {}
            Some(Tag::Log(check)) => {
                let mark = Mark {
                    check,
                    name: 'T',
                    by: TAGGER,
                };
                mark.steps(state, state.tag, step);
            }
            Some(how) => tag_object_steps(state, how, step),
        }
    }

    pub(super) fn rollback_steps(&self, state: &State, step: &mut Step<'_, State>) {
        if let Some(check) = self.rollback {
            let mark = Mark {
                check,
                name: 'R',
                by: ROLLBACK,
            };
            mark.steps(state, state.rollback, step);
        }
    }
}

/// A commit that counts on version 1.
struct Mark {
    check: Check,
    name: char,
    by: u8,
}

impl Mark {
    /// True if version 1 looks as if it could be read.
    fn looks_readable(&self, state: &State, begins: bool) -> bool {
        let live = !state.record(TAGGED).tombstone;
        let newest = state.record(state.newest());
        match self.check {
            Check::Fence => newest.expired & version_bit(TAGGED) == 0,
            Check::Record | Check::RecordOnce => live,
            Check::Blind => live || !begins,
        }
    }

    fn steps(&self, state: &State, actor: Actor, step: &mut Step<'_, State>) {
        let (base, key, name) = (state.newest(), actor.base + 1, self.name);
        match actor.at {
            Marker::Start if self.looks_readable(state, true) => {
                let next = self.put(
                    state,
                    Actor {
                        at: Marker::Ready,
                        base,
                        ..actor
                    },
                );
                step(
                    next,
                    format_args!("{name} reads base v{base}, v1 seems readable"),
                );
            }
            Marker::Start => {
                let next = self.put(state, Actor::at(Marker::Failed));
                step(next, format_args!("{name} finds v1 expired: fails"));
            }
            Marker::Ready if state.passed(actor.base) => self.rebase_steps(state, actor, step),
            Marker::Ready if !state.record(actor.base).tombstone => {
                let mut next = self.put(state, Actor::at(Marker::Acked));
                let mut record = state.above(actor.base, self.by);
                match self.by {
                    TAGGER => {
                        record.tags |= version_bit(TAGGED);
                        next.acked_tag = true;
                    }
                    _ => record.lists = FIRST,
                }
                next.put(key, record);
                step(next, format_args!("{name} creates v{key} for v1"));
            }
            _ => {}
        }
    }

    fn rebase_steps(&self, state: &State, actor: Actor, step: &mut Step<'_, State>) {
        let (base, key, name) = (state.newest(), actor.base + 1, self.name);
        let failed = self.put(state, Actor::at(Marker::Failed));
        if self.check == Check::RecordOnce {
            step(
                failed,
                format_args!("{name} finds that v{key} exists: fails"),
            );
        } else if !self.looks_readable(state, false) {
            step(failed, format_args!("{name} finds v1 expired since: fails"));
        } else if actor.tries < 2 {
            let tries = actor.tries + 1;
            let next = self.put(
                state,
                Actor {
                    base,
                    tries,
                    ..actor
                },
            );
            step(next, format_args!("{name} rebases on v{base}"));
        } else {
            step(failed, format_args!("{name} gives up after three tries"));
        }
    }

    fn put(&self, state: &State, actor: Actor) -> State {
        let mut next = *state;
        match self.by {
            TAGGER => next.tag = actor,
            _ => next.rollback = actor,
        }
        next
    }
}

fn tag_object_steps(state: &State, how: Tag, step: &mut Step<'_, State>) {
    let mut next = *state;
    match state.tag.at {
        Marker::Start if state.record(TAGGED).tombstone => {
            next.tag = Actor::at(Marker::Failed);
            step(next, format_args!("T finds v1 expired: fails"));
        }
        Marker::Start => {
            next.tag = Actor {
                at: Marker::Ready,
                base: state.newest(),
                ..state.tag
            };
            step(next, format_args!("T finds v1 readable"));
        }
        Marker::Ready => {
            next.tag_object = true;
            next.acked_tag = how == Tag::Object;
            next.tag = Actor::at(match how {
                Tag::Object => Marker::Acked,
                _ => Marker::Verifying,
            });
            step(next, format_args!("T writes the tag"));
        }
        Marker::Verifying => {
            let newest = state.record(state.newest());
            if newest.expired & version_bit(TAGGED) != 0 {
                next.tag_object = false;
                next.tag = Actor::at(Marker::Failed);
                step(
                    next,
                    format_args!("T finds v1 expired: removes the tag and fails"),
                );
            } else {
                next.acked_tag = true;
                next.tag = Actor::at(Marker::Acked);
                step(next, format_args!("T still finds v1 readable: done"));
            }
        }
        _ => {}
    }
}
