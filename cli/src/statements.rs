//! Cuts SQL text into statements while it is being read.
//!
//! Only the next statement is looked at, with the dialect in force by then: an earlier one may
//! have changed it, and an error further on must not keep the statements before it from running.

use std::collections::VecDeque;
use std::io::{self, BufRead};

use datafusion::config::Dialect as DialectName;
use datafusion::error::{DataFusionError, Result};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::dialect::Dialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

/// Up to this size, unfinished text is examined again after every line that might end it.
/// Beyond, only once it has grown by a quarter: a stray quote in a large file costs linear time.
const EAGER_BYTES: usize = 16 * 1024;

/// The statements of a source, in order.
pub(crate) struct Statements<R> {
    source: R,
    /// What was read; before `start` it was handed out already.
    pending: String,
    start: usize,
    /// Where `start` is in the source: line, and column in characters, both from 1.
    line: usize,
    column: usize,
    /// Ends of statements in `pending`, found with the dialect `ends_dialect`.
    ends: VecDeque<usize>,
    ends_dialect: Option<DialectName>,
    /// `pending` holds no further end below this length.
    examine_at: usize,
    source_ended: bool,
}

impl<R: BufRead> Statements<R> {
    /// Starts at the beginning of `source`.
    pub(crate) fn new(source: R) -> Self {
        Self {
            source,
            pending: String::new(),
            start: 0,
            line: 1,
            column: 1,
            ends: VecDeque::new(),
            ends_dialect: None,
            examine_at: 0,
            source_ended: false,
        }
    }

    /// Reads up to the end of the next statement; `None` at the end of the source.
    ///
    /// What follows the last semicolon is a statement, too.
    pub(crate) fn next(
        &mut self,
        name: DialectName,
        dialect: &dyn Dialect,
    ) -> io::Result<Option<StatementText>> {
        if self.ends_dialect != Some(name) {
            self.ends_dialect = Some(name);
            self.ends.clear();
            self.examine_at = 0;
        }
        loop {
            if let Some(end) = self.ends.pop_front() {
                return Ok(Some(self.take(end)));
            }
            let unread = &self.pending[self.start..];
            if self.source_ended {
                if unread.trim().is_empty() {
                    return Ok(None);
                }
                self.examine(dialect);
                self.ends.push_back(self.pending.len());
            } else if unread.len() >= self.examine_at && unread.contains(';') {
                self.examine(dialect);
                if self.ends.is_empty() {
                    self.read_line()?;
                }
            } else {
                self.read_line()?;
            }
        }
    }

    /// Looks for ends of statements in what was read.
    fn examine(&mut self, dialect: &dyn Dialect) {
        let unread = &self.pending[self.start..];
        self.ends.extend(
            semicolons(unread, dialect)
                .into_iter()
                .map(|offset| self.start + offset + 1),
        );
        self.examine_at = match unread.len() {
            length if length < EAGER_BYTES => length + 1,
            length => length + length / 4,
        };
    }

    fn take(&mut self, end: usize) -> StatementText {
        let text = StatementText {
            sql: self.pending[self.start..end].to_owned(),
            line: self.line,
            column: self.column,
        };
        match text.sql.rfind('\n') {
            Some(newline) => {
                self.line += text.sql.matches('\n').count();
                self.column = text.sql[newline + 1..].chars().count() + 1;
            }
            None => self.column += text.sql.chars().count(),
        }
        self.start = end;
        if self.ends.is_empty() {
            self.pending.drain(..self.start);
            self.start = 0;
            self.examine_at = 0;
        }
        text
    }

    fn read_line(&mut self) -> io::Result<()> {
        let first = self.line == 1 && self.column == 1 && self.pending.is_empty();
        let before = self.pending.len();
        self.source_ended = self.source.read_line(&mut self.pending)? == 0;
        let line = &self.pending[before..];
        if first && line.starts_with("#!") {
            // The line that makes a script executable; its line break keeps the numbering.
            self.pending.replace_range(.., "\n");
        } else if first && line.starts_with('\u{feff}') {
            self.pending.drain(..'\u{feff}'.len_utf8());
        }
        Ok(())
    }
}

