//! An expiry: list, plan, fence, delete, bury.

use super::super::search::Step;
use super::log::{EXPIRER, Expirer, ExpirerAt, Record, State, TAGGED, merged, small, version_bit};
use super::{History, Losing, Naive, Tag};

impl History {
    pub(super) fn expirer_steps(&self, state: &State, j: usize, step: &mut Step<'_, State>) {
        let expirer = state.expirers[j];
        let with = |expirer| {
            let mut next = *state;
            next.expirers[j] = expirer;
            next
        };
        match expirer.at {
            ExpirerAt::Idle if expirer.rounds == 0 => {}
            ExpirerAt::Idle if self.thrifty => {
                let next = with(Expirer {
                    at: ExpirerAt::Listed,
                    listing: state.data,
                    ..expirer
                });
                step(next, format_args!("E{j} lists"));
            }
            ExpirerAt::Idle => {
                let (at, base) = (ExpirerAt::Planning, state.newest());
                let next = with(Expirer {
                    at,
                    base,
                    listing: state.data,
                    ..expirer
                });
                step(next, format_args!("E{j} reads v{base} and lists"));
            }
            ExpirerAt::Listed => {
                let base = state.newest();
                let next = with(Expirer {
                    at: ExpirerAt::Planning,
                    base,
                    ..expirer
                });
                step(next, format_args!("E{j} reads v{base}"));
            }
            ExpirerAt::Planning => self.plan_steps(state, j, step),
            ExpirerAt::Fencing => self.fence_steps(state, j, step),
            ExpirerAt::Deleting => self.deleting_steps(state, j, step),
        }
    }

    fn plan_steps(&self, state: &State, j: usize, step: &mut Step<'_, State>) {
        let expirer = state.expirers[j];
        let mut next = *state;
        let base = state.record(expirer.base);
        let stale = self.thrifty && self.naive != Some(Naive::PlansOnStaleBase);
        if base.tombstone || stale && self.another_expired(state, expirer.read, expirer.base) {
            next.expirers[j] = over(expirer);
            step(
                next,
                format_args!("E{j} finds that another expiry was faster: stops"),
            );
            return;
        }
        let mut kept = match expirer.kept {
            0 => version_bit(expirer.base) | base.tags,
            kept => kept,
        };
        if state.tag_object {
            kept |= version_bit(TAGGED);
        }
        let mut expired = base.expired;
        for version in 1..=expirer.base {
            expired |= version_bit(version) & !kept;
        }
        let (mut live, mut named, mut freed) = (expirer.live, expirer.named, expirer.freed);
        for version in expirer.read + 1..=expirer.base {
            // A tombstone lists nothing.
            let lists = state.record(version).lists;
            if kept & version_bit(version) != 0 {
                live |= lists;
            } else {
                named |= lists;
                if base.expired & version_bit(version) == 0 {
                    freed |= lists;
                }
            }
        }
        let remembered = match self.losing {
            Losing::ReadsOn => Expirer {
                read: expirer.base,
                kept,
                live,
                named,
                freed,
                ..expirer
            },
            _ => expirer,
        };
        let mut found = expirer.listing;
        if self.thrifty {
            // What a record names needs no list; and what shares all its files costs nothing.
            found |= named;
            if freed & !live == 0 {
                expired = base.expired;
            }
        }
        let candidates = found & !live;
        let needless =
            expired == base.expired && self.revoked(state, expirer.base, candidates) == 0;
        next.expirers[j] = Expirer {
            at: match self.thrifty && needless {
                true => ExpirerAt::Deleting,
                false => ExpirerAt::Fencing,
            },
            candidates,
            expired,
            ..remembered
        };
        step(
            next,
            format_args!("E{j} plans to expire {}", Versions(expired)),
        );
    }

    /// True if a version above `read` has a tombstone that `base` does not know to have expired.
    fn another_expired(&self, state: &State, read: u8, base: u8) -> bool {
        let expired = state.record(base).expired;
        (read + 1..base)
            .any(|version| state.record(version).tombstone && expired & version_bit(version) == 0)
    }

    /// Writers whose objects are among `candidates` and who have made no version up to `base`,
    /// by bits.
    fn revoked(&self, state: &State, base: u8, candidates: u8) -> u8 {
        let mut revoked = 0;
        for i in 0..self.writers {
            if candidates & (small(i) | merged(i)) != 0 {
                revoked |= 1 << i;
            }
        }
        match self.naive {
            Some(Naive::NamesWithoutTxn) => 0,
            Some(Naive::CommittedSince) => revoked & !state.committed(state.newest()),
            _ => revoked & !state.committed(base),
        }
    }

