//! Tests of atio as its users meet it: SQL, Python, and what lies on disk. README.md says what
//! is where, and how to run it.

// What the tests share.
#[path = "../crates/atio-core/tests/shared/long_form.rs"]
mod long_form;
mod objects;
mod query;
mod random;
mod session;

// What holds on every machine.
mod api;
mod bad_inputs;
mod commit;
mod damage;
mod deletion_vectors;
mod differential;
mod documents;
mod engine;
mod expiry;
mod faults;
mod files;
mod golden;
mod histories;
mod slt;
mod stores;
mod tpch;
mod xlsx;

// What needs processes, file systems, servers or programs of its own.
mod databases;
#[cfg(target_os = "linux")]
mod disks;
#[cfg(target_os = "linux")]
mod processes;
mod python;
#[cfg(target_os = "linux")]
mod scenarios;
mod servers;
