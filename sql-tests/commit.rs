//! Statements that commit: beside each other, cut short, in chunks, and as streams.

#![cfg(test)]

mod anomalies;
mod check_functions;
mod checks;
mod compactions;
mod concurrent;
mod drop_and_create;
mod interrupted;
mod isolation;
mod loads;
mod methods;
mod new_rows;
mod retries;
mod row_level;
mod row_source;
pub(crate) mod streams;
mod undrop;

use datafusion::prelude::SessionContext;

use crate::query::rows;

const EXPIRE_ALL: &str = "SELECT count(*) FROM expire_snapshots('t', keep_for => INTERVAL '0 days', \
                          orphan_age => INTERVAL '0 days', dry_run => false)";

/// Passes if versions 0 to `last` are in the history once each, with times that grow.
async fn assert_contiguous(ctx: &SessionContext, last: u64) {
    let sql =
        "SELECT version, CAST(committed_at AS BIGINT) FROM atio_history('t') ORDER BY version";
    let mut history: Vec<(u64, i64)> = Vec::new();
    for row in rows(ctx, sql).await {
        let (version, at) = row.split_once('|').unwrap();
        history.push((version.parse().unwrap(), at.parse().unwrap()));
    }
    history.sort_unstable();
    assert_eq!(
        history
            .iter()
            .map(|(version, _)| *version)
            .collect::<Vec<_>>(),
        (0..=last).collect::<Vec<_>>()
    );
    assert!(
        history.windows(2).all(|pair| pair[0].1 < pair[1].1),
        "times do not grow: {history:?}"
    );
}
