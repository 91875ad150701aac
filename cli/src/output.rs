//! Prints the rows of a statement.

use std::io::{self, Write};
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::instant::Instant;
use datafusion::config::FormatOptions;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::spill::get_record_batch_memory_size;
use datafusion::physical_plan::{ExecutionPlanProperties, execute_stream};
use datafusion::prelude::SessionContext;
use datafusion_cli::print_format::PrintFormat;
use datafusion_cli::print_options::{MaxRows, PrintOptions};
use futures::StreamExt;
use tracing::Instrument;

use crate::failure::Failure;

/// Runs a planned statement and prints its rows as they are wanted.
pub(crate) async fn print(
    ctx: &SessionContext,
    frame: DataFrame,
    mut options: PrintOptions,
    start: Instant,
) -> Result<(), Failure> {
    let span = tracing::info_span!("plan");
    let plan = frame.create_physical_plan().instrument(span).await?;
    let task = ctx.task_ctx();
    let format = &task.session_config().options().format;
    let unbounded = plan.boundedness().is_unbounded();
    if unbounded && plan.pipeline_behavior() == EmissionType::Final {
        return Err(Failure::new(
            "the result is known only at the end of a source that has no end",
        ));
    }
    if options.format == PrintFormat::Automatic {
        options.format = match unbounded {
            true => PrintFormat::Csv,
            false => PrintFormat::Table,
        };
    }
    let schema = plan.schema();
    let rows = execute_stream(plan, Arc::clone(&task))?;
    let count = match options.format {
        PrintFormat::Csv | PrintFormat::Tsv | PrintFormat::NdJson => {
            print_as_they_come(rows, &options, format).await?
        }
        // A table needs its widest cell, a JSON array its end.
        PrintFormat::Table | PrintFormat::Json | PrintFormat::Automatic if unbounded => {
            return Err(Failure::new(
                "the source has no end, which takes the format csv, tsv or nd-json",
            ));
        }
        PrintFormat::Table | PrintFormat::Json | PrintFormat::Automatic => {
            let reservation = MemoryConsumer::new("shell").register(task.memory_pool());
            let (batches, count) = collect(rows, &options, &reservation).await?;
            let mut output = Output::default();
            let printed = match options.format {
                // The engine would print nothing at all, which is no JSON.
                PrintFormat::Json if count == 0 && !schema.fields().is_empty() => {
                    writeln!(output, "[]").map_err(DataFusionError::from)
                }
                shown => shown.print_batches(
                    &mut output,
                    schema,
                    &batches,
                    options.maxrows,
                    true,
                    format,
                ),
            };
            output.outcome(printed)?;
            count
        }
    };
    print_summary(&options, start, count, format)
}

/// Prints the result of a statement that has no rows.
pub(crate) fn print_nothing(
    ctx: &SessionContext,
    options: &PrintOptions,
    start: Instant,
) -> Result<(), Failure> {
    let task = ctx.task_ctx();
    print_summary(options, start, 0, &task.session_config().options().format)
}

/// Prints how many rows there were and how long it took, unless the shell is quiet.
fn print_summary(
    options: &PrintOptions,
    start: Instant,
    count: usize,
    format: &FormatOptions,
) -> Result<(), Failure> {
    // Without columns there is nothing to print but the summary.
    let nothing = Arc::new(Schema::empty());
    match options.print_batches(nothing, &[], start, count, format) {
        Err(DataFusionError::IoError(error)) => Err(error.into()),
        outcome => Ok(outcome?),
    }
}

/// Prints each batch when it is there; returns the number of rows.
async fn print_as_they_come(
    mut rows: SendableRecordBatchStream,
    options: &PrintOptions,
    format: &FormatOptions,
) -> Result<usize, Failure> {
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        // Batches without rows print nothing, so the header waits for one that has some.
        let header = count == 0;
        count += batch.num_rows();
        let mut output = Output::default();
        let printed = options.format.print_batches(
            &mut output,
            batch.schema(),
            &[batch],
            MaxRows::Unlimited,
            header,
            format,
        );
        output.outcome(printed)?;
    }
    Ok(count)
}

/// Keeps the batches that will be shown; returns them and the number of all rows.
async fn collect(
    mut rows: SendableRecordBatchStream,
    options: &PrintOptions,
    reservation: &MemoryReservation,
) -> Result<(Vec<RecordBatch>, usize), Failure> {
    let wanted = match (options.format, options.maxrows) {
        (PrintFormat::Table, MaxRows::Limited(rows)) => rows,
        _ => usize::MAX,
    };
    let mut shown = Vec::new();
    let mut count = 0_usize;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let rows = batch.num_rows();
        // One row more than wanted is what tells the printer that there are more.
        if count <= wanted {
            reservation.try_grow(get_record_batch_memory_size(&batch))?;
            shown.push(batch);
        }
        count += rows;
    }
    Ok((shown, count))
}

/// Standard output, and what it answered: the printers keep only the text of its errors.
#[derive(Default)]
struct Output {
    error: Option<io::Error>,
}

impl Output {
    /// The error of standard output, or else that of the printer.
    fn outcome(self, printed: Result<(), DataFusionError>) -> Result<(), Failure> {
        match (self.error, printed) {
            (Some(error), Err(_)) => Err(error.into()),
            (_, printed) => Ok(printed?),
        }
    }

    fn note<T>(&mut self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.map_err(|error| {
            let kind = error.kind();
            self.error = Some(error);
            kind.into()
        })
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let outcome = io::stdout().write(bytes);
        self.note(outcome)
    }

    fn flush(&mut self) -> io::Result<()> {
        let outcome = io::stdout().flush();
        self.note(outcome)
    }
}
