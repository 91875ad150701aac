//! The cases: every rule as it is, and broken.

mod appends;
mod disk;
mod drops;
mod history;
mod marks;
mod older;
mod row_changes;
mod tickets;
mod undrops;
