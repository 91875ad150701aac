//! Versions of a table: which there are, what they are called, going back, and clearing up.

use atio::{
    AtioTable, CommitOptions, ExpireOptions, Expired, HistoryOptions, TagOptions, VersionRef,
    batches,
};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use datafusion::common::instant::Instant;
use datafusion_cli::print_format::PrintFormat;
use humantime::Duration;
use indicatif::HumanBytes;

use crate::failure::Failure;
use crate::session::Session;
use crate::tell::tell;

/// What fits on a screen; the lists among the other columns are nothing for CSV.
const COLUMNS: [&str; 9] = [
    "version",
    "committed_at",
    "operation",
    "rows_added",
    "rows_removed",
    "rows",
    "array_to_string(tags, ', ') AS tags",
    "message",
    "readable",
];

/// The table that a command is about.
#[derive(Debug, Args)]
pub(super) struct Named {
    /// The table: a name in the warehouse, a path, or a URL
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    table: String,
}

impl Named {
    /// Opens it, having connected to its store.
    pub(super) async fn open(&self, session: &Session) -> Result<AtioTable, Failure> {
        Ok(session.open(&self.table).await?)
    }
}

fn message(text: Option<String>) -> CommitOptions {
    CommitOptions {
        message: text,
        ..CommitOptions::default()
    }
}

/// Shows the versions of a table, the newest first.
///
/// Every write to a table makes a version. A version that is 'readable' can be queried, tagged
/// and gone back to; an expired one cannot. The formats json and nd-json hold more columns: all
/// that atio_history has in SQL.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  atio history ./sales --limit 5")]
pub(crate) struct History {
    #[command(flatten)]
    table: Named,

    /// Show only so many versions
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

impl History {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let start = Instant::now();
        let table = self.table.open(session).await?;
        let options = HistoryOptions { limit: self.limit };
        let history = table.history(options).await?;
        let rows = batches::history(&history)?;
        let rows = session.ctx.read_batch(rows)?;
        let rows = match session.print.format {
            PrintFormat::Json | PrintFormat::NdJson => rows,
            _ => rows.select_exprs(&COLUMNS)?,
        };
        session.show(rows, start).await
    }
}

/// Gives a version of a table a name.
///
/// A version with a name never expires. In SQL it is read as atio_table('sales', tag => 'best').
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  atio tag ./sales best 3 --message 'the lowest loss'")]
pub(crate) struct Tag {
    #[command(flatten)]
    table: Named,

    /// The name
    #[arg(allow_hyphen_values = false)]
    tag: String,

    /// The number of the version [default: the newest]
    version: Option<u64>,

    /// Why it has this name
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,

    /// Take the name from the version that has it
    #[arg(long)]
    replace: bool,
}

impl Tag {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let start = Instant::now();
        let table = self.table.open(session).await?;
        let options = TagOptions {
            version: self.version.map_or(VersionRef::Newest, Into::into),
            message: self.message,
            replace: self.replace,
            ..TagOptions::default()
        };
        let tagged = table.tag(&self.tag, options).await?;
        let rows = batches::updated(Some(&self.tag), Some(tagged))?;
        session.show_batch(rows, start).await
    }
}

/// Shows the names of versions of a table.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  atio tags ./sales --format json")]
pub(crate) struct Tags {
    #[command(flatten)]
    table: Named,
}

impl Tags {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let start = Instant::now();
        let table = self.table.open(session).await?;
        let tags = table.tags().await?;
        session.show_batch(batches::tags(&tags)?, start).await
    }
}

/// Takes the name of a version back; the version stays.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  atio untag ./sales best")]
pub(crate) struct Untag {
    #[command(flatten)]
    table: Named,

    /// The name
    tag: String,
}

impl Untag {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let start = Instant::now();
        let table = self.table.open(session).await?;
        let untagged = table.untag(&self.tag, CommitOptions::default()).await?;
        let rows = batches::updated(Some(&self.tag), Some(untagged))?;
        session.show_batch(rows, start).await
    }
}

/// Makes a table what it was at an older version.
///
/// That is a new version with the old rows: nothing is lost, and one can go back from it again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  atio rollback ./sales 2\n  atio rollback ./sales best")]
pub(crate) struct Rollback {
    #[command(flatten)]
    table: Named,

    /// The number of the version, or its tag
    to: String,

    /// What the history says of it
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
}

impl Rollback {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let start = Instant::now();
        let table = self.table.open(session).await?;
        // No tag consists of digits only.
        let to = match self.to.parse::<u64>() {
            Ok(version) => VersionRef::from(version),
            Err(_) => VersionRef::Tag(self.to),
        };
        let back = table.rollback(to, message(self.message)).await?;
        let rows = batches::updated(None, Some(back))?;
        session.show_batch(rows, start).await
    }
}

/// Removes old versions of a table, and the files that only they need.
///
/// Without --yes nothing is removed: the files that would go are shown. The newest version,
/// versions with a tag, and those that were replaced only lately always stay.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  atio expire ./sales --keep-for 7d          what would go\n  \
                        atio expire ./sales --keep-for 7d --yes    remove it"
)]
pub(crate) struct Expire {
    #[command(flatten)]
    table: Named,

    /// Keep what was the newest version within this time: '7d', '12h', '30m', '0s'
    #[arg(long, value_name = "TIME", default_value = "7d")]
    keep_for: Duration,

    /// Keep at least so many versions
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    retain_last: u64,

    /// Also remove files of writers that died if they are older than this
    #[arg(long, value_name = "TIME", default_value = "1d")]
    orphan_age: Duration,

    /// Remove them, for ever
    #[arg(long)]
    yes: bool,
}

impl Expire {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let start = Instant::now();
        let table = self.table.open(session).await?;
        let options = ExpireOptions {
            keep_for: *self.keep_for,
            retain_last: self.retain_last,
            orphan_age: *self.orphan_age,
            dry_run: !self.yes,
        };
        let expired = table.expire(options).await?;
        let rows = batches::expired(&expired)?;
        session.show_batch(rows, start).await?;
        said(session, &expired, !self.yes);
        match expired.files() - expired.deleted() {
            left if self.yes && left > 0 => Err(Failure::new(format!(
                "{} could not be deleted, as the rows tell; the next expiry tries again",
                counted(left)
            ))),
            _ => Ok(()),
        }
    }
}

fn said(session: &Session, expired: &Expired, dry_run: bool) {
    match (dry_run, expired.files()) {
        (_, 0) => tell(&session.print, "Nothing has expired."),
        (true, files) => tell(
            &session.print,
            format_args!(
                "A dry run: {}, {}, would go, and nothing was deleted. \
                 The same command with --yes deletes them.",
                counted(files),
                HumanBytes(expired.bytes())
            ),
        ),
        (false, _) => tell(
            &session.print,
            format_args!(
                "Deleted {}, {}.",
                counted(expired.deleted()),
                HumanBytes(expired.deleted_bytes())
            ),
        ),
    }
}

fn counted(files: u64) -> String {
    match files {
        1 => "1 file".to_owned(),
        files => format!("{files} files"),
    }
}
