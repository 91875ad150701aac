//! The records that may differ.

use std::collections::BTreeSet;

use crate::result::Result;

/// Lines of a file, a blank and a text of the statement or of its failure, a bar, and the reason.
pub(crate) const BESIDE: List = List {
    name: "exceptions.txt",
    text: include_str!("../exceptions.txt"),
};
/// The same, for tables that are atio's.
pub(crate) const TABLES: List = List {
    name: "exceptions-tables.txt",
    text: include_str!("../exceptions-tables.txt"),
};

pub(crate) struct List {
    pub(crate) name: &'static str,
    text: &'static str,
}

pub(crate) struct Exceptions(Vec<Exception>);

struct Exception {
    file: &'static str,
    text: &'static str,
    reason: &'static str,
    /// The records that were allowed by it.
    used: BTreeSet<String>,
}

pub(crate) fn read(list: &List) -> Result<Exceptions> {
    let lines = list
        .text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let exceptions = lines.map(|line| {
        let parts = line.split_once(" | ").and_then(|(what, reason)| {
            let (file, text) = what.split_once(' ')?;
            Some(Exception {
                file,
                text: text.trim(),
                reason: reason.trim(),
                used: BTreeSet::new(),
            })
        });
        let name = list.name;
        parts.ok_or_else(|| format!("{name}: '{line}' has no file, text and reason").into())
    });
    Ok(Exceptions(exceptions.collect::<Result<_>>()?))
}

impl Exceptions {
    /// True if the record at `place`, with this statement, may fail so.
    pub(crate) fn allow(&mut self, place: &str, sql: &str, failure: &str) -> bool {
        let file = file_of(place);
        let mut all = self.0.iter_mut();
        let found = all.find(|exception| {
            let text = exception.text;
            exception.file == file && (sql.contains(text) || failure.contains(text))
        });
        found.is_some_and(|exception| {
            exception.used.insert(place.to_owned());
            true
        })
    }

    /// The records that were asked for and may differ, each with its reason.
    pub(crate) fn used(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|exception| {
            let places = exception.used.iter().map(String::as_str);
            places.map(|place| (place, exception.reason))
        })
    }

    /// One that no record was allowed by.
    pub(crate) fn unused(&self) -> Option<String> {
        let unused = self.0.iter().find(|exception| exception.used.is_empty())?;
        Some(format!("{} {}", unused.file, unused.text))
    }
}

/// The file of a record.
pub(crate) fn file_of(place: &str) -> &str {
    place.split_once(':').map_or(place, |(file, _)| file)
}
