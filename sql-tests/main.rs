//! Tests of atio as its users meet it: SQL, Python, and what lies on disk.

mod content;
mod damage;
mod dropping;
mod effects;
mod elsewhere;
mod fake_store;
mod faults;
mod golden;
mod inputs;
mod model;
mod provider;
mod python;
mod racing;
mod randomly;
mod readme;
mod servers;
mod session;
mod slt;
mod writers;
