//! Lists in arguments of functions, which are SQL.

use datafusion::common::plan_datafusion_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::sql::sqlparser::dialect::dialect_from_str;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

/// Reads a text such as `day, price`, each part of it by `part`, in the dialect of the session.
pub(super) fn parse_list<T>(
    state: &SessionState,
    text: &str,
    part: impl for<'a> FnMut(&mut Parser<'a>) -> std::result::Result<T, ParserError>,
) -> Result<Vec<T>> {
    let settings = &state.config_options().sql_parser;
    let name = &settings.dialect;
    let dialect = dialect_from_str(name)
        .ok_or_else(|| plan_datafusion_err!("there is no dialect '{name}'"))?;
    let of_parser = |error| DataFusionError::SQL(Box::new(error), None);
    let parser = Parser::new(dialect.as_ref());
    let mut parser = parser
        .with_recursion_limit(settings.recursion_limit.get())
        .try_with_sql(text)
        .map_err(of_parser)?;
    let list = parser.parse_comma_separated(part).map_err(of_parser)?;
    parser.expect_token(&Token::EOF).map_err(of_parser)?;
    Ok(list)
}
