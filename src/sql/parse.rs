//! Reading SQL so that AS OF is understood in every dialect.
//!
//! The parser takes AS OF in some dialects alone, and the default one is not among them. Text that
//! the session's dialect understands is left to it. In the tokens of all other text every AS OF
//! behind a name becomes an argument that nobody else writes; where that reaches the tables of the
//! statement, it becomes the version that it stands for.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use datafusion::error::{DataFusionError, Result};
use datafusion::sql::parser::{DFParserBuilder, ParserInput, Statement};
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, TableFactor, TableFunctionArgs, TableVersion, Value,
    VisitorMut,
};
use datafusion::sql::sqlparser::dialect::Dialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::hints::with_hint;
use super::lost_parts::{check_whole, visit};

/// As deep as DataFusion's parser goes where nothing else is set.
const RECURSION_LIMIT: usize = 50;

/// Parses the statements of `text`, which may go back in time in any dialect: `t VERSION AS OF 3`,
/// `t TIMESTAMP AS OF '2026-01-31'`, both also behind `FOR`, `t FOR SYSTEM_TIME AS OF ..`,
/// `t AT (VERSION => 3)` and `t AT (TIMESTAMP => ..)`. All else is as in [`DFParser`].
///
/// It is for hosts that look at statements before they run them; [`sql`](crate::sql()) does both.
/// A session that [`register`](crate::register) was not called on ignores AS OF.
///
/// ```
/// use datafusion::sql::sqlparser::dialect::GenericDialect;
///
/// let statements = atio::parse_sql("SELECT * FROM sales VERSION AS OF 3; SELECT 1", &GenericDialect {})?;
/// assert_eq!(statements[0].to_string(), "SELECT * FROM sales VERSION AS OF 3");
/// assert_eq!(statements.len(), 2);
/// # Ok::<(), datafusion::error::DataFusionError>(())
/// ```
///
/// # Errors
///
/// The parser's, if the text is not SQL of this dialect otherwise either;
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) where the engine would lose a part of the statement: for
/// a `DELETE` from an old version, from a `TABLESAMPLE` or from a `PARTITION`, for an `UPDATE` that
/// gives a column two values or names a field of a column, and
/// [`Unsupported`](crate::ErrorKind::Unsupported) for a `CREATE TABLE .. AS` with a column that is
/// `NOT NULL`.
///
/// [`DFParser`]: datafusion::sql::parser::DFParser
pub fn parse_sql(text: &str, dialect: &dyn Dialect) -> Result<VecDeque<Statement>> {
    parse(text, dialect, RECURSION_LIMIT)
}

/// The same with a limit of its own.
pub(super) fn parse(
    text: &str,
    dialect: &dyn Dialect,
    recursion_limit: usize,
) -> Result<VecDeque<Statement>> {
    let parsed = parse_any(text, dialect, recursion_limit);
    parsed.map_err(|error| with_hint(text, error))
}

fn parse_any(
    text: &str,
    dialect: &dyn Dialect,
    recursion_limit: usize,
) -> Result<VecDeque<Statement>> {
    let parse = |input: ParserInput<'_>| {
        DFParserBuilder::new(input)
            .with_dialect(dialect)
            .with_recursion_limit(recursion_limit)
            .build()?
            .parse_statements()
    };
    let error = match parse(text.into()) {
        Ok(statements) => return check_whole(statements),
        Err(error) => error,
    };
    let Some((tokens, mut lifted)) = lift(text, dialect) else {
        return Err(error);
    };
    match parse(tokens.into()) {
        Ok(mut statements) => match lifted.put_back(&mut statements) {
            true => check_whole(statements),
            false => Err(error),
        },
        Err(other) if lifted.is_in(&other) => Err(error),
        Err(other) => Err(other),
    }
}

/// The tokens of `text`, with an argument in the place of each AS OF; None if there is none.
fn lift(text: &str, dialect: &dyn Dialect) -> Option<(Vec<TokenWithSpan>, Lifted)> {
    let tokens = Tokenizer::new(dialect, text)
        .tokenize_with_location()
        .ok()?;
    let mut lifted = Lifted::beside(text);
    let mut kept: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut rest = tokens.as_slice();
    while let [next, after @ ..] = rest {
        let before = kept.iter().rev().find(|token| !is_space(token));
        let named = before.is_some_and(|token| is_name(&token.token));
        match named.then(|| as_of(rest, dialect)).flatten() {
            Some((version, behind)) => {
                let argument = Token::SingleQuotedString(lifted.take(version));
                let argument = [Token::LParen, argument, Token::RParen];
                kept.extend(argument.map(|token| TokenWithSpan::new(token, next.span)));
                rest = behind;
            }
            None => {
                kept.push(next.clone());
                rest = after;
            }
        }
    }
    (!lifted.versions.is_empty()).then_some((kept, lifted))
}

