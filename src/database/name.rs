//! Names of tables, as a database knows them.

use std::fmt;

use crate::error::{Error, Result};

/// A table, and the schema (of MySQL, the database) that it is in if one was named.
///
/// Names are taken letter by letter: there is no folding to lower case, and what is in double
/// quotes may hold dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableName {
    pub(super) schema: Option<String>,
    pub(super) table: String,
}

impl TableName {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::invalid(format!(
                "'{}' names no table of a database: {why}",
                text.escape_debug()
            ))
        };
        let mut parts = Vec::new();
        let mut rest = text;
        loop {
            let (part, after) = match rest.strip_prefix('"') {
                Some(quoted) => until_quote(quoted).ok_or_else(|| wrong("a quote is missing"))?,
                None => {
                    let (part, after) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
                    (part.to_owned(), after)
                }
            };
            check(&part).map_err(wrong)?;
            parts.push(part);
            match after.strip_prefix('.') {
                Some(after) => rest = after,
                None if after.is_empty() => break,
                None => return Err(wrong("after a quote comes a dot, or nothing")),
            }
        }
        let table = parts.pop().unwrap_or_default();
        let schema = parts.pop();
        match parts.is_empty() {
            true => Ok(Self { schema, table }),
            false => Err(wrong("it has more parts than a schema and a table")),
        }
    }

    /// As SQL, each part in `quote`.
    pub(super) fn quoted(&self, quote: char) -> String {
        let table = quoted(&self.table, quote);
        match &self.schema {
            Some(schema) => format!("{}.{table}", quoted(schema, quote)),
            None => table,
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{}.", schema.escape_debug())?;
        }
        write!(f, "{}", self.table.escape_debug())
    }
}

/// What no database takes for a name.
pub(super) fn check(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        Err("a name is empty")
    } else if name.contains(char::is_control) {
        Err("a name holds a control character")
    } else {
        Ok(())
    }
}

/// A name as SQL: whatever is in it, it stays one name.
pub(super) fn quoted(name: &str, quote: char) -> String {
    let mut sql = String::with_capacity(name.len() + 2);
    sql.push(quote);
    for c in name.chars() {
        if c == quote {
            sql.push(quote);
        }
        sql.push(c);
    }
    sql.push(quote);
    sql
}

/// The text until the quote that ends it, with doubled quotes as one, and what comes after.
fn until_quote(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"')?;
        name += part;
        match after.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => return Some((name, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_letter_by_letter() {
        for (text, sql) in [
            ("sales", r#""sales""#),
            ("public.Sales", r#""public"."Sales""#),
            (r#""a.b"."c""d""#, r#""a.b"."c""d""#),
            ("x; DROP TABLE y --", r#""x; DROP TABLE y --""#),
            (r#"x"y"#, r#""x""y""#),
        ] {
            assert_eq!(TableName::parse(text).unwrap().quoted('"'), sql);
        }
        assert_eq!(quoted("a`b", '`'), "`a``b`");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", ".", "a.", ".a", "a.b.c", "\"a", "\"a\"b", "a\0", "\"\""] {
            assert!(TableName::parse(text).is_err(), "{text:?}");
        }
    }
}
