//! What to write in place of statements and functions of Delta Lake, Iceberg and DuckDB.

use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// What statements begin with there.
const STATEMENTS: [(&[&str], &str); 8] = [
    (&["OPTIMIZE"], "SELECT * FROM atio_compact('t')"),
    (&["VACUUM"], "SELECT * FROM expire_snapshots('t')"),
    (&["DESCRIBE", "HISTORY"], "SELECT * FROM atio_history('t')"),
    (&["DESC", "HISTORY"], "SELECT * FROM atio_history('t')"),
    (&["DESCRIBE", "DETAIL"], "SELECT * FROM atio_stats('t')"),
    (&["DESC", "DETAIL"], "SELECT * FROM atio_stats('t')"),
    (
        &["RESTORE"],
        "SELECT * FROM atio_rollback('t', version => 3)",
    ),
    (
        &["CALL", "expire_snapshots"],
        "SELECT * FROM expire_snapshots('t')",
    ),
];

/// Functions and procedures.
const FUNCTIONS: [(&str, &str); 16] = [
    (
        "table_changes",
        "SELECT * FROM atio_changes('t', from => 3, to => 7)",
    ),
    (
        "ducklake_table_changes",
        "SELECT * FROM atio_changes('t', from => 3, to => 7)",
    ),
    (
        "create_changelog_view",
        "SELECT * FROM atio_changes('t', from => 3, to => 7)",
    ),
    ("ducklake_snapshots", "SELECT * FROM atio_history('t')"),
    ("iceberg_snapshots", "SELECT * FROM atio_history('t')"),
    (
        "ducklake_expire_snapshots",
        "SELECT * FROM expire_snapshots('t')",
    ),
    (
        "ducklake_cleanup_old_files",
        "SELECT * FROM expire_snapshots('t')",
    ),
    ("remove_orphan_files", "SELECT * FROM expire_snapshots('t')"),
    (
        "ducklake_merge_adjacent_files",
        "SELECT * FROM atio_compact('t')",
    ),
    (
        "ducklake_rewrite_data_files",
        "SELECT * FROM atio_compact('t')",
    ),
    ("rewrite_data_files", "SELECT * FROM atio_compact('t')"),
    (
        "rollback_to_snapshot",
        "SELECT * FROM atio_rollback('t', version => 3)",
    ),
    (
        "rollback_to_timestamp",
        "SELECT * FROM atio_rollback('t', version => 3)",
    ),
    (
        "set_current_snapshot",
        "SELECT * FROM atio_rollback('t', version => 3)",
    ),
    ("delta_scan", "SELECT * FROM atio_table('t')"),
    ("iceberg_scan", "SELECT * FROM atio_table('t')"),
];

const ALL_COLUMNS: &str = "MERGE needs its columns by their names, as in UPDATE SET a = s.a and INSERT (a, b) VALUES (s.a, s.b); \
                           for all of them there are 'atio upsert' in the shell and update_all() and insert_all() in Rust";

/// The error of a text that cannot be parsed or planned, and behind it what atio has in the place of what
/// the text has from elsewhere.
#[doc(hidden)]
pub fn with_hint(text: &str, error: DataFusionError) -> DataFusionError {
    match hint(text, &error) {
        Some(hint) => add(error, &hint),
        None => error,
    }
}

fn hint(text: &str, error: &DataFusionError) -> Option<String> {
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize().ok()?;
    let tokens = tokens.into_iter();
    let tokens: Vec<_> = tokens
        .filter(|token| !matches!(token, Token::Whitespace(_)))
        .collect();
    let statements = tokens.split(|token| *token == Token::SemiColon);
    let statements: Vec<_> = statements.filter(|tokens| !tokens.is_empty()).collect();
    // Of several it is not known which one is wrong.
    let [statement] = statements.as_slice() else {
        return None;
    };
    let statement = match statement {
        [explain, rest @ ..] if is(explain, "EXPLAIN") => rest,
        statement => statement,
    };
    of_statement(statement, error)
}