/// The version that `tokens` begin with, and what comes behind it.
fn as_of<'a>(
    tokens: &'a [TokenWithSpan],
    dialect: &dyn Dialect,
) -> Option<(TableVersion, &'a [TokenWithSpan])> {
    let words = |words: &[&str]| words.iter().try_fold(tokens, |rest, word| eat(rest, word));
    let value = |rest: &'a [TokenWithSpan]| expression(rest, dialect);
    for before in [&["FOR"][..], &[]] {
        if let Some(rest) = words(&[before, &["VERSION", "AS", "OF"]].concat()) {
            let (number, rest) = value(rest)?;
            return Some((TableVersion::VersionAsOf(number), rest));
        }
        if let Some(rest) = words(&[before, &["TIMESTAMP", "AS", "OF"]].concat()) {
            let (time, rest) = value(rest)?;
            return Some((TableVersion::TimestampAsOf(time), rest));
        }
    }
    if let Some(rest) = words(&["FOR", "SYSTEM_TIME", "AS", "OF"]) {
        let (time, rest) = value(rest)?;
        return Some((TableVersion::ForSystemTimeAsOf(time), rest));
    }
    let rest = eat_token(words(&["AT"])?, &Token::LParen)?;
    let (is_version, rest) = match (eat(rest, "VERSION"), eat(rest, "TIMESTAMP")) {
        (Some(rest), _) => (true, rest),
        (None, rest) => (false, rest?),
    };
    let (value, rest) = value(eat_token(rest, &Token::RArrow)?)?;
    let rest = eat_token(rest, &Token::RParen)?;
    match is_version {
        true => Some((TableVersion::VersionAsOf(value), rest)),
        false => Some((TableVersion::TimestampAsOf(value), rest)),
    }
}

/// The expression that `tokens` begin with, and what comes behind it.
fn expression<'a>(
    tokens: &'a [TokenWithSpan],
    dialect: &dyn Dialect,
) -> Option<(Expr, &'a [TokenWithSpan])> {
    let mut parser = Parser::new(dialect).with_tokens_with_locations(tokens.to_vec());
    let expression = parser.parse_expr().ok()?;
    Some((expression, tokens.get(parser.index()..).unwrap_or_default()))
}

/// What comes behind `word`, where that comes next.
fn eat<'a>(tokens: &'a [TokenWithSpan], word: &str) -> Option<&'a [TokenWithSpan]> {
    let (next, rest) = next(tokens)?;
    match next {
        Token::Word(found) => {
            let same = found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word);
            same.then_some(rest)
        }
        _ => None,
    }
}

fn eat_token<'a>(tokens: &'a [TokenWithSpan], token: &Token) -> Option<&'a [TokenWithSpan]> {
    let (next, rest) = next(tokens)?;
    (next == token).then_some(rest)
}

/// The next token that is no space, and what comes behind it.
fn next(tokens: &[TokenWithSpan]) -> Option<(&Token, &[TokenWithSpan])> {
    let at = tokens.iter().position(|token| !is_space(token))?;
    let (next, rest) = tokens.get(at..)?.split_first()?;
    Some((&next.token, rest))
}

