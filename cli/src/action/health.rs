//! The health of a table: how large it is.

use atio::batches;
use clap::Args;
use datafusion::common::instant::Instant;

use super::table::Named;
use crate::failure::Failure;
use crate::session::Session;

/// Shows how large a table is, and what could be cleared up.
///
/// Small files have less than half of the table's target size. 'expirable' is what 'atio expire'
/// removes if it is given nothing but --yes.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  atio stats ./sales --format json")]
pub(crate) struct Stats {
    #[command(flatten)]
    table: Named,
}

impl Stats {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let start = Instant::now();
        let table = self.table.open(session).await?;
        let stats = table.stats().await?;
        session.show_batch(batches::stats(&[stats])?, start).await
    }
}
