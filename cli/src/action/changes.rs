//! What changed between two versions of a table.

use std::time::{Duration, SystemTime};

use atio::{ChangesOptions, VersionRef};
use clap::Args;
use datafusion::arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use datafusion::common::instant::Instant;

use super::table::Named;
use crate::failure::Failure;
use crate::session::Session;

/// Shows the rows that came and went between two versions of a table.
///
/// Each row has the columns of the table, and says what became of it ('_change'), in which version
/// ('_version'), and when ('_committed_at'). Rows that were only written to another file are not shown.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  atio changes ./sales --from 3 --to 7      what versions 4 to 7 changed\n  \
                        atio changes ./sales --from best --net    the difference since a tag\n  \
                        atio changes ./sales --key id --format json"
)]
pub(crate) struct Changes {
    #[command(flatten)]
    table: Named,

    /// Begin after this version: its number, or its tag [default: all that the table has had]
    #[arg(long, value_name = "VERSION")]
    from: Option<String>,

    /// Begin after this time, in UTC unless it has a zone: '2026-01-31' or '2026-01-31 12:00:00'
    #[arg(
        long,
        value_name = "TIME",
        conflicts_with = "from",
        value_parser = time
    )]
    since: Option<SystemTime>,

    /// End with this version: its number, or its tag [default: the newest]
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,

    /// Show updates as such: columns whose values tell the rows of one version apart
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    key: Vec<String>,

    /// Show the difference of both versions, not what was done one after another
    #[arg(long)]
    net: bool,
}

impl Changes {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let start = Instant::now();
        let table = self.table.open(session).await?;
        let since = self.since.map(|time| VersionRef::AsOf(time.into()));
        let options = ChangesOptions {
            from: self.from.map(version).or(since),
            to: self.to.map_or(VersionRef::Newest, version),
            key: self.key,
            net: self.net,
        };
        let changes = table.changes(&session.ctx, options).await?;
        session.show(changes, start).await
    }
}

/// A time as SQL reads one.
fn time(text: &str) -> Result<SystemTime, String> {
    let nanos = string_to_timestamp_nanos(text);
    let nanos = nanos.map_err(|_| {
        "it must be a day or a time, such as '2026-01-31' or '2026-01-31 12:00:00'".to_owned()
    })?;
    let distance = Duration::from_nanos(nanos.unsigned_abs());
    Ok(match nanos < 0 {
        true => SystemTime::UNIX_EPOCH - distance,
        false => SystemTime::UNIX_EPOCH + distance,
    })
}

/// A version by its number or its tag.
fn version(text: String) -> VersionRef {
    // No tag consists of digits only.
    match text.parse::<u64>() {
        Ok(version) => VersionRef::from(version),
        Err(_) => VersionRef::Tag(text),
    }
}
