//! Who goes next, what goes wrong, and when time passes: decided by a seed alone.
//!
//! Every call of every session waits here. When nothing in the runtime can run any more,
//! one of the waiting calls is picked in an order that no random name has a part in, or time
//! moves past every pause. So the same seed gives the same run.

#![cfg(test)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{Notify, oneshot};

use super::session_program::ACTORS;
use crate::faults::call::{Call, Fault, Operation, ready};
use crate::faults::fault_store::FaultStore;
use crate::random::Random;

/// Longer than the longest pause between two tries.
const PAUSE: Duration = Duration::from_secs(3);
/// Longer than the time after which a commit gives up looking for its outcome.
const AGE: Duration = Duration::from_secs(61);

/// How a run is spoilt, in thousandths of the steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weather {
    pub(super) faults: usize,
    pub(super) crashes: usize,
    /// Of the calls that make a version: the store fails its session for a while then.
    pub(super) outages: usize,
    /// Creates that replace what is there, as on a store that is not fit for use.
    pub(super) unconditional: bool,
    /// Commit records that are forgotten after the answer.
    pub(super) losses: usize,
    /// Deletes of everything that no version needs at that moment, without a fence.
    pub(super) sweeps: usize,
}

/// What the conductor wants done.
pub(super) enum Step {
    /// A call goes on, or time has passed.
    Done,
    /// The session of this number dies and is started again.
    Crash(usize),
    /// What no version needs is deleted.
    Sweep,
}

struct Waiting {
    actor: usize,
    call: Call,
    /// The key without its random parts.
    key: String,
    go: oneshot::Sender<Fault>,
}

pub(super) struct Conductor {
    random: Mutex<Random>,
    weather: Weather,
    waiting: Mutex<Vec<Waiting>>,
    transactions: Mutex<Vec<String>>,
    trace: Mutex<Vec<String>>,
    /// How many calls of each session fail from here on.
    outages: Mutex<[usize; ACTORS]>,
    idle: Arc<Notify>,
}

impl Conductor {
    /// `idle` is told whenever the runtime has nothing more to run.
    pub(super) fn new(random: Random, weather: Weather, idle: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            random: Mutex::new(random),
            weather,
            waiting: Mutex::default(),
            transactions: Mutex::default(),
            trace: Mutex::default(),
            outages: Mutex::default(),
            idle,
        })
    }

    /// What happened, step by step.
    pub(super) fn trace(&self) -> Vec<String> {
        self.trace.lock().unwrap().clone()
    }

    pub(super) fn note(&self, what: String) {
        self.trace.lock().unwrap().push(what);
    }

    /// Makes every call of `store` wait for its turn.
    pub(super) fn conduct(self: &Arc<Self>, store: &FaultStore, actor: usize) {
        let conductor = Arc::clone(self);
        let home = std::thread::current().id();
        store.direct(move |call| {
            // Who waits on another thread blocks this one: nobody else can go first.
            if call.operation == Operation::Item || std::thread::current().id() != home {
                return ready(Fault::None);
            }
            let (go, turn) = oneshot::channel();
            let key = conductor.without_randomness(&call.key);
            conductor.waiting.lock().unwrap().push(Waiting {
                actor,
                call: call.clone(),
                key,
                go,
            });
            turn.map(|turn| turn.unwrap_or(Fault::Never)).boxed()
        });
    }

    /// Waits until everybody waits, and does one thing.
    pub(super) async fn step(&self) -> Step {
        self.idle.notified().await;
        let mut random = self.random.lock().unwrap().clone();
        let step = self.decide(&mut random);
        *self.random.lock().unwrap() = random;
        let time = match step {
            Decision::Go => return Step::Done,
            Decision::Crash(actor) => return Step::Crash(actor),
            Decision::Sweep => return Step::Sweep,
            Decision::Time(time) => time,
        };
        self.note(format!("{} s pass", time.as_secs()));
        tokio::time::advance(time).await;
        // Whoever was woken runs before the next decision.
        self.idle.notified().await;
        Step::Done
    }

    /// Forgets the calls of a session that is dead.
    pub(super) fn forget(&self, actor: usize) {
        let mut waiting = self.waiting.lock().unwrap();
        waiting.retain(|waiting| waiting.actor != actor);
    }

    fn decide(&self, random: &mut Random) -> Decision {
        let mut waiting = self.waiting.lock().unwrap();
        waiting.retain(|waiting| !waiting.go.is_closed());
        waiting.sort_by(|a, b| a.order().cmp(&b.order()));
        if waiting.is_empty() || random.chance(40) {
            let long = random.chance(150);
            return Decision::Time(if long { AGE } else { PAUSE });
        }
        if self.weather.sweeps > 0 && random.chance(self.weather.sweeps) {
            return Decision::Sweep;
        }
        let at = random.below(waiting.len());
        let picked = waiting.remove(at);
        if random.chance(self.weather.crashes) {
            return Decision::Crash(picked.actor);
        }
        let fault = self.fault(&picked, random);
        self.note(format!(
            "{} {:?} {} {fault:?}",
            picked.actor, picked.call.operation, picked.key
        ));
        // Who does not listen any more has died.
        let _ = picked.go.send(fault);
        Decision::Go
    }

    fn fault(&self, picked: &Waiting, random: &mut Random) -> Fault {
        let operation = picked.call.operation;
        // What makes a version goes wrong more often than the rest.
        let decides = operation == Operation::Create && picked.key.ends_with(".metadata.json");
        if self.weather.unconditional && decides {
            return Fault::Unconditional;
        }
        if decides && random.chance(self.weather.losses) {
            return Fault::Lost;
        }
        let mut outages = self.outages.lock().unwrap();
        let left = &mut outages[picked.actor];
        if decides && *left == 0 && random.chance(self.weather.outages) {
            *left = 1 + random.below(80);
        }
        let out = *left > 0;
        *left = left.saturating_sub(1);
        let chance = self.weather.faults * if decides { 4 } else { 1 };
        if !out && !random.chance(chance) {
            return Fault::None;
        }
        match operation {
            Operation::Get | Operation::Head | Operation::List | Operation::Folder => Fault::Before,
            _ => match random.below(3) {
                0 => Fault::Before,
                1 => Fault::After,
                _ => Fault::Late(1 + random.below(30) as u64),
            },
        }
    }

    /// `key` with transactions numbered as they come up, and without random numbers.
    fn without_randomness(&self, key: &str) -> String {
        let mut transactions = self.transactions.lock().unwrap();
        let hex = |word: &str| word.chars().all(|c| c.is_ascii_hexdigit());
        let words = key.split_inclusive(['/', '-', '.']).map(|word| {
            let end = word.len() - usize::from(word.ends_with(['/', '-', '.']));
            let (word, separator) = word.split_at(end);
            let word = match word.len() {
                32 if hex(word) => {
                    let known = transactions.iter().position(|known| known == word);
                    let number = known.unwrap_or_else(|| {
                        transactions.push(word.to_owned());
                        transactions.len() - 1
                    });
                    format!("txn{number:03}")
                }
                13 | 16 if hex(word) => "x".to_owned(),
                _ => word.to_owned(),
            };
            word + separator
        });
        words.collect()
    }
}

enum Decision {
    Go,
    Crash(usize),
    Sweep,
    Time(Duration),
}

impl Waiting {
    fn order(&self) -> (usize, Operation, &str) {
        (self.actor, self.call.operation, &self.key)
    }
}
