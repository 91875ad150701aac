//! How far a long write is, for whoever watches.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How far one write is.
///
/// ```
/// fn show(progress: &atio_core::progress::Progress<'_>) -> String {
///     format!("{}: {} of {:?}", progress.target, progress.done, progress.total)
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// The table that is written or expires, or the path or URL of the file that is written;
    /// of a table of a database its connection, a slash and its name.
    pub target: &'a str,
    /// What is being done.
    pub step: Step,
    /// Rows that were taken from the query so far; objects, while an expiry deletes.
    pub done: u64,
    /// How many there will be, as far as the plan can tell: an estimate.
    pub total: Option<u64>,
    /// Bytes that have left the encoder; 0 where a database is written.
    pub bytes: u64,
}

/// What a write does at a time, in this order.
///
/// ```
/// use atio_core::progress::{Progress, Step};
///
/// fn is_over(progress: &Progress<'_>) -> bool {
///     progress.step == Step::End
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Rows are taken, encoded and written where nobody looks.
    Write,
    /// All rows are written, and are made durable and visible.
    Commit,
    /// An expiry removes objects.
    Delete,
    /// It is over, well or not. Reported exactly once.
    End,
}

type Report = dyn Fn(&Progress<'_>) + Send + Sync;

/// Who is told of every write of a session.
#[derive(Clone)]
pub struct Listener(Arc<Report>);

impl Listener {
    /// Calls `report` for every step of every write.
    pub fn new(report: impl Fn(&Progress<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(report))
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

/// The report of one write; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "a report ends when it is dropped"]
pub struct Reporter {
    listener: Option<Arc<Listener>>,
    target: String,
    total: Option<u64>,
    done: AtomicU64,
    bytes: AtomicU64,
}

impl Reporter {
    /// Begins to report a write to `listener`, if there is one.
    pub fn begin(
        listener: Option<Arc<Listener>>,
        target: impl Into<String>,
        total: Option<u64>,
    ) -> Self {
        Self::begin_with(Step::Write, listener, target, total)
    }

    /// Begins to report what begins with this step.
    pub fn begin_with(
        step: Step,
        listener: Option<Arc<Listener>>,
        target: impl Into<String>,
        total: Option<u64>,
    ) -> Self {
        let reporter = Self {
            listener,
            target: target.into(),
            total,
            done: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        };
        reporter.report(step);
        reporter
    }

    /// Counts `done` more rows or objects.
    pub fn advance(&self, step: Step, done: u64) {
        self.done.fetch_add(done, Ordering::Relaxed);
        self.report(step);
    }

    /// Says how many bytes have been written in all.
    pub fn written(&self, bytes: u64) {
        self.bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Says that `step` is under way.
    pub fn report(&self, step: Step) {
        if let Some(listener) = &self.listener {
            (listener.0)(&Progress {
                target: &self.target,
                step,
                done: self.done.load(Ordering::Relaxed),
                total: self.total,
                bytes: self.bytes.load(Ordering::Relaxed),
            });
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.report(Step::End);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn every_report_ends_once_and_counts_up() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&seen);
        let listener = Listener::new(move |progress| {
            let Progress {
                step, done, bytes, ..
            } = *progress;
            into.lock().unwrap().push((step, done, bytes));
        });
        let reporter = Reporter::begin(Some(Arc::new(listener)), "t", Some(3));
        reporter.written(10);
        reporter.advance(Step::Write, 2);
        reporter.written(5);
        reporter.advance(Step::Write, 1);
        reporter.report(Step::Commit);
        drop(reporter);
        let seen = seen.lock().unwrap();
        assert_eq!(
            *seen,
            [
                (Step::Write, 0, 0),
                (Step::Write, 2, 10),
                (Step::Write, 3, 10),
                (Step::Commit, 3, 10),
                (Step::End, 3, 10)
            ]
        );
    }
}
