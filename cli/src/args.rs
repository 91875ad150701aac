//! The command line: the flags of `datafusion-cli`, `--warehouse`, and [actions](Action).

use std::path::{Path, PathBuf};

use clap::Parser;
use clap::builder::NonEmptyStringValueParser;
use datafusion_cli::object_storage::instrumented::InstrumentedObjectStoreMode;
use datafusion_cli::pool_type::PoolType;
use datafusion_cli::print_format::PrintFormat;
use datafusion_cli::print_options::MaxRows;

use crate::action::Action;
use crate::failure::Failure;
use crate::size::parse_size;

/// How rows are printed.
const OUTPUT: &str = "Output";
/// Where tables are, and what the engine may use.
const SESSION: &str = "Session";

const EXAMPLES: &str = "\
Examples:
  atio                                      a SQL prompt
  atio -c \"SELECT * FROM 'june.csv'\"        one statement
  atio write june.csv ./sales --create      a file into a table, with no SQL
  atio upsert ./sales new.csv --key id      rows that are there updated, others inserted
  atio history ./sales                      the versions of that table
  .. | atio ingest ./sales --format json    a stream into a table
  atio write ./sales sales.xlsx             a table into a file";

/// A SQL shell over versioned tables, and commands for the same tables without SQL.
///
/// Without a command, -c and -f it prompts, or reads SQL from standard input when that is no
/// terminal. There and with -c and -f, the first statement that fails ends the run with exit
/// status 1.
#[derive(Debug, Parser)]
#[command(name = "atio", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to do without SQL; without one it is the SQL shell.
    #[command(subcommand)]
    pub(crate) action: Option<Action>,

    /// Run these statements, then exit; files go first
    #[arg(short, long, value_name = "SQL", num_args = 1.., value_parser = parse_command)]
    pub(crate) command: Vec<String>,

    /// Run the statements in these files, then exit
    #[arg(short, long, num_args = 1..)]
    pub(crate) file: Vec<PathBuf>,

    /// Run these files first [default: ~/.atiorc, at the prompt only]
    #[arg(short, long, value_name = "FILE", num_args = 1..)]
    pub(crate) rc: Vec<PathBuf>,

    /// Keep tables in this directory (or object store URL): CREATE TABLE makes atio tables there
    #[arg(
        long,
        global = true,
        help_heading = SESSION,
        value_name = "DIR",
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub(crate) warehouse: Option<String>,

    /// Resolve paths in statements and commands from this directory [default: the current one]
    #[arg(
        short = 'p',
        long,
        global = true,
        hide_short_help = true,
        help_heading = SESSION,
        value_name = "DIR",
        value_parser = parse_directory
    )]
    pub(crate) data_path: Option<PathBuf>,

    /// How rows are printed
    #[arg(
        long,
        global = true,
        help_heading = OUTPUT,
        value_enum,
        default_value_t = PrintFormat::Automatic
    )]
    pub(crate) format: PrintFormat,

    /// Print nothing but results and errors
    #[arg(short, long, global = true, help_heading = OUTPUT)]
    pub(crate) quiet: bool,

    /// Say on standard error how long each step took: plan, write, sync, commit
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        help_heading = OUTPUT,
        conflicts_with = "quiet"
    )]
    pub(crate) verbose: bool,

    /// Rows shown by the 'table' format: a number, or 'inf' for all
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        help_heading = OUTPUT,
        default_value = "40"
    )]
    pub(crate) maxrows: MaxRows,

    /// Highlight SQL at the prompt
    #[arg(long)]
    pub(crate) color: bool,

    /// Rows per batch [default: DataFusion's]
    #[arg(
        short,
        long,
        global = true,
        hide_short_help = true,
        help_heading = SESSION,
        value_name = "ROWS",
        value_parser = parse_batch_size
    )]
    pub(crate) batch_size: Option<usize>,

    /// Memory for queries, such as '10g' [default: no limit]
    #[arg(
        short,
        long,
        global = true,
        hide_short_help = true,
        help_heading = SESSION,
        value_name = "SIZE",
        value_parser = parse_size
    )]
    pub(crate) memory_limit: Option<usize>,

    /// How that memory is shared out: 'greedy' or 'fair'
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        help_heading = SESSION,
        value_name = "TYPE",
        default_value_t = PoolType::Greedy
    )]
    pub(crate) mem_pool_type: PoolType,

    /// Memory consumers named when memory runs out; 0 tracks none
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        help_heading = SESSION,
        value_name = "COUNT",
        default_value_t = 3
    )]
    pub(crate) top_memory_consumers: usize,

    /// Disk for spilled queries, such as '10g' [default: 100g]
    #[arg(
        short,
        long,
        global = true,
        hide_short_help = true,
        help_heading = SESSION,
        value_name = "SIZE",
        value_parser = parse_size
    )]
    pub(crate) disk_limit: Option<usize>,

    /// Requests to object stores shown after each statement: 'disabled', 'summary' or 'trace'
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        help_heading = SESSION,
        value_name = "MODE",
        default_value = "disabled"
    )]
    pub(crate) object_store_profiling: InstrumentedObjectStoreMode,
}

impl Args {
    /// True if the statements come from the prompt or from standard input.
    pub(crate) fn reads_standard_input(&self) -> bool {
        self.action.is_none() && self.command.is_empty() && self.file.is_empty()
    }

    /// Fails if what is asked for is SQL and a command of its own at once.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let sql = !self.command.is_empty() || !self.file.is_empty() || !self.rc.is_empty();
        match &self.action {
            Some(action) if sql => Err(Failure::usage(format!(
                "'{}' runs no SQL: leave out -c, -f and --rc, or the command",
                action.name()
            ))),
            Some(action) => action.check(self.format),
            None => Ok(()),
        }
    }
}

fn parse_command(sql: &str) -> Result<String, String> {
    if sql.trim().is_empty() {
        return Err("the command is empty".to_owned());
    }
    Ok(sql.to_owned())
}

fn parse_directory(path: &str) -> Result<PathBuf, String> {
    if !Path::new(path).is_dir() {
        return Err("it is not a directory".to_owned());
    }
    Ok(PathBuf::from(path))
}

fn parse_batch_size(rows: &str) -> Result<usize, String> {
    match rows.parse() {
        Ok(rows) if rows > 0 => Ok(rows),
        _ => Err("it is not a positive number".to_owned()),
    }
}
