//! What DataFusion asks: a provider that scans one version and writes the next.

mod pin;
mod pin_versions;
mod provider;
mod statement;
mod watch;

pub(crate) use pin_versions::PinVersions;
pub use provider::AtioTable;
pub(crate) use statement::Statement;
pub use statement::one_statement;
pub(crate) use watch::Watch;
