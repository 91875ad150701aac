//! What the documents say is so: their SQL, and the names of tests in them.

#![cfg(test)]

mod fault_table;
mod readme;
pub(crate) mod test_names;
