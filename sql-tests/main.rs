//! Tests of atio as its users meet it: SQL, Python, and what lies on disk.

mod content;
mod damage;
mod databases;
mod differential;
#[cfg(target_os = "linux")]
mod disks;
mod dropping;
mod effects;
mod elsewhere;
mod fake_store;
mod faults;
mod files;
mod golden;
mod hazards;
mod hosts;
mod inputs;
mod loads;
mod matrix;
#[cfg(target_os = "linux")]
mod processes;
mod progress;
mod provider;
mod python;
mod racing;
mod random;
mod randomly;
mod readme;
#[cfg(target_os = "linux")]
mod scenarios;
mod servers;
mod session;
mod settings;
mod slt;
mod streams;
mod tpch;
mod writers;
mod xlsx;
