//! Tests of atio as its users meet it.

mod python;
