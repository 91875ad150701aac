//! The search: every state that a model can reach, breadth first, until one is wrong.

use std::fmt;
use std::hash::{Hash, Hasher};

/// No model here has more states; one that grows past this has a mistake in it.
const LIMIT: usize = 4_000_000;

/// Something that moves in steps, several of which may be possible at a time.
pub(super) trait Model {
    /// All that decides what can happen next.
    type State: Copy + Eq + Hash;

    fn start(&self) -> Self::State;

    /// Gives every state that can come next, each with what happens on the way to it.
    fn steps(&self, state: &Self::State, step: &mut Step<'_, Self::State>);

    /// What is wrong with `state`; None if nothing is.
    fn wrong(&self, state: &Self::State) -> Option<Violation>;
}

/// Takes a next state and the words for the step to it.
pub(super) type Step<'a, S> = dyn FnMut(S, fmt::Arguments<'_>) + 'a;

/// A broken promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Violation {
    /// The newest version is a tombstone: the table cannot be read.
    NewestIsTombstone,
    /// The newest version names a file that was deleted.
    Dangling,
    /// A version that has not expired names a file that was deleted.
    OlderDangling,
    /// A row whose commit was acknowledged is not in the newest version.
    RowLost,
    /// The newest version has a row twice.
    RowTwice,
    /// A row that was deleted, or went with its table, is in the newest version again.
    RowBack,
    /// No order of the statements makes the rows that are there, or not the one of their versions.
    NotSerial,
    /// Two runs with one key have both added their row.
    KeyTwice,
    /// A ticket has made two versions.
    TicketTwice,
    /// A writer was told that it failed, and its row is there.
    FailedButThere,
    /// A tag was acknowledged, and the version that it names has expired.
    TagExpired,
    /// A version is in a table that it was not written to.
    InAnotherTable,
    /// The pointer names a version that does not exist.
    PointerAhead,
}

/// How a search ended.
pub(super) enum Ending {
    /// No state that can be reached is wrong; there are so many.
    Holds(usize),
    /// The shortest way to a wrong state, step by step.
    Broken(Violation, Vec<String>),
}

/// Visits every state of `model`, nearest first.
pub(super) fn explore<M: Model>(model: &M) -> Ending {
    let mut seen = Seen::new();
    seen.add(model.start(), 0);
    let mut at = 0;
    while at < seen.states.len() {
        assert!(at < LIMIT, "more than {LIMIT} states");
        let state = seen.states[at];
        let mut found = None;
        model.steps(&state, &mut |next, _| {
            if found.is_none() && seen.add(next, at) {
                found = model.wrong(&next);
            }
        });
        if let Some(violation) = found {
            return Ending::Broken(violation, trace(model, &seen));
        }
        at += 1;
    }
    Ending::Holds(seen.states.len())
}

/// The steps to the state that was found last.
fn trace<M: Model>(model: &M, seen: &Seen<M::State>) -> Vec<String> {
    let mut steps = Vec::new();
    let mut at = seen.states.len() - 1;
    while at > 0 {
        let parent = seen.parents[at] as usize;
        let mut words = None;
        model.steps(&seen.states[parent], &mut |next, what| {
            if words.is_none() && next == seen.states[at] {
                words = Some(what.to_string());
            }
        });
        steps.push(words.expect("a step leads from the parent"));
        at = parent;
    }
    steps.reverse();
    steps
}

/// The states seen so far in the order of their discovery, which is also the queue.
struct Seen<S> {
    states: Vec<S>,
    parents: Vec<u32>,
    /// Open addressing: the hash above, the position plus one below; 0 is free.
    slots: Vec<u64>,
}

impl<S: Copy + Eq + Hash> Seen<S> {
    fn new() -> Self {
        Self {
            states: Vec::new(),
            parents: Vec::new(),
            slots: vec![0; 1 << 12],
        }
    }

    /// Adds `state` unless it is there; true if it was not.
    fn add(&mut self, state: S, parent: usize) -> bool {
        let mut hasher = WordHasher(0);
        state.hash(&mut hasher);
        let hash = hasher.finish();
        let mut slot = self.slot(hash);
        while self.slots[slot] != 0 {
            let found = self.slots[slot];
            if found >> 32 == hash && self.states[(found as u32 - 1) as usize] == state {
                return false;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.states.push(state);
        self.parents.push(parent as u32);
        self.slots[slot] = hash << 32 | self.states.len() as u64;
        if self.states.len() * 2 > self.slots.len() {
            self.grow();
        }
        true
    }

    fn slot(&self, hash: u64) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    fn grow(&mut self) {
        let larger = vec![0; self.slots.len() * 4];
        for entry in std::mem::replace(&mut self.slots, larger) {
            if entry != 0 {
                let mut slot = self.slot(entry >> 32);
                while self.slots[slot] != 0 {
                    slot = (slot + 1) & (self.slots.len() - 1);
                }
                self.slots[slot] = entry;
            }
        }
    }
}

/// Mixes words by multiplying; 32 bits of it are good.
struct WordHasher(u64);

impl Hasher for WordHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(u64::from(byte));
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0 >> 32
    }
}

/// Hashes a struct of up to eight small fields as one word: debug builds are slow at many.
macro_rules! hash_as_word {
    ($type:ident { $($field:ident),+ }) => {
        impl std::hash::Hash for $type {
            fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
                let mut word = 0_u128;
                $(word = word << 8 | self.$field as u128;)+
                hasher.write_u128(word);
            }
        }
    };
}
pub(super) use hash_as_word;
