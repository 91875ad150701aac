//! The two numbers that identify things: a version and a transaction.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::error::{Error, Result};

/// The number of a committed state of a table, 0 to 2^53 - 1.
///
/// Version 0 is the empty table that CREATE makes. Numbers count up by one and are never
/// used twice, not even after the version expired.
///
/// ```
/// use atio_core::format::Version;
///
/// let version = Version::ZERO.next()?;
/// assert_eq!((version.get(), version.to_string()), (1, "1".to_owned()));
/// # Ok::<(), atio_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Version(u64);

impl Version {
    /// The empty table.
    pub const ZERO: Version = Version(0);
    /// The largest number: every JSON reader holds it exactly.
    pub const MAX: Version = Version((1 << 53) - 1);

    /// Returns the version with this number, or None above 2^53 - 1.
    ///
    /// ```
    /// use atio_core::format::Version;
    ///
    /// assert_eq!(Version::new(3).map(Version::get), Some(3));
    /// assert_eq!(Version::new(1 << 53), None);
    /// ```
    pub fn new(number: u64) -> Option<Self> {
        (number <= Self::MAX.0).then_some(Self(number))
    }

    /// The number.
    ///
    /// ```
    /// assert_eq!(atio_core::format::Version::ZERO.get(), 0);
    /// ```
    pub fn get(self) -> u64 {
        self.0
    }

    /// The version above; fails at the largest.
    ///
    /// ```
    /// use atio_core::format::Version;
    ///
    /// assert_eq!(Version::ZERO.next()?.get(), 1);
    /// assert!(Version::MAX.next().is_err());
    /// # Ok::<(), atio_core::Error>(())
    /// ```
    pub fn next(self) -> Result<Self> {
        Self::new(self.0 + 1)
            .ok_or_else(|| Error::unsupported("the table has used up its version numbers"))
    }

    /// The version below; None below the first.
    ///
    /// ```
    /// assert_eq!(atio_core::format::Version::ZERO.previous(), None);
    /// ```
    pub fn previous(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }

    /// Every version from `self` to `last`, both included.
    ///
    /// ```
    /// use atio_core::format::Version;
    ///
    /// let two = Version::ZERO.next()?.next()?;
    /// assert_eq!(Version::ZERO.through(two).count(), 3);
    /// # Ok::<(), atio_core::Error>(())
    /// ```
    pub fn through(self, last: Version) -> impl DoubleEndedIterator<Item = Version> {
        (self.0..=last.0).map(Version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        Self::new(number)
            .ok_or_else(|| serde::de::Error::custom(format!("version {number} is above 2^53 - 1")))
    }
}

/// Identifies one attempt to commit; at most one version is ever made by it (A6).
///
/// Written as 32 lower-case hexadecimal digits, also in the name of every object that the
/// transaction stages, so that expiry can revoke it.
///
/// ```
/// use atio_core::format::Txn;
///
/// let txn: Txn = "01a202312d3c70aabc47d1e6b3f82950".parse()?;
/// assert_eq!(txn.to_string(), "01a202312d3c70aabc47d1e6b3f82950");
/// # Ok::<(), atio_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Txn(Uuid);

impl Txn {
    /// Wraps an id; [`Uuid::now_v7`] gives fresh ones.
    ///
    /// ```
    /// use atio_core::format::Txn;
    ///
    /// assert_eq!(Txn::new(uuid::Uuid::now_v7()).to_string().len(), 32);
    /// ```
    pub fn new(id: Uuid) -> Self {
        Self(id)
    }
}

impl fmt::Display for Txn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl fmt::Debug for Txn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Txn {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let strict = text.len() == 32 && text.bytes().all(is_lower_hex);
        Uuid::try_parse(text)
            .ok()
            .filter(|_| strict)
            .map(Self)
            .ok_or_else(|| {
                Error::invalid(format!("'{}' is not a transaction id", text.escape_debug()))
            })
    }
}

impl Serialize for Txn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Txn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// True for `0` to `9` and `a` to `f`.
pub fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_stop_at_2_to_the_53() {
        assert_eq!(Version::new(1 << 53), None);
        assert!(Version::MAX.next().is_err());
        assert!(serde_json::from_str::<Version>("9007199254740992").is_err());
        assert!(serde_json::from_str::<Version>("-1").is_err());
        assert!(serde_json::from_str::<Version>("1.0").is_err());
    }

    #[test]
    fn transaction_ids_have_one_spelling() {
        let txn: Txn = "018f0000000070008000000000000001".parse().unwrap();
        assert_eq!(txn.to_string(), "018f0000000070008000000000000001");
        assert!("018F0000000070008000000000000001".parse::<Txn>().is_err());
        assert!(
            "018f0000-0000-7000-8000-000000000001"
                .parse::<Txn>()
                .is_err()
        );
    }
}
