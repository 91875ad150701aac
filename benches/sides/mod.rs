//! Two sides that answer the same queries in one process, and take turns.

use std::time::{Duration, Instant};

use datafusion::prelude::SessionContext;

use super::report::{median, milliseconds, ratio};

/// Runs `sql` `runs` times on either side, who goes first changing each time; returns the medians,
/// atio's first.
pub(crate) async fn take_turns(
    sides: [&SessionContext; 2],
    sql: &str,
    runs: usize,
) -> datafusion::error::Result<[Duration; 2]> {
    let mut samples = [Vec::new(), Vec::new()];
    for run in 0..runs {
        for side in [run % 2, 1 - run % 2] {
            let start = Instant::now();
            sides[side].sql(sql).await?.collect().await?;
            samples[side].push(start.elapsed());
        }
    }
    Ok([median(&samples[0]), median(&samples[1])])
}

/// A row of the table that is printed: both times, and atio's as a part of the other.
pub(crate) fn row(name: &str, [atio, other]: [Duration; 2]) -> Vec<String> {
    vec![
        name.to_owned(),
        milliseconds(atio),
        milliseconds(other),
        format!("{:.2}", ratio(atio, other)),
    ]
}
