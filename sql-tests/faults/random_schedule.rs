//! Many sessions at once, in an order that a seed decides.
//!
//! `ATIO_SEED=n` runs one seed and prints what happened, `ATIO_SEEDS=count` so many of them
//! from `ATIO_FIRST_SEED` on, and `ATIO_LONG=1` as many as fit into a minute and a half.

#![cfg(test)]

mod history_checker;
mod scheduler;
mod session_program;
mod simulation;

use std::time::{Duration, Instant};

use datafusion::object_store::memory::InMemory;

use super::attempt::{in_runtime, prepared};
use super::invariants::{Verdict, verify, verify_next};
use crate::long_form::long;
use crate::random::Random;
use scheduler::Weather;
use simulation::{Outcome, ROOT, World, play};

/// How many seeds run if nobody says otherwise.
const SEEDS: u64 = 30;
const LONG: Duration = Duration::from_secs(90);

fn base() -> InMemory {
    prepared(&[
        "CREATE EXTERNAL TABLE t (a BIGINT) STORED AS ATIO LOCATION 'memory://test/base/t'",
        "INSERT INTO t VALUES (1), (2)",
    ])
}

/// A quarter of the runs have no faults, the others few or many, or a store that is down at
/// times.
fn weather(random: &mut Random) -> Weather {
    let (faults, crashes, outages) =
        [(0, 0, 0), (15, 4, 0), (60, 10, 50), (10, 2, 300)][random.below(4)];
    Weather {
        faults,
        crashes,
        outages,
        unconditional: false,
        losses: 0,
        sweeps: 0,
    }
}

/// Plays `seed` and checks it; with `whole`, also that life goes on afterwards.
fn judge(
    seed: u64,
    base: &InMemory,
    weather: impl Fn(&mut Random) -> Weather,
    whole: bool,
) -> (Verdict<World>, Vec<String>) {
    let (world, trace) = play(seed, base, weather);
    let verdict = in_runtime(async {
        history_checker::check(&world).await?;
        if whole {
            let rows = verify(&world.objects, ROOT).await?;
            verify_next(&world.objects, ROOT, rows).await?;
        }
        Ok(())
    });
    (verdict.map(|()| world), trace)
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// What the statements of the runs ended with, to see that they meet what they should.
#[derive(Debug, Default)]
struct Tally {
    done: u64,
    failed: std::collections::BTreeMap<String, u64>,
    unheard: u64,
}

impl Tally {
    fn count(&mut self, world: &World) {
        for event in world.events.lock().unwrap().iter() {
            match &event.outcome {
                Outcome::Done(_) => self.done += 1,
                Outcome::Unheard => self.unheard += 1,
                Outcome::Failed(kind, _) => {
                    let kind = kind.map_or("another's".to_owned(), |kind| format!("{kind:?}"));
                    let faulty = if event.faulty { "" } else { " without a fault" };
                    *self.failed.entry(kind + faulty).or_default() += 1;
                }
            }
        }
    }
}

#[test]
fn sessions_in_any_order_keep_every_promise() {
    let base = base();
    if let Some(seed) = variable("ATIO_SEED") {
        let (verdict, trace) = judge(seed, &base, weather, true);
        println!("{}", trace.join("\n"));
        if let Err(wrong) = verdict {
            panic!("seed {seed}: {wrong}");
        }
        return;
    }
    let first = variable("ATIO_FIRST_SEED").unwrap_or(0);
    let count = variable("ATIO_SEEDS");
    let begun = Instant::now();
    let mut tally = Tally::default();
    let mut violations = Vec::new();
    let mut run = 0;
    for seed in first.. {
        let more = match count {
            Some(count) => run < count,
            None if long() => begun.elapsed() < LONG,
            None => run < SEEDS,
        };
        if !more {
            break;
        }
        run += 1;
        match judge(seed, &base, weather, seed % 4 == 0).0 {
            Ok(world) => tally.count(&world),
            Err(wrong) => {
                eprintln!("seed {seed}: {wrong}");
                violations.push(seed);
            }
        }
    }
    println!(
        "{run} seeds from {first}, {} violations, {tally:?}",
        violations.len()
    );
    assert!(
        violations.is_empty(),
        "run ATIO_SEED=n for n of {violations:?}"
    );
}

#[test]
fn seed_gives_the_same_run_again() {
    let base = base();
    for seed in [1, 2, 3] {
        let (once, again) = (play(seed, &base, weather).1, play(seed, &base, weather).1);
        let steps = |trace: &[String]| -> Vec<String> {
            let steps = trace.iter().filter(|step| !step.contains(" begins "));
            steps.cloned().collect()
        };
        let (once, again) = (steps(&once), steps(&again));
        assert!(once.len() > 100, "{once:?}");
        let differs = once.iter().zip(&again).position(|(a, b)| a != b);
        if let Some(at) = differs {
            let from = at.saturating_sub(5);
            panic!(
                "step {at}: {:#?}\n{:#?}",
                &once[from..=at],
                &again[from..=at]
            );
        }
        assert_eq!(once.len(), again.len());
    }
}

/// The checks must find what they are there for: what a run in bad weather does is seen
/// within a few seeds.
fn is_found(spoil: impl Fn(&mut Weather)) -> String {
    let base = base();
    let calm = Weather {
        faults: 0,
        crashes: 0,
        outages: 0,
        unconditional: false,
        losses: 0,
        sweeps: 0,
    };
    let found = (0..30).find_map(|seed| {
        let weather = |_: &mut Random| {
            let mut weather = calm;
            spoil(&mut weather);
            weather
        };
        judge(seed, &base, weather, false).0.err()
    });
    found.expect("nothing is found")
}

#[test]
fn store_whose_creates_replace_is_found_out() {
    let wrong = is_found(|weather| weather.unconditional = true);
    println!("{wrong}");
}

#[test]
fn store_that_forgets_what_it_said_it_had_put_is_found_out() {
    let wrong = is_found(|weather| weather.losses = 30);
    println!("{wrong}");
}

#[test]
fn expiry_that_deletes_without_a_fence_is_found_out() {
    let wrong = is_found(|weather| weather.sweeps = 30);
    println!("{wrong}");
}
