//! What one of many commits changed, beside a read of the data file that it added.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use datafusion::arrow::array::AsArray;
use datafusion::prelude::SessionContext;

use crate::report::{milliseconds, print_table, ratio};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The table with a thousand commits, of which one is asked for.
pub(crate) const COMMITS: &str = "commits";
const OF_COMMITS: usize = 1000;
const COMMIT: usize = 500;
/// The data file that this commit added.
pub(crate) const ITS_FILE: &str = "its_file";

/// The names of what is measured, and the SQL; the first is what the others are compared with.
pub(crate) fn statements() -> [(&'static str, String); 2] {
    let read = |from: &str| format!("SELECT count(*), sum(n), max(s) FROM {from}");
    let changes = format!(
        "atio_changes('{COMMITS}', from => {}, to => {COMMIT})",
        COMMIT - 1
    );
    [
        ("read of its data file", read(ITS_FILE)),
        ("changes of one commit", read(&changes)),
    ]
}

/// Opens the table.
pub(crate) async fn open(ctx: &SessionContext, root: &Path) -> Result<()> {
    let sql = format!(
        "CREATE EXTERNAL TABLE {COMMITS} (n BIGINT, s VARCHAR) STORED AS ATIO LOCATION '{}' \
         OPTIONS ('atio.durability' 'none')",
        root.join(COMMITS).display()
    );
    ctx.sql(&sql).await?.collect().await?;
    Ok(())
}

/// Commits to the open table, and copies the data file.
pub(crate) async fn prepare(ctx: &SessionContext, root: &Path) -> Result<()> {
    for commit in 1..=OF_COMMITS {
        let sql = format!(
            "INSERT INTO {COMMITS} SELECT value, 'row ' || value FROM generate_series({commit}000, {commit}999)"
        );
        ctx.sql(&sql).await?.collect().await?;
    }
    let path = format!(
        "SELECT CAST(path AS VARCHAR) FROM atio_files('{COMMITS}', version => {COMMIT}) WHERE path NOT IN \
         (SELECT path FROM atio_files('{COMMITS}', version => {}))",
        COMMIT - 1
    );
    let path = ctx.sql(&path).await?.collect().await?;
    let path = path[0].column(0).as_string_view().value(0).to_owned();
    let its_file = root.join(format!("{ITS_FILE}.parquet"));
    fs::copy(root.join(COMMITS).join(path), its_file)?;
    Ok(())
}

/// Prints how long each took.
pub(crate) fn print(took: &[(&str, Duration)], rounds: usize) {
    let Some((_, base)) = took.first() else {
        return;
    };
    let rows = took.iter().map(|(name, took)| {
        let ratio = format!("{:.2}", ratio(*took, *base));
        vec![(*name).to_owned(), milliseconds(*took), ratio]
    });
    print_table(
        &format!("one of {OF_COMMITS} commits (medians of {rounds})"),
        &["statement", "took", "to the read"],
        &rows.collect::<Vec<_>>(),
    );
}
