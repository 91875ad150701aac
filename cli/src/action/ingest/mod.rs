//! A stream of records from standard input into a table.

mod decoder;
mod records;
mod signals;
mod stdin;

use std::io;
use std::time::Duration;

use atio::{StreamOptions, StreamWriter};
use clap::Args;
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion_cli::print_format::PrintFormat;

use self::decoder::Decoder;
use self::records::{Endless, Records, Splitter};
use self::signals::Signal;
use super::input::existing_table;
use crate::failure::Failure;
use crate::session::Session;
use crate::tell::tell;

/// Adds what comes on standard input to a table, for as long as it comes.
///
/// Each line of JSON is one object; CSV has the names of columns in its first line. Their
/// columns and types are those of the table: a name that it does not have is an error, and one
/// that is missing is NULL. Rows are committed every few seconds, and at the end, also that
/// which SIGINT (Ctrl-C) or SIGTERM makes; a second one ends the run at once, and so does
/// SIGHUP, which a terminal sends that is closed. A line that is wrong ends the run; what came
/// before it is committed.
///
/// With --source the table remembers how many records of that input it has. Give the input
/// again from its beginning, after whatever happened, and it goes on after the last one that
/// was committed: none is missing, and none is there twice. It counts them and does not compare
/// them: another input, such as the file that a log goes on in once it is rotated, needs a name
/// of its own. Its last row of CSV needs a line end, without which it may be half a row.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tail -n +1 -f sensor.json | atio ingest ./sensor --format json --source sensor.json
  cat june.csv | atio ingest ./sales --format csv --source june")]
pub(crate) struct Ingest {
    /// The table, which must be there: a name in the warehouse, a path, or a URL
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    table: String,

    /// What comes on standard input
    // Of the same name as the flag that says how rows are printed: none are.
    #[arg(
        long,
        value_name = "FORMAT",
        value_parser = PossibleValuesParser::new(["json", "csv"]).map(|format| match &*format {
            "csv" => PrintFormat::Csv,
            _ => PrintFormat::Json,
        })
    )]
    format: Option<PrintFormat>,

    /// Commit after this time at the latest: '5s', '1m'
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_time)]
    every: Duration,

    /// Commit after so many rows at the latest
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rows: Option<u64>,

    /// Skip records that were committed under this name before
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    source: Option<String>,

    /// What the history says of the commits
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
}

impl Ingest {
    /// Fails if it is not said what comes.
    pub(super) fn check(&self, format: PrintFormat) -> Result<(), Failure> {
        match format {
            PrintFormat::Csv | PrintFormat::Json | PrintFormat::NdJson => Ok(()),
            _ => Err(Failure::usage(
                "say what comes on standard input: --format json or --format csv",
            )),
        }
    }

    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        // Before anything is waited for: a signal that comes early must not be lost.
        let signal = Signal::catch()?;
        let (table, found) = existing_table(session, &self.table).await?;
        let defaults = StreamOptions::default();
        let options = StreamOptions {
            source: self.source.clone(),
            commit_rows: self.rows.unwrap_or(defaults.commit_rows),
            commit_every: Some(self.every),
            message: self.message.clone(),
            ..defaults
        };
        let writer = StreamWriter::open(&session.ctx, &table, options).await?;
        let stream = Stream::new(writer, self.source, session.print.format, found.schema());
        stream.run(session, &self.table, signal).await
    }
}

/// What has come, and where it goes.
struct Stream {
    writer: StreamWriter,
    source: Option<String>,
    splitter: Splitter,
    decoder: Decoder,
    /// Records that were committed before this run.
    done: u64,
    /// Records that have come.
    seen: u64,
}

/// Why no more is taken.
enum End {
    Input,
    Signal(u8),
    /// A record is wrong, or no more can be read.
    Wrong(Failure),
    /// The table cannot be written.
    Table(atio::Error),
}

impl Stream {
    fn new(
        writer: StreamWriter,
        source: Option<String>,
        format: PrintFormat,
        table: SchemaRef,
    ) -> Self {
        let (splitter, decoder) = match format {
            PrintFormat::Csv => (Splitter::rows(), Decoder::csv(table)),
            _ => (Splitter::lines(), Decoder::json(table)),
        };
        let done = writer.position().unwrap_or(0);
        Self {
            writer,
            source,
            splitter,
            decoder,
            done,
            seen: 0,
        }
    }