fn is_space(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

/// True for what can be the last part of a table's name.
fn is_name(token: &Token) -> bool {
    matches!(
        token,
        Token::Word(_) | Token::SingleQuotedString(_) | Token::DoubleQuotedString(_)
    )
}

/// The versions that were taken out of a text.
struct Lifted {
    /// What arguments begin with that stand for them: not in the text.
    mark: String,
    /// None once it is where it belongs.
    versions: Vec<Option<TableVersion>>,
}

impl Lifted {
    fn beside(text: &str) -> Self {
        let mut mark = "atio:as of:".to_owned();
        while text.contains(&mark) {
            mark.push(':');
        }
        Self {
            mark,
            versions: Vec::new(),
        }
    }

    /// What stands for `version`.
    fn take(&mut self, version: TableVersion) -> String {
        let argument = format!("{}{}", self.mark, self.versions.len());
        self.versions.push(Some(version));
        argument
    }

    /// True if an error shows what nobody wrote.
    fn is_in(&self, error: &DataFusionError) -> bool {
        error.to_string().contains(&self.mark)
    }

    /// Puts the versions where they belong; false if one of them is not behind a table.
    fn put_back(&mut self, statements: &mut VecDeque<Statement>) -> bool {
        for statement in statements {
            visit(statement, self);
        }
        self.versions.iter().all(Option::is_none)
    }

    fn stands_for(&mut self, args: &TableFunctionArgs) -> Option<TableVersion> {
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] =
            args.args.as_slice()
        else {
            return None;
        };
        let Value::SingleQuotedString(argument) = &value.value else {
            return None;
        };
        let at: usize = argument.strip_prefix(&self.mark)?.parse().ok()?;
        self.versions.get_mut(at)?.take()
    }
}

