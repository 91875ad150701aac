//! `--verbose`: how long each step of a statement took.

use std::io;

use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry};

/// Prints atio's spans on standard error as they end.
pub(crate) fn install() {
    let spans = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(false)
        .with_span_events(FmtSpan::CLOSE)
        .with_filter(FilterFn::new(|metadata| {
            metadata.target().starts_with("atio")
        }));
    // It is there already only if this is called twice.
    registry().with(spans).try_init().ok();
}
