//! A part of a write that another process commits.

use std::sync::Arc;

use atio_core::format::ticket::Ticket;
use atio_core::log::Table;
use datafusion::common::SchemaExt;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;

use super::target::WriteTarget;
use super::version_writer::VersionWriter;
use super::writing::Writing;
use crate::error::{self, Error, Result};

/// Writes `rows` for `ticket`, and gives the bytes that say which files they are in.
pub(crate) async fn prepare_part(
    table: &Arc<Table>,
    ticket: &Ticket,
    rows: SendableRecordBatchStream,
    context: &Arc<TaskContext>,
) -> Result<Vec<u8>> {
    let (base, txn) = table.resume_ticket(ticket).await?;
    let fits = (base.arrow).logically_equivalent_names_and_types(&rows.schema());
    fits.map_err(|error| {
        let unfit = format!("the rows do not fit the table '{}'", table.name());
        Error::invalid(unfit).with_source(error)
    })?;
    let target = WriteTarget {
        overwrite: ticket.is_overwrite(),
        ..WriteTarget::appending(table, Arc::clone(&base), None)?
    };
    let failed = |error| {
        let what = format!("a part of a write to '{}' was not prepared", table.name());
        error::of_datafusion_in(&what, error)
    };
    let writer = VersionWriter::new(target).map_err(failed)?;
    let metrics = ExecutionPlanMetricsSet::new();
    let writing = Arc::new(Writing::begin(context, table.name(), None, &metrics));
    let files = writer.write_part(&txn, rows, &writing).await;
    let files = files.map_err(failed)?;
    let part = table.hand_over(ticket, &base, &txn, files).await;
    if part.is_err() {
        txn.abort().await;
    }
    part
}
