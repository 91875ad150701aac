//! Versions of a table: which there are, what they are called, going back, and clearing up.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::UInt64Type;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion_cli::print_format::PrintFormat;
use humantime::Duration;
use indicatif::HumanBytes;

use crate::failure::Failure;
use crate::functions::literal;
use crate::session::Session;
use crate::tell::tell;

/// What fits on a screen; the lists among the other columns are nothing for CSV.
const COLUMNS: &str = "version, committed_at, operation, rows_added, rows_removed, rows, \
                       array_to_string(tags, ', ') AS tags, message, readable";

/// The table that a command is about.
#[derive(Debug, Args)]
struct Named {
    /// The table: a name in the warehouse, a path, or a URL
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    table: String,
}

impl Named {
    /// Connects to its store; returns it as a literal of SQL.
    async fn literal(&self, session: &Session) -> Result<String, Failure> {
        Ok(literal(&session.table(&self.table).await?))
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
        let columns = match session.print.format {
            PrintFormat::Json | PrintFormat::NdJson => "*",
            _ => COLUMNS,
        };
        let table = self.table.literal(session).await?;
        let limit = self.limit.map_or(String::new(), |n| format!(" LIMIT {n}"));
        let history = format!("FROM atio_history({table}) ORDER BY version DESC{limit}");
        session.show(&format!("SELECT {columns} {history}")).await
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
        let mut arguments = self.table.literal(session).await?;
        arguments += &format!(", tag => {}", literal(&self.tag));
        if let Some(version) = self.version {
            arguments += &format!(", version => {version}");
        }
        if let Some(message) = &self.message {
            arguments += &format!(", message => {}", literal(message));
        }
        if self.replace {
            arguments += ", replace => true";
        }
        session
            .show(&format!("SELECT * FROM atio_tag({arguments})"))
            .await
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
        let table = self.table.literal(session).await?;
        let tags = format!("SELECT * FROM atio_tags({table}) ORDER BY tag");
        session.show(&tags).await
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
        let table = self.table.literal(session).await?;
        let tag = literal(&self.tag);
        session
            .show(&format!("SELECT * FROM atio_untag({table}, tag => {tag})"))
            .await
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
        let table = self.table.literal(session).await?;
        // No tag consists of digits only.
        let to = match self.to.parse::<u64>() {
            Ok(version) => format!("version => {version}"),
            Err(_) => format!("tag => {}", literal(&self.to)),
        };
        session.describe(self.message.as_deref()).await?;
        session
            .show(&format!("SELECT * FROM atio_rollback({table}, {to})"))
            .await
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
        let table = self.table.literal(session).await?;
        let interval = |time: &Duration| {
            format!(
                "INTERVAL {}",
                literal(&format!(
                    "{} seconds {} microseconds",
                    time.as_secs(),
                    time.subsec_micros()
                ))
            )
        };
        let files = session
            .rows(&format!(
                "SELECT * FROM expire_snapshots({table}, keep_for => {}, retain_last => {}, \
                 orphan_age => {}, dry_run => {})",
                interval(&self.keep_for),
                self.retain_last,
                interval(&self.orphan_age),
                !self.yes
            ))
            .await?;
        let found = Found::of(&files.batches);
        session.show_rows(files).await?;
        let found = found.ok_or_else(|| {
            Failure::new("what an expiry found cannot be counted: the rows above are all of it")
        })?;
        found.tell(session, !self.yes);
        match found.files - found.deleted {
            left if self.yes && left > 0 => Err(Failure::new(format!(
                "{} could not be deleted, as the rows tell; the next expiry tries again",
                counted(left)
            ))),
            _ => Ok(()),
        }
    }
}

/// What an expiry found. A version that only its tags keep has a row, too, and is no file.
#[derive(Default)]
struct Found {
    files: u64,
    bytes: u64,
    deleted: u64,
    deleted_bytes: u64,
}

impl Found {
    fn of(batches: &[RecordBatch]) -> Option<Self> {
        let mut found = Self::default();
        for batch in batches {
            let kinds = batch.column_by_name("kind")?.as_string_opt::<i32>()?;
            let bytes = batch.column_by_name("bytes")?;
            let bytes = bytes.as_primitive_opt::<UInt64Type>()?;
            let deleted = batch.column_by_name("deleted")?.as_boolean_opt()?;
            for ((kind, bytes), deleted) in kinds.iter().zip(bytes).zip(deleted) {
                if kind == Some("tagged version") {
                    continue;
                }
                found.files += 1;
                found.bytes += bytes.unwrap_or(0);
                if deleted == Some(true) {
                    found.deleted += 1;
                    found.deleted_bytes += bytes.unwrap_or(0);
                }
            }
        }
        Some(found)
    }

    fn tell(&self, session: &Session, dry_run: bool) {
        match (dry_run, self.files) {
            (_, 0) => tell(&session.print, "Nothing has expired."),
            (true, files) => tell(
                &session.print,
                format_args!(
                    "A dry run: {}, {}, would go, and nothing was deleted. \
                     The same command with --yes deletes them.",
                    counted(files),
                    HumanBytes(self.bytes)
                ),
            ),
            (false, _) => tell(
                &session.print,
                format_args!(
                    "Deleted {}, {}.",
                    counted(self.deleted),
                    HumanBytes(self.deleted_bytes)
                ),
            ),
        }
    }
}

fn counted(files: u64) -> String {
    match files {
        1 => "1 file".to_owned(),
        files => format!("{files} files"),
    }
}
