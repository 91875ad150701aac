//! What is told of a write to a database while it goes on.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use atio_core::progress::{Listener, Reporter, Step};
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use parking_lot::Mutex;
use tracing::Span;

use super::connection::Connection;
use super::write::Write;

/// To whom a write is told, and what is known of it.
pub(super) struct Report {
    pub(super) listener: Option<Arc<Listener>>,
    /// What the table is called.
    pub(super) target: String,
    /// How many rows there will be, as far as that is known.
    pub(super) rows: Option<u64>,
}

/// How long the steps of a write took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// Until the last row was taken.
    pub(super) write: Duration,
    /// From then on.
    pub(super) commit: Duration,
}

/// What a write is at.
struct Stage {
    span: Span,
    /// When the last row was taken.
    ended: Option<Instant>,
}

impl Connection {
    /// Writes all rows in one transaction, or none, and tells how far it is.
    pub(super) async fn write_and_tell(
        &self,
        write: Write,
        rows: SendableRecordBatchStream,
        report: Report,
    ) -> (Result<u64>, Times) {
        let reporter = Reporter::begin(report.listener, report.target, report.rows);
        let reporter = Arc::new(reporter);
        let (begun, table, outer) = (Instant::now(), write.table.to_string(), Span::current());
        let stage = Arc::new(Mutex::new(Stage {
            span: tracing::info_span!("write", table),
            ended: None,
        }));
        let (weak, reached) = (Arc::downgrade(&reporter), Arc::clone(&stage));
        let rows = told(rows, weak, move || {
            let mut stage = reached.lock();
            stage.span = tracing::info_span!(parent: &outer, "commit", table);
            stage.ended = Some(Instant::now());
        });
        let mut writing = pin!(self.write(write, rows));
        let written = poll_fn(|context| {
            let span = stage.lock().span.clone();
            span.in_scope(|| writing.as_mut().poll(context))
        });
        let written = written.await;
        let now = Instant::now();
        let ended = stage.lock().ended.unwrap_or(now);
        let times = Times {
            write: ended - begun,
            commit: now - ended,
        };
        (written, times)
    }
}

/// The rows, counted as they pass; `end` is called after the last one.
///
/// Whoever still takes rows when the statement has ended tells nobody.
fn told(
    rows: SendableRecordBatchStream,
    reporter: Weak<Reporter>,
    end: impl FnOnce() + Send + 'static,
) -> SendableRecordBatchStream {
    let schema = rows.schema();
    let state = (rows, reporter, Some(end));
    let told = futures::stream::unfold(state, |(mut rows, reporter, mut end)| async move {
        let next = rows.next().await;
        let listening = reporter.upgrade();
        match (&next, listening) {
            (Some(Ok(batch)), Some(reporter)) => {
                reporter.advance(Step::Write, batch.num_rows() as u64);
            }
            (Some(Ok(_)), None) => {}
            // Nothing is committed.
            (Some(Err(_)), _) => end = None,
            (None, listening) => {
                let ended = end.take().map(|end| end());
                if let (Some(()), Some(reporter)) = (ended, listening) {
                    reporter.report(Step::Commit);
                }
            }
        }
        next.map(|next| (next, (rows, reporter, end)))
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, told))
}
