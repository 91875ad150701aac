//! Shows how far a long write is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use atio::{Progress, Step};
use datafusion::prelude::SessionContext;
use indicatif::{HumanBytes, HumanFloatCount, MultiProgress, ProgressBar, ProgressStyle};

/// What is done by then shows no bar.
const SHORT: Duration = Duration::from_millis(400);

/// A bar on standard error for each write that takes long, if that is a terminal.
#[derive(Default)]
pub(crate) struct Bars {
    shown: AtomicBool,
    screen: MultiProgress,
    writes: Mutex<HashMap<String, Write>>,
}

struct Write {
    begun: Instant,
    bar: Option<ProgressBar>,
}

impl Bars {
    /// Shows the writes of a session from its next statement on.
    pub(crate) fn watch(bars: &Arc<Self>, ctx: &SessionContext) {
        let bars = Arc::clone(bars);
        atio::on_progress(ctx, move |progress| bars.update(progress));
    }

    /// Whether bars are wanted.
    pub(crate) fn show(&self, shown: bool) {
        self.shown.store(shown, Ordering::Relaxed);
    }

    fn update(&self, progress: &Progress<'_>) {
        if !self.shown.load(Ordering::Relaxed) {
            return;
        }
        let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        if progress.step == Step::End {
            if let Some(bar) = writes.remove(progress.target).and_then(|write| write.bar) {
                bar.finish_and_clear();
                self.screen.remove(&bar);
            }
            return;
        }
        let write = writes
            .entry(progress.target.to_owned())
            .or_insert_with(|| Write {
                begun: Instant::now(),
                bar: None,
            });
        if write.bar.is_none() && write.begun.elapsed() < SHORT {
            return;
        }
        let new = write.bar.is_none();
        let bar = write.bar.get_or_insert_with(|| {
            let bar = ProgressBar::hidden().with_elapsed(write.begun.elapsed());
            bar.set_style(style(progress.total.is_some()));
            bar.set_prefix(progress.target.to_owned());
            bar
        });
        if let Some(total) = progress.total {
            // An estimate may be too low.
            bar.set_length(total.max(progress.done));
        }
        bar.set_position(progress.done);
        // On average since the beginning: that of the last moment jumps with every batch.
        let seconds = write.begun.elapsed().as_secs_f64();
        let rate = HumanFloatCount((progress.done as f64 / seconds).round());
        // Written in large parts, and none yet.
        let bytes = match progress.bytes {
            0 => String::new(),
            bytes => format!("{}, ", HumanBytes(bytes)),
        };
        bar.set_message(match progress.step {
            Step::Write => format!("rows, {bytes}{rate}/s"),
            Step::Delete => format!("objects deleted, {rate}/s"),
            _ => format!("rows, {bytes}committing"),
        });
        if new {
            // Only what is known already is drawn.
            self.screen.add(bar.clone());
        }
        bar.tick();
    }
}

fn style(total: bool) -> ProgressStyle {
    let template = match total {
        true => {
            "{prefix} [{bar:20}] {percent}% {human_pos}/{human_len} {msg}, {elapsed}, ETA {eta}"
        }
        false => "{prefix} {spinner} {human_pos} {msg}, {elapsed}",
    };
    // The templates above are right, and without one there is still a bar.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
