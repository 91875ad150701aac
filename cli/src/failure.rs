//! What the user reads when something fails: one paragraph, without the engine's layers.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

/// Why the shell stopped.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something to tell the user.
    Message(String),
    /// The command line asks for what makes no sense.
    Usage(String),
    /// A signal ended the run, as its number tells; all that was read by then is safe.
    Signal(u8),
    /// Whoever read the output has gone, as in `atio .. | head`, and wants to hear no more.
    OutputClosed,
}

impl Failure {
    /// Makes a failure that says `message`.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Message(message.into())
    }

    /// Makes a failure of the command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// Puts the place where it happened before the message.
    #[must_use]
    pub(crate) fn at(self, place: impl Display) -> Self {
        match self {
            Self::Message(message) => Self::Message(format!("{place}: {message}")),
            other => other,
        }
    }

    /// Puts more after the message.
    #[must_use]
    pub(crate) fn and(self, more: impl Display) -> Self {
        match self {
            Self::Message(message) => Self::Message(format!("{message}{more}")),
            other => other,
        }
    }

    /// The exit status that says so: 2 for a wrong command line, 128 and its number for a signal.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Message(_) | Self::OutputClosed => 1,
            Self::Usage(_) => 2,
            Self::Signal(number) => 128 + number,
        }
    }

    /// Writes the message to standard error.
    pub(crate) fn report(&self) {
        let text = match self {
            Self::Message(message) => format!("Error: {message}"),
            Self::Usage(message) => {
                format!("Error: {message}\n\nFor more information, try '--help'.")
            }
            Self::Signal(_) | Self::OutputClosed => return,
        };
        // A closed standard error leaves nowhere to complain to.
        let _ = writeln!(io::stderr(), "{text}");
    }
}

impl From<io::Error> for Failure {
    /// Takes an error of writing to standard output.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Message(format!("the output cannot be written: {error}")),
        }
    }
}

impl From<DataFusionError> for Failure {
    fn from(error: DataFusionError) -> Self {
        Self::Message(atio::redact(&text(&error)).into_owned())
    }
}

impl From<atio::Error> for Failure {
    /// As those of statements are shown.
    fn from(error: atio::Error) -> Self {
        DataFusionError::from(error).into()
    }
}

/// The message of an error without the wrappers it collected on its way up.
fn text(error: &DataFusionError) -> String {
    match error {
        DataFusionError::Plan(message)
        | DataFusionError::Execution(message)
        | DataFusionError::Configuration(message) => message.clone(),
        DataFusionError::SQL(error, _) => match error.as_ref() {
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
                format!("syntax error: {message}")
            }
            ParserError::RecursionLimitExceeded => "the statement is nested too deeply".to_owned(),
        },
        DataFusionError::SchemaError(error, _) => error.to_string(),
        DataFusionError::Diagnostic(_, error) => text(error),
        DataFusionError::Shared(error) => text(error),
        DataFusionError::Context(context, error) if is_planning_step(context) => text(error),
        DataFusionError::Context(context, error) => format!("{context}: {}", text(error)),
        DataFusionError::Collection(errors) => {
            errors.iter().map(text).collect::<Vec<_>>().join("\n")
        }
        DataFusionError::External(error) => foreign_text(error.as_ref()),
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::ExternalError(error) => foreign_text(error.as_ref()),
            error => error.to_string(),
        },
        other => other.strip_backtrace(),
    }
}

/// True for the names of analyzer and optimizer rules, which mean nothing to the user.
fn is_planning_step(context: &str) -> bool {
    !context.contains(' ') || context.starts_with("Optimizer rule '")
}

/// [`text`] for an error that may be DataFusion's own in foreign clothes.
fn foreign_text(error: &(dyn Error + 'static)) -> String {
    match error.downcast_ref::<DataFusionError>() {
        Some(error) => text(error),
        None => error.to_string(),
    }
}
