//! The prompt: reads a statement, runs it, and goes on whatever came of it.

use std::io::{self, Write};
use std::path::PathBuf;

use datafusion_cli::DATAFUSION_CLI_VERSION;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config};
use tokio::signal;

use crate::commands::{self, Next};
use crate::editor::{Editor, is_farewell};
use crate::failure::Failure;
use crate::script::Script;
use crate::session::Session;
use crate::statements::holds_credential;

type LineEditor = rustyline::Editor<Editor, FileHistory>;

/// Prompts until the user quits. Failures of statements are shown, not returned.
pub(crate) async fn run(session: &mut Session, history: Option<PathBuf>) -> Result<(), Failure> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .build();
    let mut lines = LineEditor::with_config(config).map_err(no_terminal)?;
    lines.set_helper(Some(Editor::new(&session.ctx, session.print.color)));
    let mut history = History::load(history, &mut lines);
    if !session.print.quiet {
        say(&format!(
            "atio {} on DataFusion {DATAFUSION_CLI_VERSION}",
            env!("CARGO_PKG_VERSION")
        ));
    }
    loop {
        match lines.readline("atio> ") {
            Ok(input) => {
                let input = input.trim();
                if input.is_empty() {
                    continue;
                }
                history.add(input, &mut lines);
                if is_farewell(input) || interruptible(session, input).await == Next::Quit {
                    return Ok(());
                }
            }
            Err(ReadlineError::Interrupted) => say("^C"),
            Err(ReadlineError::Eof) => {
                say("\\q");
                return Ok(());
            }
            Err(error) => return Err(no_terminal(error)),
        }
        if let Some(helper) = lines.helper() {
            helper.reset_hint();
        }
    }
}

/// Runs what was typed until it ends or the user presses Ctrl-C.
async fn interruptible(session: &mut Session, input: &str) -> Next {
    let run = async {
        if input.starts_with('\\') {
            return commands::run(session, input).await;
        }
        Script::typed(input).run(session).await?;
        Ok(Next::Prompt)
    };
    tokio::select! {
        outcome = run => outcome.unwrap_or_else(|failure| {
            failure.report();
            Next::Prompt
        }),
        _ = signal::ctrl_c() => {
            // The terminal has shown ^C. A commit that had begun still runs to its end.
            say("\nCancelled.");
            Next::Prompt
        }
    }
}

/// What was typed before, in a file that only the user can read.
struct History {
    path: Option<PathBuf>,
}

impl History {
    fn load(path: Option<PathBuf>, lines: &mut LineEditor) -> Self {
        let mut history = Self { path };
        if let Some(path) = history.path.as_ref().filter(|path| path.exists())
            && let Err(error) = lines.load_history(path)
        {
            history.give_up(&error);
        }
        history
    }

    /// Remembers `input`, unless it holds a credential.
    fn add(&mut self, input: &str, lines: &mut LineEditor) {
        let credential = lines
            .helper()
            .is_some_and(|helper| holds_credential(input, helper.dialect().as_ref()));
        if credential {
            return;
        }
        let added = lines.add_history_entry(input);
        if let Some(path) = &self.path
            // Appending leaves alone what other shells wrote meanwhile.
            && let Err(error) = added.and_then(|_| lines.append_history(path))
        {
            self.give_up(&error);
        }
    }

    /// A history that cannot be kept is worth one note, not one after every statement.
    fn give_up(&mut self, error: &ReadlineError) {
        if let Some(path) = self.path.take() {
            let _ = writeln!(
                io::stderr(),
                "Note: the history is not kept: {}: {error}",
                path.display()
            );
        }
    }
}

fn no_terminal(error: ReadlineError) -> Failure {
    Failure::new(format!("the terminal cannot be read: {error}"))
}

/// Prints to the terminal, if it is still there.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