fn of_statement(statement: &[Token], error: &DataFusionError) -> Option<String> {
    let instead = |sql: &str| format!("atio has {sql} for this");
    let is_call = statement.first().is_some_and(|first| is(first, "CALL"));
    let begins = |words: &[&str]| match words {
        ["CALL", name] => is_call && statement.iter().any(|token| is(token, name)),
        words => {
            words.len() < statement.len()
                && words
                    .iter()
                    .zip(statement)
                    .all(|(word, token)| is(token, word))
        }
    };
    if let Some((_, sql)) = STATEMENTS.iter().find(|(words, _)| begins(words)) {
        return Some(instead(sql));
    }
    if statement.first().is_some_and(|first| is(first, "MERGE")) {
        let all = |token: &[Token]| match token {
            [update, set, star] => {
                let updates = is(update, "UPDATE") && is(set, "SET");
                *star == Token::Mul && (updates || is(set, "INSERT"))
            }
            _ => false,
        };
        return (statement.windows(3).any(all)).then(|| ALL_COLUMNS.to_owned());
    }
    // Functions of the host may have these names: then it is another that is missing.
    let said = error.to_string().to_ascii_lowercase();
    let called = |name: &str| {
        let calls = |pair: &[Token]| match pair {
            [word, paren] => is(word, name) && *paren == Token::LParen,
            _ => false,
        };
        let is_missing = is_call || said.contains(&format!("'{name}'"));
        is_missing && statement.windows(2).any(calls)
    };
    let found = FUNCTIONS.iter().find(|(name, _)| called(name));
    found.map(|(_, sql)| instead(sql))
}

fn is(token: &Token, word: &str) -> bool {
    match token {
        Token::Word(found) => found.value.eq_ignore_ascii_case(word),
        _ => false,
    }
}

/// Puts the hint behind the message of errors that parsers and planners make; others know better.
fn add(error: DataFusionError, hint: &str) -> DataFusionError {
    match error {
        DataFusionError::SQL(error, backtrace) => {
            let error = match *error {
                ParserError::ParserError(said) => {
                    ParserError::ParserError(format!("{said}; {hint}"))
                }
                error => error,
            };
            DataFusionError::SQL(Box::new(error), backtrace)
        }
        DataFusionError::Plan(said) => DataFusionError::Plan(behind(&said, hint)),
        DataFusionError::NotImplemented(said) => {
            DataFusionError::NotImplemented(behind(&said, hint))
        }
        DataFusionError::Diagnostic(diagnostic, error) => {
            DataFusionError::Diagnostic(diagnostic, Box::new(add(*error, hint)))
        }
        DataFusionError::Context(context, error) => {
            DataFusionError::Context(context, Box::new(add(*error, hint)))
        }
        error => error,
    }
}

/// The message with the hint before its backtrace, if it has one.
fn behind(said: &str, hint: &str) -> String {
    match said.split_once(DataFusionError::BACK_TRACE_SEP) {
        Some((said, trace)) => {
            format!("{said}; {hint}{}{trace}", DataFusionError::BACK_TRACE_SEP)
        }
        None => format!("{said}; {hint}"),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::common::plan_datafusion_err;

    use super::*;

    fn said(text: &str) -> String {
        let error = plan_datafusion_err!("table function 'TABLE_CHANGES' not found");
        with_hint(text, error).strip_backtrace()
    }

    #[test]
    fn words_from_elsewhere_get_a_hint_and_others_none() {
        for (text, has) in [
            ("OPTIMIZE t", "atio_compact"),
            ("optimize t zorder by (a)", "atio_compact"),
            ("VACUUM t;", "expire_snapshots"),
            ("DESCRIBE HISTORY t", "atio_history"),
            ("RESTORE TABLE t TO VERSION AS OF 3", "atio_rollback"),
            ("SELECT * FROM table_changes('t', 1, 2)", "atio_changes"),
            (
                "CALL c.system.rollback_to_snapshot('t', 1)",
                "atio_rollback",
            ),
            ("CALL c.system.expire_snapshots('t')", "expire_snapshots"),
            (
                "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN UPDATE SET *",
                "update_all()",
            ),
            (
                "MERGE INTO t USING s ON t.a = s.a WHEN NOT MATCHED THEN INSERT *",
                "update_all()",
            ),
        ] {
            let said = said(text);
            assert!(said.contains("not found; ") && said.contains(has), "{said}");
        }
        for text in [
            "SELECT * FROM optimize",
            "DESCRIBE t",
            "DESCRIBE history",
            "SELECT * FROM missing; VACUUM t",
            "SELECT * FROM delta_scan('t')",
            "SELECT table_changes FROM t",
            "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE",
            "SELECT 'OPTIMIZE t'",
        ] {
            let said = said(text);
            assert!(said.ends_with("not found"), "{text}: {said}");
        }
    }
}
