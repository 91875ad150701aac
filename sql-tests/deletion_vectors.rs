//! Rows that are marked as deleted: no statement sees them, however it reads.

#![cfg(test)]

mod damage;
mod marking;
mod plans;
mod queries;
mod versions;
