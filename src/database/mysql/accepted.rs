//! Values that the server would take for others, without a word.

use mysql_async::Value;

use crate::error::{Error, Result};

/// How many words a message lists.
const SHOWN: usize = 20;

/// What a column keeps of what it is given.
pub(super) enum Accepted {
    /// All of it, or the server refuses it.
    All,
    /// A year of two digits becomes one of four.
    Years,
    /// One of these words: a number is taken for the place of one, and one may be spelled
    /// otherwise.
    Word(Vec<String>),
    /// Any of these words, which the server puts into this order.
    Words(Vec<String>),
}

impl Accepted {
    /// What a column of this type keeps, as the catalog prints the type.
    pub(super) fn of(sql_type: &str) -> Self {
        let (name, rest) = sql_type.split_once(['(', ' ']).unwrap_or((sql_type, ""));
        match name {
            "year" => Self::Years,
            // The catalog prints a question mark for what it has no letter for.
            "enum" | "set" if rest.contains('?') => Self::All,
            "enum" => Self::Word(words(rest)),
            "set" => Self::Words(words(rest)),
            _ => Self::All,
        }
    }

    /// Fails if the column would hold another value.
    pub(super) fn check(&self, value: &Value) -> Result<()> {
        let kept = match (self, value) {
            (Self::Years, Value::Int(year)) => *year == 0 || (1901..=2155).contains(year),
            (Self::Word(words), Value::Bytes(word)) => place(words, word).is_some(),
            (Self::Words(words), Value::Bytes(given)) => are_in_order(words, given),
            _ => true,
        };
        match kept {
            true => Ok(()),
            false => Err(Error::invalid(self.refusal(value))),
        }
    }

    fn refusal(&self, value: &Value) -> String {
        let shown = match value {
            Value::Bytes(bytes) => format!("'{}'", String::from_utf8_lossy(bytes).escape_debug()),
            Value::Int(number) => number.to_string(),
            _ => "the value".to_owned(),
        };
        match self {
            Self::All => format!("{shown} cannot be kept"),
            Self::Years => format!("{shown} is no year that MySQL holds: 0, or 1901 to 2155"),
            Self::Word(words) => {
                format!("{shown} is none of {}, letter for letter", list(words))
            }
            Self::Words(words) => format!(
                "{shown} is not made of {}, letter for letter, in that order, with commas between",
                list(words)
            ),
        }
    }
}

/// The words in `'a','it''s')`.
fn words(printed: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = printed.chars().peekable();
    while rest.by_ref().any(|c| c == '\'') {
        let mut word = String::new();
        while let Some(c) = rest.next() {
            match c {
                '\'' if rest.next_if_eq(&'\'').is_none() => break,
                '\\' => match rest.next() {
                    Some('n') => word.push('\n'),
                    Some('r') => word.push('\r'),
                    Some('0') => word.push('\0'),
                    other => word.extend(other),
                },
                c => word.push(c),
            }
        }
        found.push(word);
    }
    found
}

fn list(words: &[String]) -> String {
    let quoted = words
        .iter()
        .map(|word| format!("'{}'", word.escape_debug()));
    let shown: Vec<_> = quoted.take(SHOWN).collect();
    match words.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn place(words: &[String], word: &[u8]) -> Option<usize> {
    words.iter().position(|one| one.as_bytes() == word)
}

fn are_in_order(words: &[String], given: &[u8]) -> bool {
    if given.is_empty() {
        return true;
    }
    let places = given.split(|byte| *byte == b',');
    let places: Option<Vec<_>> = places.map(|word| place(words, word)).collect();
    places.is_some_and(|places| places.windows(2).all(|pair| pair[0] < pair[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps(sql_type: &str, value: impl Into<Value>) -> bool {
        Accepted::of(sql_type).check(&value.into()).is_ok()
    }

    #[test]
    fn what_would_be_changed_is_refused() {
        let mood = "enum('good','BAD','it''s','7','back\\\\slash')";
        for (word, kept) in [
            ("good", true),
            ("Good", false),
            ("bad", false),
            ("it's", true),
            ("back\\slash", true),
            ("1", false),
            ("7", true),
            ("good','BAD", false),
            ("", false),
        ] {
            assert_eq!(keeps(mood, word), kept, "{word}");
        }
        let set = "set('a','b','c')";
        for (words, kept) in [
            ("", true),
            ("a", true),
            ("a,c", true),
            ("c,a", false),
            ("a,a", false),
            ("A", false),
            ("3", false),
            ("a,", false),
        ] {
            assert_eq!(keeps(set, words), kept, "{words}");
        }
        for (year, kept) in [
            (0, true),
            (24, false),
            (1901, true),
            (2155, true),
            (1900, false),
        ] {
            assert_eq!(keeps("year(4)", year), kept, "{year}");
        }
        assert!(keeps("varchar(3)", "24") && keeps("int", 24) && keeps("year", Value::NULL));
    }
}