    fn fence_steps(&self, state: &State, j: usize, step: &mut Step<'_, State>) {
        let expirer = state.expirers[j];
        let key = expirer.base + 1;
        let mut next = *state;
        if !state.passed(expirer.base) {
            if !state.record(expirer.base).tombstone {
                let revoked = self.revoked(state, expirer.base, expirer.candidates);
                let fence = Record {
                    revoked,
                    expired: expirer.expired,
                    ..state.above(expirer.base, EXPIRER + j as u8)
                };
                next.expirers[j].at = ExpirerAt::Deleting;
                next.put(key, fence);
                let expired = Versions(expirer.expired);
                step(
                    next,
                    format_args!(
                        "E{j} creates the fence v{key}: expired {expired}, revoked {revoked:02b}"
                    ),
                );
            }
            return;
        }
        let newest = state.newest();
        next.expirers[j] = match self.losing {
            Losing::PlansAnew if expirer.rounds > 1 => Expirer {
                at: ExpirerAt::Planning,
                base: newest,
                candidates: 0,
                expired: 0,
                rounds: expirer.rounds - 1,
                ..expirer
            },
            Losing::ReadsOn if expirer.rounds > 1 => {
                let (old, new) = (state.record(expirer.base), state.record(newest));
                let same_tags = old.tags == new.tags || self.naive == Some(Naive::ReadsOnPastTags);
                let remembered = match old.expired == new.expired && same_tags {
                    true => expirer,
                    false => Expirer::default(),
                };
                let passed = (key..=newest)
                    .map(version_bit)
                    .fold(0, |all, bit| all | bit);
                Expirer {
                    at: ExpirerAt::Planning,
                    base: newest,
                    candidates: 0,
                    expired: 0,
                    rounds: expirer.rounds - 1,
                    listing: expirer.listing,
                    kept: match remembered.kept {
                        0 => 0,
                        kept => kept | passed,
                    },
                    ..remembered
                }
            }
            Losing::KeepsPlan if expirer.rounds > 1 => Expirer {
                base: newest,
                expired: expirer.expired | state.record(newest).expired,
                rounds: expirer.rounds - 1,
                ..expirer
            },
            _ => over(expirer),
        };
        step(next, format_args!("E{j} finds that v{key} exists"));
    }

    fn deleting_steps(&self, state: &State, j: usize, step: &mut Step<'_, State>) {
        let expirer = state.expirers[j];
        let looks_for_tags = self.tag == Some(Tag::ObjectVerified) && state.tag_object;
        let mut over_now = *state;
        over_now.expirers[j] = over(expirer);
        let protected = match looks_for_tags {
            true => state.record(TAGGED).lists,
            false => 0,
        };
        let candidates = expirer.candidates & !protected;
        if candidates != 0 {
            let object = candidates & candidates.wrapping_neg();
            let mut next = *state;
            next.expirers[j].candidates &= !object;
            next.data &= !object;
            step(next, format_args!("E{j} deletes {}", name_of(object)));
            step(over_now, format_args!("E{j} crashes"));
            return;
        }
        for version in 1..=expirer.base {
            let due = expirer.expired & version_bit(version) != 0
                && !state.record(version).tombstone
                && !(looks_for_tags && version == TAGGED);
            if due {
                let mut next = *state;
                next.put(version, self.tombstone(state.record(version)));
                step(next, format_args!("E{j} buries v{version}"));
                break;
            }
        }
        step(over_now, format_args!("E{j} is done"));
    }

    fn tombstone(&self, record: Record) -> Record {
        let is = |naive| self.naive == Some(naive);
        Record {
            exists: true,
            tombstone: true,
            by: record.by,
            revoked: if is(Naive::TombstonesForgetRevoked) {
                0
            } else {
                record.revoked
            },
            keyed: record.keyed && !is(Naive::TombstonesForgetKeys),
            ..Record::default()
        }
    }
}

/// The end of one round.
fn over(expirer: Expirer) -> Expirer {
    Expirer {
        rounds: expirer.rounds - 1,
        ..Expirer::default()
    }
}

fn name_of(object: u8) -> &'static str {
    match object.trailing_zeros() {
        0 => "the manifest without A",
        1 => "the first manifest",
        2 => "the second manifest",
        3 => "the manifest of W0",
        4 => "the merged manifest of W0",
        5 => "the manifest of W1",
        _ => "the merged manifest of W1",
    }
}

/// Versions, by bits.
struct Versions(u8);

impl std::fmt::Display for Versions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let versions: Vec<_> = (1..=8_u8)
            .filter(|version| self.0 & version_bit(*version) != 0)
            .collect();
        write!(f, "{versions:?}")
    }
}
