//! Stores that fail: every statement, every call, and many sessions at once.

#![cfg(test)]

mod attempt;
mod cases;
mod kinds;
mod log;
mod store;
mod sweep;
mod upload;
mod verify;
