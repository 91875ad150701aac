//! How a person asks: statements, functions and catalogs in any session.

mod arguments;
mod catalog;
mod commit;
mod copy;
mod copy_checks;
mod damaged;
mod declared;
mod factory;
mod file_functions;
mod formats;
mod function;
mod functions;
mod guard;
mod history;
mod leftovers;
mod location;
mod managed;
mod named;
mod namespace;
mod new_rows;
mod no_version;
mod open;
mod policy;
mod produced;
mod publish;
#[cfg(test)]
mod randomly;
mod register;
mod relation;
mod schemas;
mod sources;
mod stores;
mod stream;
mod tags;
mod target;
mod wait;
mod watch;
mod watching;
mod write;

pub use catalog::AtioCatalog;
pub use commit::with_commit;
pub use policy::AtioPolicy;
pub use register::{register, register_with};
pub use stores::connect;
pub use watching::on_progress;
pub use write::{WriteOptions, clean, restore, write};
