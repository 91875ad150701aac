//! Stores that fail: every statement, every call, and many sessions at once.

#![cfg(test)]

mod attempt;
mod call;
mod cases;
mod copies;
mod gone;
mod kinds;
mod log;
mod marks;
mod query;
mod schedule;
mod store;
mod sweep;
mod timing;
mod upload;
mod verify;
