//! Tests of atio as its users meet it: SQL, Python, and what lies on disk.

mod python;
mod session;
mod slt;
