//! Object stores: which ones are accepted, and stores in memory that behave as a test wants.

#![cfg(test)]

mod accepted;
pub(crate) mod fake_bucket;
pub(crate) mod hooked;
pub(crate) mod racing;
mod requests;
