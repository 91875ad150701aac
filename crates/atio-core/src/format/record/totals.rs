//! Counts of data files, rows and bytes.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::format::limits;

/// Sums over data files.
///
/// ```
/// use atio_core::format::Totals;
///
/// let none = Totals::default();
/// assert_eq!((none.files, none.rows, none.bytes), (0, 0, 0));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// How many there are.
    pub files: u64,
    /// Rows in all of them.
    pub rows: u64,
    /// Their sizes on the storage.
    pub bytes: u64,
}

impl Totals {
    /// The sum; fails where it is beyond what can be counted.
    ///
    /// ```
    /// # use atio_core::format::Totals;
    /// let file = Totals { files: 1, rows: 2, bytes: 300 };
    /// assert_eq!(file.plus(file)?, Totals { files: 2, rows: 4, bytes: 600 });
    /// # Ok::<(), atio_core::Error>(())
    /// ```
    pub fn plus(self, other: Totals) -> Result<Totals> {
        let add = |what: &str, a: u64, b: u64| {
            a.checked_add(b)
                .filter(|sum| *sum <= limits::SUM)
                .ok_or_else(|| Error::damaged(format!("the {what} count overflows")))
        };
        Ok(Totals {
            files: add("file", self.files, other.files)?,
            rows: add("row", self.rows, other.rows)?,
            bytes: add("byte", self.bytes, other.bytes)?,
        })
    }

    /// The difference; fails where less is there than goes.
    ///
    /// ```
    /// # use atio_core::format::Totals;
    /// let file = Totals { files: 1, rows: 2, bytes: 300 };
    /// assert_eq!(file.minus(file)?, Totals::default());
    /// assert!(Totals::default().minus(file).is_err());
    /// # Ok::<(), atio_core::Error>(())
    /// ```
    pub fn minus(self, other: Totals) -> Result<Totals> {
        let subtract = |what: &str, a: u64, b: u64| {
            a.checked_sub(b)
                .ok_or_else(|| Error::damaged(format!("it counts fewer {what} than it lists")))
        };
        Ok(Totals {
            files: subtract("files", self.files, other.files)?,
            rows: subtract("rows", self.rows, other.rows)?,
            bytes: subtract("bytes", self.bytes, other.bytes)?,
        })
    }

    /// Checks that each number is one that sums can be made of.
    pub(in crate::format) fn check(self) -> Result<()> {
        self.plus(Totals::default()).map(drop)
    }
}
