//! How atio sits in DataFusion: its tables and functions in statements, frames and sessions, and
//! what a host adds to a session or sets in it.

#![cfg(test)]

mod host_extensions;
mod one_version;
mod partitioned_writes;
mod progress;
mod settings;
mod side_effects;
mod table_functions;
mod table_provider;
mod two_phase;