/// One statement as it was written, with the semicolon and any comments before it.
pub(crate) struct StatementText {
    sql: String,
    line: usize,
    column: usize,
}

impl StatementText {
    /// Parses it; text that holds only comments is no statement.
    ///
    /// Positions in the error are those of the source. Values of OPTIONS, which may be
    /// credentials, are not in the error.
    pub(crate) fn parse(&self, dialect: &dyn Dialect) -> Result<VecDeque<Statement>> {
        atio::parse_sql(&self.sql, dialect).map_err(|_| {
            let padded = format!(
                "{}{}{}",
                "\n".repeat(self.line - 1),
                " ".repeat(self.column - 1),
                self.sql
            );
            match atio::parse_sql(&padded, dialect) {
                Err(error) => self.without_option_values(error, dialect),
                Ok(_) => DataFusionError::Internal("a parse error did not repeat".to_owned()),
            }
        })
    }

    fn without_option_values(
        &self,
        error: DataFusionError,
        dialect: &dyn Dialect,
    ) -> DataFusionError {
        let error = match error {
            // Positions for machines; the message has them for people.
            DataFusionError::Diagnostic(_, error) => *error,
            error => error,
        };
        let DataFusionError::SQL(parser_error, backtrace) = error else {
            return error;
        };
        let ParserError::ParserError(mut message) = *parser_error else {
            return DataFusionError::SQL(parser_error, backtrace);
        };
        for value in tokens(&self.sql, dialect)
            .iter()
            .map(|token| &token.token)
            .skip_while(|token| !is_options(token))
            .filter(|token| !matches!(token, Token::Word(word) if word.quote_style.is_none()))
            .filter(|token| !matches!(token, Token::Whitespace(_)))
            .map(Token::to_string)
            // What is shorter is punctuation or an empty string.
            .filter(|value| value.chars().count() > 2)
        {
            message = message.replace(&value, "'***'");
        }
        DataFusionError::SQL(Box::new(ParserError::ParserError(message)), backtrace)
    }
}

/// True if `input` ends with a semicolon that ends a statement.
pub(crate) fn is_complete(input: &str, dialect: &dyn Dialect) -> bool {
    let mut found = Vec::new();
    Tokenizer::new(dialect, input)
        .tokenize_with_location_into_buf(&mut found)
        .is_ok()
        && found
            .iter()
            .rfind(|token| !matches!(token.token, Token::Whitespace(_)))
            .is_some_and(|token| token.token == Token::SemiColon)
}

/// True if `sql` sets an option whose name says that its value is a credential.
pub(crate) fn holds_credential(sql: &str, dialect: &dyn Dialect) -> bool {
    tokens(sql, dialect)
        .iter()
        .map(|token| &token.token)
        .skip_while(|token| !is_options(token))
        .any(|token| {
            let name = token.to_string().to_ascii_lowercase();
            ["secret", "token", "password", "key", "credential"]
                .iter()
                .any(|word| name.contains(word))
        })
}

fn is_options(token: &Token) -> bool {
    matches!(token, Token::Word(word) if word.keyword == Keyword::OPTIONS)
}

/// The tokens up to the first thing that is none.
fn tokens(sql: &str, dialect: &dyn Dialect) -> Vec<TokenWithSpan> {
    let mut found = Vec::new();
    // An error is that of unfinished text, or the parser will meet it again and report it.
    let _ = Tokenizer::new(dialect, sql).tokenize_with_location_into_buf(&mut found);
    found
}

/// Byte offsets of the semicolons that end statements.
fn semicolons(sql: &str, dialect: &dyn Dialect) -> Vec<usize> {
    let mut offsets = Vec::new();
    let mut characters = sql.char_indices();
    let (mut line, mut column) = (1, 1);
    for token in tokens(sql, dialect) {
        if token.token != Token::SemiColon {
            continue;
        }
        let wanted = (token.span.start.line, token.span.start.column);
        for (offset, character) in characters.by_ref() {
            let here = (line, column);
            if character == '\n' {
                line += 1;
                column = 1;
            } else {
                column += 1;
            }
            if here == wanted {
                // Tokens of MySQL hints carry made-up positions.
                if character == ';' {
                    offsets.push(offset);
                }
                break;
            }
        }
    }
    offsets
}
