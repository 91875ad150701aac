//! The records that may differ.

use std::collections::BTreeSet;

use crate::result::Result;

/// Lines of a file, a blank and a text of the statement, a bar, and the reason.
const LIST: &str = include_str!("../exceptions.txt");

pub(crate) struct Exceptions(Vec<Exception>);

struct Exception {
    file: &'static str,
    text: &'static str,
    reason: &'static str,
    /// The records that were allowed by it.
    used: BTreeSet<String>,
}

pub(crate) fn read() -> Result<Exceptions> {
    let lines = LIST
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
        parts.ok_or_else(|| format!("exceptions.txt: '{line}' has no file, text and reason").into())
    });
    Ok(Exceptions(exceptions.collect::<Result<_>>()?))
}

impl Exceptions {
    /// True if the record at `place` may differ.
    pub(crate) fn allow(&mut self, place: &str, sql: &str) -> bool {
        let file = file_of(place);
        let mut all = self.0.iter_mut();
        let found = all.find(|exception| exception.file == file && sql.contains(exception.text));
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
