//! Tests of the format and of the protocol, without a query engine.

#![cfg(test)]

mod model;
mod shared;
mod table;
