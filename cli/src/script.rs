//! Runs statements in order and stops at the first one that fails.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::failure::Failure;
use crate::session::Session;
use crate::statements::Statements;

/// SQL text and the name it has in messages.
pub(crate) struct Script<R> {
    source: R,
    name: Option<String>,
}

impl Script<BufReader<File>> {
    /// Opens a file of statements.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let file = File::open(path)
            .map_err(|error| Failure::new(format!("cannot be read: {error}")).at(&name))?;
        Ok(Self {
            source: BufReader::new(file),
            name: Some(name),
        })
    }
}

impl<'a> Script<&'a [u8]> {
    /// Statements that the user typed: messages need not say where they came from.
    pub(crate) fn typed(sql: &'a str) -> Self {
        Self {
            source: sql.as_bytes(),
            name: None,
        }
    }
}

impl<R: BufRead> Script<R> {
    /// Statements from `source`, which messages call `name`.
    pub(crate) fn named(name: &str, source: R) -> Self {
        Self {
            source,
            name: Some(name.to_owned()),
        }
    }

    /// Runs the statements; the error is that of the first one that failed, and no later one
    /// was run.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut statements = Statements::new(self.source);
        let mut number = 0;
        let place = |number: usize, failure: Failure| match &self.name {
            Some(name) => failure.at(format_args!("{name}: statement {number}")),
            None => failure,
        };
        loop {
            let (name, dialect) = session.dialect()?;
            let text = statements.next(name, dialect.as_ref()).map_err(|error| {
                place(number + 1, Failure::new(format!("cannot be read: {error}")))
            })?;
            let Some(text) = text else {
                return Ok(());
            };
            let parsed = text
                .parse(dialect.as_ref())
                .map_err(|error| place(number + 1, error.into()))?;
            for statement in parsed {
                number += 1;
                Box::pin(session.execute(statement))
                    .await
                    .map_err(|failure| place(number, failure))?;
            }
        }
    }
}
