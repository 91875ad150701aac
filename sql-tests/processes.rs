//! Processes that are killed, stopped, cut short or many, on a real disk.
//!
//! The local store stops or fails at named steps where a test says so. What is said holds
//! for a whole process, so it is said in [children](job) alone.

#![cfg(test)]

pub(crate) mod child;
mod disk_errors;
pub(crate) mod ended;
pub(crate) mod job;
mod kill;
pub(crate) mod killed_loads;
pub(crate) mod leftovers;
mod many_writers;
mod memory_use;
mod merge_memory;
mod paused_writer;
mod purged_tables;
mod resource_limits;
pub(crate) mod statements;
