//! Stores that fail: every statement, every call, and many sessions at once.

#![cfg(test)]

mod attempt;
mod call;
mod call_kinds;
mod cases;
mod copies;
mod dropped_tables;
mod every_call;
mod failing_queries;
mod fault_store;
mod invariants;
mod random_schedule;
mod raw_log;
mod tags_and_rollbacks;
mod unknown_outcome;
mod upload;