impl VisitorMut for Lifted {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { args, version, .. } = factor
            && let Some(stands_for) = args.as_ref().and_then(|args| self.stands_for(args))
        {
            *args = None;
            *version = Some(stands_for);
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::{
        DatabricksDialect, GenericDialect, MySqlDialect, PostgreSqlDialect,
    };

    use super::*;

    fn one(text: &str, dialect: &dyn Dialect) -> Result<String> {
        let statements = parse_sql(text, dialect)?;
        assert_eq!(statements.len(), 1, "{text}");
        Ok(statements[0].to_string())
    }

    #[test]
    fn every_form_is_understood_in_dialects_that_do_not_know_it() {
        for dialect in [
            &GenericDialect {} as &dyn Dialect,
            &PostgreSqlDialect {},
            &MySqlDialect {},
        ] {
            for (text, expected) in [
                ("t VERSION AS OF 3", "t VERSION AS OF 3"),
                ("t version as of 3 AS s", "t VERSION AS OF 3 AS s"),
                ("t FOR VERSION AS OF 3 s", "t VERSION AS OF 3 s"),
                (
                    "a.b.t TIMESTAMP AS OF '2026-01-31'",
                    "a.b.t TIMESTAMP AS OF '2026-01-31'",
                ),
                (
                    "t FOR TIMESTAMP AS OF '2026-01-31'",
                    "t TIMESTAMP AS OF '2026-01-31'",
                ),
                (
                    "t FOR SYSTEM_TIME AS OF now() WHERE x",
                    "t FOR SYSTEM_TIME AS OF now() WHERE x",
                ),
                ("t AT (VERSION => 3)", "t VERSION AS OF 3"),
                (
                    "t /* then */ AT(TIMESTAMP => '2026-01-31') -- so",
                    "t TIMESTAMP AS OF '2026-01-31'",
                ),
                (
                    "t VERSION AS OF 1 JOIN (SELECT * FROM t VERSION AS OF 2) AS u ON t.a = u.a",
                    "t VERSION AS OF 1 JOIN (SELECT * FROM t VERSION AS OF 2) AS u ON t.a = u.a",
                ),
            ] {
                let found = one(&format!("SELECT * FROM {text}"), dialect).unwrap();
                // As one that knows the forms reads it.
                let known = format!("SELECT * FROM {expected}");
                assert_eq!(found, one(&known, &DatabricksDialect {}).unwrap(), "{text}");
            }
        }
    }

    #[test]
    fn delete_from_an_old_version_or_a_part_is_refused_in_every_dialect() {
        for dialect in [&GenericDialect {} as &dyn Dialect, &DatabricksDialect {}] {
            for text in [
                "DELETE FROM t TABLESAMPLE (10 PERCENT)",
                "DELETE FROM t VERSION AS OF 1",
                "DELETE FROM t VERSION AS OF 1 WHERE a = 1",
                "EXPLAIN DELETE FROM t TIMESTAMP AS OF '2026-01-31'",
                "PREPARE p AS DELETE FROM t VERSION AS OF 1",
                "SELECT 1; DELETE FROM t VERSION AS OF 1",
                "DELETE FROM t VERSION AS OF 1; SELECT 1",
            ] {
                let error = parse_sql(text, dialect).unwrap_err();
                assert!(
                    error.to_string().contains("cannot delete from "),
                    "{text}: {error}"
                );
            }
            let sampled = "DELETE FROM t WHERE a IN (SELECT a FROM t TABLESAMPLE (1 PERCENT))";
            assert_eq!(one(sampled, dialect).unwrap(), sampled);
            let reads = "DELETE FROM t WHERE a IN (SELECT a FROM t VERSION AS OF 1)";
            assert_eq!(one(reads, dialect).unwrap(), reads);
        }
    }

    #[test]
    fn delete_from_a_partition_is_refused() {
        let error = parse_sql("DELETE FROM t PARTITION (p0)", &GenericDialect {}).unwrap_err();
        assert!(error.to_string().contains("say by WHERE"), "{error}");
    }

    #[test]
    fn update_that_gives_a_column_two_values_is_refused() {
        let dialect = GenericDialect {};
        for text in [
            "UPDATE t SET x = 1, x = 2",
            "UPDATE t SET x = 1, y = 3, t.x = 2 WHERE y = 1",
            "EXPLAIN UPDATE t SET x = 1, x = 1",
            "SELECT 1; UPDATE t SET x = 1, x = 2",
            "PREPARE p AS UPDATE t SET x = $1, x = $2",
        ] {
            let error = parse_sql(text, &dialect).unwrap_err().to_string();
            let expected = "UPDATE of t: column 'x' is given two values";
            assert!(error.contains(expected), "{text}: {error}");
        }
        for whole in [
            "UPDATE t SET x = y, y = x",
            "UPDATE t SET t.x = 1",
            "UPDATE a.b.t SET b.t.x = 1, T.y = 2",
            "UPDATE t AS u SET u.x = 1",
        ] {
            assert_eq!(one(whole, &dialect).unwrap(), whole);
        }
        for text in ["UPDATE t SET s.x = 1", "UPDATE t AS u SET t.x = 1"] {
            let error = parse_sql(text, &dialect).unwrap_err().to_string();
            assert!(error.contains("is no column of it"), "{text}: {error}");
        }
    }

    #[test]
    fn statements_around_a_query_keep_its_versions() {
        for (text, expected) in [
            (
                "COPY (SELECT * FROM t VERSION AS OF 1) TO 'x.csv'",
                "t VERSION AS OF 1",
            ),
            (
                "EXPLAIN SELECT * FROM t VERSION AS OF 1",
                "t VERSION AS OF 1",
            ),
            (
                "INSERT INTO t SELECT * FROM t VERSION AS OF 1",
                "t VERSION AS OF 1",
            ),
            (
                "CREATE TABLE u AS SELECT * FROM t AT (VERSION => 1)",
                "t VERSION AS OF 1",
            ),
        ] {
            let found = one(text, &GenericDialect {}).unwrap();
            assert!(found.contains(expected), "{found}");
        }
    }

    #[test]
    fn what_the_dialect_understands_is_left_to_it() {
        for text in [
            "SELECT * FROM t AS version WHERE version.a = 1",
            "SELECT version, timestamp FROM t AS at",
            "SELECT 'x VERSION AS OF 3' FROM t",
            "SELECT * FROM \"VERSION AS OF 3\"",
        ] {
            assert_eq!(one(text, &GenericDialect {}).unwrap(), text);
        }
        let known = "SELECT * FROM t VERSION AS OF 3";
        assert_eq!(one(known, &DatabricksDialect {}).unwrap(), known);
    }

    #[test]
    fn what_no_dialect_understands_fails_with_words_of_the_text() {
        for text in [
            "SELECT * FROM t VERSION AS OF",
            "SELECT * FROM t VERSION AS OF 3 VERSION AS OF 4",
            "SELECT t VERSION AS OF 3",
            "SELECT * FROM t AS s VERSION AS OF 3",
            "INSERT INTO t VERSION AS OF 3 VALUES (1)",
            "SELECT * FRM t VERSION AS OF 3",
            "SELECT 'atio:as of:0' FROM t VERSION AS OF 3 FROM",
            "SELECT * FROM t BEFORE (VERSION => 3)",
        ] {
            let error = one(text, &GenericDialect {}).unwrap_err().to_string();
            assert!(!error.contains("atio:as of"), "{text}: {error}");
        }
        let twice = "SELECT 'atio:as of:0' FROM t VERSION AS OF 3";
        assert_eq!(one(twice, &GenericDialect {}).unwrap(), twice);
    }
}
