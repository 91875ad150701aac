//! How rows go of a data file of which others stay.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Of the rows that a file has at most one in so many is marked, where it is left to atio.
const ONE_IN: u64 = 4;
/// And at most so many: a reader holds which rows it skips in memory.
const MOST: u64 = 1 << 20;

/// How rows go of a data file of which others stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum DeleteMode {
    /// They are marked as deleted as long as few rows of the file are; then the others are written
    /// anew.
    #[default]
    Auto,
    /// They are marked as deleted.
    Mark,
    /// The others are written anew.
    Rewrite,
}

impl DeleteMode {
    const ALL: [Self; 3] = [Self::Auto, Self::Mark, Self::Rewrite];

    /// What settings call it.
    fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Mark => "mark",
            Self::Rewrite => "rewrite",
        }
    }

    /// True if rows are marked in a file of `of` rows, of which `marked` are marked then.
    pub(crate) fn marks(self, marked: u64, of: u64) -> bool {
        match self {
            Self::Auto => marked <= MOST && marked.saturating_mul(ONE_IN) <= of,
            Self::Mark => true,
            Self::Rewrite => false,
        }
    }
}

impl fmt::Display for DeleteMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for DeleteMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL
            .into_iter()
            .find(|mode| mode.word().eq_ignore_ascii_case(text));
        found.ok_or_else(|| {
            Error::invalid(format!(
                "there is no delete mode '{}': it is auto, mark or rewrite",
                text.escape_debug()
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_rows_is_marked_and_no_more_unless_it_is_asked_for() {
        let auto = |marked, of| DeleteMode::Auto.marks(marked, of);
        assert!(auto(1, 4) && auto(2, 8) && auto(25, 100));
        assert!(!auto(1, 3) && !auto(2, 7) && !auto(26, 100));
        assert!(!auto(u64::MAX / 2, u64::MAX / 3));
        assert!(auto(1 << 20, 1 << 40) && !auto((1 << 20) + 1, 1 << 40));
        assert!(DeleteMode::Mark.marks(99, 100));
        assert!(!DeleteMode::Rewrite.marks(1, 100));
    }

    #[test]
    fn each_mode_is_read_as_it_is_shown() {
        for mode in DeleteMode::ALL {
            let word = mode.to_string();
            assert_eq!(word.parse::<DeleteMode>().unwrap(), mode);
            assert_eq!(word.to_uppercase().parse::<DeleteMode>().unwrap(), mode);
        }
        let error = "copy".parse::<DeleteMode>().unwrap_err();
        assert!(error.message().contains("auto, mark or rewrite"), "{error}");
    }
}
