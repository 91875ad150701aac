//! What the documents say is so: their SQL, their links, and the names of tests in them.

#![cfg(test)]

mod anomalies;
mod fault_table;
mod links;
mod pages;
mod row_changes;
pub(crate) mod test_names;
