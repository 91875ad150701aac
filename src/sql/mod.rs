//! How a person asks: statements, functions and catalogs in any session.

mod arguments;
mod catalog;
mod commit;
mod damaged;
mod factory;
mod functions;
mod guard;
mod history;
mod location;
mod managed;
mod namespace;
mod new_rows;
mod open;
mod policy;
mod produced;
#[cfg(test)]
mod randomly;
mod register;
mod relation;
mod schemas;
mod stores;
mod tags;
mod wait;
mod watch;
mod watching;

pub use catalog::AtioCatalog;
pub use commit::with_commit;
pub use policy::AtioPolicy;
pub use register::{register, register_with};
pub use stores::connect;
pub use watching::on_progress;
