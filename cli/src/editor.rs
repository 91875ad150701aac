//! What the line editor knows about SQL: where a statement ends, and how to complete a word.

use std::borrow::Cow;

use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, dialect_from_str};
use datafusion_cli::helper::CliHelper;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper, Result};

use crate::commands::COMMANDS;
use crate::functions;
use crate::statements::is_complete;

/// The words a statement is likely to need; the parser knows many more.
const KEYWORDS: &str = "\
    ALL, AND, AS, ASC, BETWEEN, BY, CASE, CAST, COPY, CREATE, CROSS JOIN, DELETE FROM, DESC, \
    DESCRIBE, DISTINCT, DROP TABLE, ELSE, END, EXCEPT, EXISTS, EXPLAIN, EXTERNAL TABLE, \
    FROM, FULL JOIN, GROUP BY, HAVING, IN, INSERT INTO, INSERT OVERWRITE, INTERSECT, \
    INTERVAL, INTO, IS NOT NULL, IS NULL, JOIN, LEFT JOIN, LIKE, LIMIT, LOCATION, MERGE \
    INTO, NOT, NULL, OFFSET, ON, OPTIONS, OR, ORDER BY, OVER, PARTITION BY, RIGHT JOIN, \
    SELECT, SET, SHOW, STORED AS ATIO, TABLE, THEN, TIMESTAMP, UNION, UPDATE, USING, VALUES, \
    VIEW, WHEN, WHERE, WITH";

/// The helper of the line editor; highlighting and hints are `datafusion-cli`'s.
pub(crate) struct Editor {
    ctx: SessionContext,
    files: FilenameCompleter,
    look: CliHelper,
}

impl Editor {
    /// Knows the tables and functions of `ctx` at the time it is asked.
    pub(crate) fn new(ctx: &SessionContext, color: bool) -> Self {
        let dialect = ctx.state().config_options().sql_parser.dialect;
        Self {
            ctx: ctx.clone(),
            files: FilenameCompleter::new(),
            look: CliHelper::new(&dialect, color),
        }
    }

    /// Shows the hint at the next prompt again.
    pub(crate) fn reset_hint(&self) {
        self.look.reset_hint();
    }

    /// The dialect in force.
    pub(crate) fn dialect(&self) -> Box<dyn Dialect> {
        dialect_from_str(self.ctx.state().config_options().sql_parser.dialect)
            .unwrap_or_else(|| Box::new(GenericDialect))
    }

    /// Names of catalogs, schemas, tables and table functions that begin with `typed`.
    fn names(&self, typed: &str) -> Vec<String> {
        let state = self.ctx.state();
        let defaults = &state.config_options().catalog;
        let (path, _) = typed.rsplit_once('.').unwrap_or(("", typed));
        let mut names = Vec::new();
        let mut add = |found: Vec<String>, path: &str| {
            names.extend(found.into_iter().map(|name| match path {
                "" => quoted(&name),
                path => format!("{path}.{}", quoted(&name)),
            }));
        };
        let schema = |catalog: &str, schema: &str| self.ctx.catalog(catalog)?.schema(schema);
        match *path.split('.').collect::<Vec<_>>().as_slice() {
            [""] => {
                if let Some(schema) = schema(&defaults.default_catalog, &defaults.default_schema) {
                    add(schema.table_names(), "");
                }
                if let Some(catalog) = self.ctx.catalog(&defaults.default_catalog) {
                    add(catalog.schema_names(), "");
                }
                add(self.ctx.catalog_names(), "");
                add(state.table_functions().keys().cloned().collect(), "");
                add(functions::names().map(str::to_owned).collect(), "");
            }
            [name] => {
                if let Some(schema) = schema(&defaults.default_catalog, name) {
                    add(schema.table_names(), path);
                }
                if let Some(catalog) = self.ctx.catalog(name) {
                    add(catalog.schema_names(), path);
                }
            }
            [catalog, name] => {
                if let Some(schema) = schema(catalog, name) {
                    add(schema.table_names(), path);
                }
            }
            _ => {}
        }
        names.retain(|name| name.starts_with(typed));
        names
    }
}

/// The name as SQL would have to spell it.
fn quoted(name: &str) -> String {
    let plain = !name.starts_with(|c: char| c.is_ascii_digit())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

impl Completer for Editor {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, ctx: &Context<'_>) -> Result<(usize, Vec<Pair>)> {
        let before = &line[..pos];
        if before.matches('\'').count() % 2 == 1 {
            return self.files.complete(line, pos, ctx);
        }
        if before.starts_with('\\') && !before.contains(' ') {
            let names = COMMANDS
                .iter()
                .filter_map(|(name, _)| name.split(' ').next())
                .filter(|name| name.starts_with(before))
                .map(str::to_owned)
                .collect();
            return Ok((0, pairs(names)));
        }
        let start = before
            .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '"')))
            .map_or(0, |at| {
                at + before[at..].chars().next().map_or(1, char::len_utf8)
            });
        let typed = &before[start..];
        if typed.is_empty() {
            return Ok((start, Vec::new()));
        }
        let mut found = self.names(typed);
        if !before.starts_with('\\') {
            found.extend(keywords(typed));
        }
        Ok((start, pairs(found)))
    }
}

/// Keywords that begin with `typed`, in the case it was typed in.
fn keywords(typed: &str) -> impl Iterator<Item = String> {
    let lower = typed.chars().any(char::is_lowercase);
    let typed = typed.to_uppercase();
    KEYWORDS
        .split(", ")
        .filter(move |keyword| keyword.starts_with(&typed))
        .map(move |keyword| match lower {
            true => keyword.to_lowercase(),
            false => keyword.to_owned(),
        })
}

fn pairs(mut names: Vec<String>) -> Vec<Pair> {
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| Pair {
            display: name.clone(),
            replacement: name,
        })
        .collect()
}

impl Validator for Editor {
    fn validate(&self, ctx: &mut ValidationContext<'_>) -> Result<ValidationResult> {
        let input = ctx.input().trim();
        let done = input.is_empty()
            || input.starts_with('\\')
            || is_farewell(input)
            || is_complete(input, self.dialect().as_ref());
        Ok(if done {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

/// True for the words by which people leave other shells.
pub(crate) fn is_farewell(input: &str) -> bool {
    matches!(input, "quit" | "exit")
}

impl Hinter for Editor {
    type Hint = String;

    fn hint(&self, line: &str, pos: usize, ctx: &Context<'_>) -> Option<String> {
        self.look.hint(line, pos, ctx)
    }
}

impl Highlighter for Editor {
    fn highlight<'l>(&self, line: &'l str, pos: usize) -> Cow<'l, str> {
        self.look.highlight(line, pos)
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        self.look.highlight_hint(hint)
    }

    fn highlight_char(&self, line: &str, pos: usize, kind: CmdKind) -> bool {
        self.look.highlight_char(line, pos, kind)
    }
}

impl Helper for Editor {}
