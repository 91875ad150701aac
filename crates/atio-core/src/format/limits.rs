//! Limits on what metadata may hold.
//!
//! Who can write to a table's storage can put anything there; nobody who opens the table may
//! pay for it with a stack, a day or all memory. The limits hold for what is written too:
//! nothing is committed that could not be read again.

use crate::error::{Error, Result};

/// The bytes of one metadata object: it is read whole, and parsed it is several times larger.
pub const METADATA_BYTES: u64 = 256 * 1024 * 1024;
/// How deep JSON nests: twice what the deepest schema needs, and little enough for any stack.
pub const JSON_DEPTH: usize = 64;
/// How deep types nest: each level costs two of JSON, and a schema file must fit in those.
pub const TYPE_DEPTH: usize = 30;
/// The bytes of a path below the root: object stores take keys of about so many.
pub const PATH_BYTES: usize = 1024;
/// Sums stay in the range that every reader has for them.
pub const SUM: u64 = i64::MAX as u64;
/// From 1970 to the end of 9999, in microseconds: there is always a later time to commit at,
/// and SQL can show it.
pub const TIMES_US: std::ops::RangeInclusive<i64> = 0..=253_402_300_799_999_999;

/// At most so many of something.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    pub most: usize,
    what: &'static str,
}

/// The names of an object that is being read are held until it ends, to find one that is
/// there twice; the largest object that means anything is that of the tags.
pub const KEYS: Limit = limit(200_000, "keys in open objects");
/// Merging keeps some tens; what Python left unmerged may be more.
pub const MANIFESTS: Limit = limit(100_000, "manifests");
/// In one version, and so in one manifest: each costs planning time and memory.
pub const FILES: Limit = limit(10_000_000, "data files");
/// Columns with everything inside them; far beyond what Parquet readers bear.
pub const FIELDS: Limit = limit(100_000, "fields");
/// A version carries the sequence number of each application that writes with one.
pub const APPS: Limit = limit(1_000, "apps");
/// Options, properties, features, metadata of a field: lists that people make by hand.
pub const ENTRIES: Limit = limit(1_000, "entries");
/// One expiry revokes no more transactions; the rest waits for the next.
pub const REVOKED: Limit = limit(100_000, "revoked transactions");
/// Tags, each of which keeps a version.
pub const TAGS: Limit = limit(100_000, "tags");
/// Ranges of expired versions: a tag splits one in two.
pub const RANGES: Limit = limit(200_000, "ranges of expired versions");
/// Names: of columns, where a query may have made one of a whole expression, and of entries.
pub const NAME_BYTES: Limit = limit(64 * 1024, "bytes of a name");
/// Messages and the values of entries.
pub const TEXT_BYTES: Limit = limit(1024 * 1024, "bytes of text");

const fn limit(most: usize, what: &'static str) -> Limit {
    Limit { most, what }
}

impl Limit {
    /// Fails where there are more.
    pub fn check(self, found: usize) -> Result<()> {
        match found <= self.most {
            true => Ok(()),
            false => Err(self.exceeded(found)),
        }
    }

    /// Like [`Limit::check`] for a count that somebody wrote down.
    pub fn check_count(self, found: u64) -> Result<()> {
        match found <= self.most as u64 {
            true => Ok(()),
            false => Err(self.exceeded(found)),
        }
    }

    fn exceeded(self, found: impl std::fmt::Display) -> Error {
        let Self { most, what } = self;
        Error::damaged(format!("{found} {what} are more than the limit of {most}"))
    }
}

/// Checks the number of entries and the lengths of their names and values.
pub fn check_entries<'a>(
    entries: impl ExactSizeIterator<Item = (&'a String, &'a String)>,
) -> Result<()> {
    ENTRIES.check(entries.len())?;
    for (name, value) in entries {
        NAME_BYTES.check(name.len())?;
        TEXT_BYTES.check(value.len())?;
    }
    Ok(())
}

/// Checks a time of a commit, in microseconds since 1970.
pub fn check_time(at_us: i64) -> Result<()> {
    match TIMES_US.contains(&at_us) {
        true => Ok(()),
        false => Err(Error::damaged(format!(
            "the time {at_us} us is not in the years 1970 to 9999"
        ))),
    }
}

/// Turns what a reader would call damage into what a writer asked too much of.
pub fn refused(what: &str) -> impl FnOnce(Error) -> Error {
    let what = format!("the {what} cannot be stored");
    move |error| Error::invalid(error.message()).context(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_the_last_number_that_passes() {
        APPS.check(1000).unwrap();
        assert_eq!(
            APPS.check(1001).unwrap_err().message(),
            "1001 apps are more than the limit of 1000"
        );
        FILES.check_count(10_000_000).unwrap();
        let error = FILES.check_count(u64::MAX).unwrap_err();
        assert!(
            error
                .message()
                .ends_with("data files are more than the limit of 10000000"),
            "{error}"
        );
    }

    #[test]
    fn times_are_those_that_sql_can_show() {
        for at_us in [0, *TIMES_US.end()] {
            check_time(at_us).unwrap();
        }
        for at_us in [i64::MIN, -1, i64::MAX, TIMES_US.end() + 1] {
            let error = check_time(at_us).unwrap_err();
            assert!(
                error.message().contains("not in the years 1970 to 9999"),
                "{error}"
            );
        }
    }
}
