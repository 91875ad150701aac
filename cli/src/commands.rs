//! The commands of the prompt that are not SQL: those that begin with a backslash.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

use datafusion::common::instant::Instant;
use datafusion_cli::command::{Command, OutputFormat};
use datafusion_cli::print_options::MaxRows;

use crate::failure::Failure;
use crate::functions;
use crate::script::Script;
use crate::session::Session;

/// Every command and what it does; `\?` prints it and completion offers it.
pub(crate) const COMMANDS: &[(&str, &str)] = &[
    ("\\?", "this help"),
    ("\\d", "list tables"),
    ("\\d NAME", "describe a table"),
    ("\\h", "list functions"),
    ("\\h FUNCTION", "describe a function"),
    ("\\i FILE", "run the statements in a file"),
    (
        "\\pset format FORMAT",
        "print rows as automatic, table, csv, tsv, json or nd-json",
    ),
    (
        "\\quiet [true|false]",
        "print nothing but results and errors",
    ),
    (
        "\\object_store_profiling [MODE]",
        "show requests to object stores: disabled, summary or trace",
    ),
    ("\\q", "quit"),
];

const LIST_TABLES: &str = "\
    SELECT table_catalog, table_schema, table_name, table_type \
    FROM information_schema.tables \
    WHERE table_schema <> 'information_schema' ORDER BY 1, 2, 3";

/// What the prompt does after a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Asks for the next statement.
    Prompt,
    /// Ends the shell.
    Quit,
}

/// Runs one command line that begins with a backslash.
pub(crate) async fn run(session: &mut Session, line: &str) -> Result<Next, Failure> {
    let line = line.trim().trim_end_matches(';').trim_end();
    let unknown = || Failure::new(format!("there is no command '{line}'; \\? lists them"));
    let command = line.trim_start_matches('\\');
    match command.parse::<Command>().map_err(|()| unknown())? {
        Command::Quit => return Ok(Next::Quit),
        Command::Help => help()?,
        Command::ListTables => {
            Script::typed(LIST_TABLES).run(&every_row(session)).await?;
        }
        // Those of datafusion-cli know few functions, and none of atio's.
        Command::ListFunctions => {
            let start = Instant::now();
            let functions = functions::list(&session.ctx).await?;
            every_row(session).show(functions, start).await?;
        }
        Command::SearchFunctions(name) => {
            let start = Instant::now();
            let functions = functions::describe(&session.ctx, &name).await?;
            session.show(functions, start).await?;
        }
        // SHOW COLUMNS would open every table there is, and fail if one of them is damaged.
        Command::DescribeTableStmt(name) => {
            Script::typed(&format!("DESCRIBE {name}"))
                .run(session)
                .await?;
        }
        Command::Include(Some(path)) => Script::open(Path::new(&path))?.run(session).await?,
        Command::Include(None) => return Err(Failure::new("\\i needs the name of a file")),
        Command::OutputFormat(Some(setting)) => setting
            .parse::<OutputFormat>()
            .map_err(|()| unknown())?
            .execute(&mut session.print)?,
        Command::OutputFormat(None) => {
            say(format_args!("Output format is {:?}.", session.print.format))?
        }
        command => command.execute(&session.ctx, &mut session.print).await?,
    }
    Ok(Next::Prompt)
}

/// The session without a limit on the rows shown: a list with a gap is no list.
fn every_row(session: &Session) -> Session {
    let mut session = session.clone();
    session.print.maxrows = MaxRows::Unlimited;
    session
}

fn help() -> Result<(), Failure> {
    let width = COMMANDS.iter().map(|(name, _)| name.len()).max();
    for (name, purpose) in COMMANDS {
        say(format_args!("{name:<0$}  {purpose}", width.unwrap_or(0)))?;
    }
    say(format_args!("Statements end with ';' and may span lines."))
}

fn say(line: impl Display) -> Result<(), Failure> {
    writeln!(io::stdout(), "{line}").map_err(Failure::from)
}
