//! What the tests of tables with SQL, in `sql-tests/`, use as well.

#![cfg(test)]
#![expect(dead_code, reason = "some of it is for those alone")]

pub(crate) mod long_form;
#[cfg(target_os = "linux")]
pub(crate) mod mount;
pub(crate) mod object_store_servers;
pub(crate) mod server_program;
