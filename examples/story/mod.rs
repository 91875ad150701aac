//! How the examples talk: every step prints the SQL it runs and the answer it got.

use std::fmt::Display;

use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::error::{DataFusionError, Result};
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;

/// Prints a heading between two parts of the story.
pub(crate) fn chapter(title: &str) {
    println!("\n\n== {title}");
}

/// Prints `sql`, runs it and prints the answer as a table.
pub(crate) async fn show(ctx: &SessionContext, sql: &str) -> Result<Answer> {
    println!("\n  {};", sql.replace('\n', "\n  "));
    let answer = ask(ctx, sql).await?;
    if answer.rows() > 0 {
        println!("{answer}");
    }
    Ok(answer)
}

/// Runs `sql` without printing anything.
pub(crate) async fn ask(ctx: &SessionContext, sql: &str) -> Result<Answer> {
    let frame = ctx.sql(sql).await?;
    let schema = frame.schema().inner().clone();
    let batches = frame.collect().await?;
    Ok(Answer(concat_batches(&schema, &batches)?))
}

/// Fails the whole example, with exit code 1, when a fact does not hold.
pub(crate) fn ensure(holds: bool, fact: impl Display) -> Result<()> {
    if holds {
        Ok(())
    } else {
        Err(unexpected(format!("this must hold, and does not: {fact}")))
    }
}

/// Returns the error of an example that met something it did not expect.
pub(crate) fn unexpected(what: impl Into<String>) -> DataFusionError {
    DataFusionError::Execution(what.into())
}

/// The rows that a statement returned.
pub(crate) struct Answer(RecordBatch);

impl Answer {
    pub(crate) fn rows(&self) -> usize {
        self.0.num_rows()
    }

    /// Returns any cell as text.
    pub(crate) fn text(&self, row: usize, column: &str) -> Result<String> {
        let values = self.0.column_by_name(column);
        let values = values.ok_or_else(|| unexpected(format!("no column '{column}'")))?;
        ensure(row < self.rows(), format!("the answer has a row {row}"))?;
        Ok(ScalarValue::try_from_array(values, row)?.to_string())
    }

    /// Returns a cell that holds a number.
    pub(crate) fn number(&self, row: usize, column: &str) -> Result<f64> {
        let text = self.text(row, column)?;
        let not_a_number = |_| unexpected(format!("{column} is '{text}', not a number"));
        text.parse().map_err(not_a_number)
    }

    /// Fails unless a cell, as text, is what it must be.
    pub(crate) fn must_be(&self, row: usize, column: &str, right: impl Display) -> Result<()> {
        let text = self.text(row, column)?;
        let fact = format!("{column} is {right} (it is {text})");
        ensure(text == right.to_string(), fact)
    }
}

impl Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let table = pretty_format_batches(std::slice::from_ref(&self.0));
        let table = table.map_err(|_| std::fmt::Error)?.to_string();
        write!(f, "  {}", table.replace('\n', "\n  "))
    }
}