    /// Takes what comes until it ends, and commits all that was complete.
    async fn run(mut self, session: &Session, table: &str, signal: Signal) -> Result<(), Failure> {
        let end = self.take_all(signal).await;
        let (done, added) = (self.done, self.seen.saturating_sub(self.done));
        if let End::Table(error) = end {
            return Err(error.into());
        }
        let closed = self.writer.close().await;
        match (end, closed) {
            (End::Wrong(failure), Err(error)) => {
                let error = Failure::from(error);
                Err(match failure {
                    Failure::Message(wrong) => error.at(format_args!(
                        "{wrong}; and what came before it is not committed"
                    )),
                    _ => error,
                })
            }
            (_, Err(error)) => Err(Failure::from(error)),
            (End::Wrong(failure), Ok(_)) => Err(failure.and(match added {
                0 => "; nothing was added".to_owned(),
                1 => "; the record before it was added".to_owned(),
                added => format!("; the {added} records before it were added"),
            })),
            (End::Signal(number), Ok(_)) => {
                say(session, added, done, table);
                Err(Failure::Signal(number))
            }
            (_, Ok(_)) => {
                say(session, added, done, table);
                Ok(())
            }
        }
    }

    async fn take_all(&mut self, mut signal: Signal) -> End {
        let mut parts = match stdin::parts() {
            Ok(parts) => parts,
            Err(error) => return unreadable(&error),
        };
        loop {
            let taken = tokio::select! {
                biased;
                number = signal.number() => {
                    // What was read ahead came before it, and what comes behind it does not count.
                    parts.close();
                    while let Some(Ok(part)) = parts.recv().await {
                        if let Err(end) = self.take(&part).await {
                            return end;
                        }
                    }
                    return End::Signal(number);
                }
                // It says why.
                () = self.writer.until_stopped() => {
                    self.writer.commit().await.map_err(End::Table)
                }
                part = parts.recv() => match part {
                    Some(Ok(part)) => self.take(&part).await,
                    Some(Err(error)) => return unreadable(&error),
                    None => return self.finish().await.err().unwrap_or(End::Input),
                },
            };
            if let Err(end) = taken {
                return end;
            }
        }
    }

    async fn take(&mut self, part: &[u8]) -> Result<(), End> {
        let records = self.splitter.push(part).map_err(endless)?;
        self.add(&records).await
    }

    /// The last record may have no line end.
    async fn finish(&mut self) -> Result<(), End> {
        let last = self.splitter.finish().map_err(endless)?;
        let Some(source) = &self.source else {
            return self.add(&last).await;
        };
        // Half an object is none; half a row can be one, and would stay for ever.
        if last.len() > 0 && self.decoder.is_csv() {
            return Err(End::Wrong(Failure::new(format!(
                "line {}: the last row has no line end and may be unfinished; it is not added",
                last.line(0)
            ))));
        }
        let source = source.escape_debug().to_string();
        self.add(&last).await?;
        match (self.done, self.seen) {
            (done, seen) if seen < done => Err(End::Wrong(Failure::new(format!(
                "the table has {} of '{source}', and this input only {seen}: it is another \
                 input, or was cut",
                records(done)
            )))),
            _ => Ok(()),
        }
    }

    async fn add(&mut self, records: &Records) -> Result<(), End> {
        let mut first = 0;
        if records.len() > 0 && self.decoder.needs_header() {
            let header = records.bytes(0..1);
            self.decoder.set_header(header).map_err(End::Wrong)?;
            first = 1;
        }
        // What was committed is not looked at again.
        let known = usize::try_from(self.done.saturating_sub(self.seen)).unwrap_or(usize::MAX);
        let known = known.min(records.len() - first);
        self.seen += known as u64;
        first += known;
        match self.decoder.decode(records, first..records.len()) {
            Ok(rows) => self.push(rows).await,
            Err(wrong) => {
                if let Ok(rows) = self.decoder.decode(records, first..wrong.record) {
                    self.push(rows).await?;
                }
                let line = records.line(wrong.record);
                Err(End::Wrong(
                    Failure::new(wrong.why).at(format_args!("line {line}")),
                ))
            }
        }
    }

    async fn push(&mut self, rows: RecordBatch) -> Result<(), End> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.seen += rows.num_rows() as u64;
        let pushed = self.writer.push(rows, self.seen).await;
        pushed.map_err(End::Table)
    }
}

fn endless(at: Endless) -> End {
    End::Wrong(Failure::new(format!(
        "line {}: what begins here has no end; a quote may be missing",
        at.line
    )))
}

fn records(count: u64) -> String {
    match count {
        1 => "1 record".to_owned(),
        count => format!("{count} records"),
    }
}

fn say(session: &Session, added: u64, done: u64, table: &str) {
    let rows = match added {
        1 => "1 row".to_owned(),
        added => format!("{added} rows"),
    };
    match done {
        0 => tell(&session.print, format_args!("Added {rows} to {table}.")),
        done => tell(
            &session.print,
            format_args!("Added {rows} to {table}, after {done} that it had."),
        ),
    }
}

fn unreadable(error: &io::Error) -> End {
    End::Wrong(Failure::new(format!(
        "standard input cannot be read: {error}"
    )))
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let time: humantime::Duration = text
        .parse()
        .map_err(|_| "it is not a time such as '5s', '1m' or '1h'".to_owned())?;
    match time.is_zero() {
        true => Err("it must be longer than nothing".to_owned()),
        false => Ok(*time),
    }
}
