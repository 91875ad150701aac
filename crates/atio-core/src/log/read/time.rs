//! Commit times, as people read them.

use chrono::{DateTime, SecondsFormat};

/// A commit time as people read it: `2026-11-22T08:39:01.123456Z`.
pub(in crate::log) fn time_words(at_us: i64) -> String {
    DateTime::from_timestamp_micros(at_us).map_or(format!("{at_us} us"), |time| {
        time.to_rfc3339_opts(SecondsFormat::Micros, true)
    })
}
