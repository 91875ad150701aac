//! Processes that are killed, stopped, cut short or many, on a real disk.
//!
//! The local store stops or fails at named steps where a test says so. What is said holds
//! for a whole process, so it is said in [children](child) alone.

#![cfg(test)]

pub(crate) mod child;
mod disk_errors;
mod kill;
pub(crate) mod killed_loads;
pub(crate) mod leftovers;
mod many_writers;
mod memory_use;
mod paused_writer;
mod resource_limits;
pub(crate) mod statements;

/// True where the long form of a suite is asked for: every step, and larger numbers.
pub(crate) fn long() -> bool {
    std::env::var_os("ATIO_LONG").is_some_and(|value| value == "1")
}

/// At most `most` of `all`, evenly spread, with the first and the last.
pub(crate) fn sample(all: usize, most: usize) -> Vec<usize> {
    if all <= most {
        return (0..all).collect();
    }
    (0..most)
        .map(|at| at * (all - 1) / (most - 1).max(1))
        .collect()
}
