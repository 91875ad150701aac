//! A version of a table, loaded.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use uuid::Uuid;

use crate::format::StoredRecord;
use crate::format::snapshot::State;
use crate::format::{Manifest, TableSchema, Totals, Txn, Version};

/// The state of a table at one version: its schema and which manifests it lists.
///
/// Immutable. Holds no rows and, for versions that atio wrote, no file entries.
#[derive(Debug)]
pub struct Snapshot {
    /// Its number.
    pub version: Version,
    /// The commit record that names it.
    pub record: StoredRecord,
    /// What its snapshot says.
    pub state: State,
    /// Its columns, with their ids.
    pub schema: Arc<TableSchema>,
    /// The same columns as Arrow has them.
    pub arrow: SchemaRef,
    /// Nil where Python wrote the version.
    pub table: Uuid,
    /// Microseconds since 1970.
    pub committed_at_us: i64,
    /// The manifests themselves, filled from footers, where Python wrote the version.
    pub python: Option<Vec<Arc<Manifest>>>,
    /// Inclusive ranges of versions that had expired when this version was committed (A5).
    pub expired: Arc<[(Version, Version)]>,
}

impl Snapshot {
    /// Sums over the data files of this version.
    pub fn totals(&self) -> Totals {
        self.state.totals
    }

    /// The transaction that committed it; None for Python's.
    pub fn txn(&self) -> Option<Txn> {
        self.record.txn()
    }

    /// True if `version` had expired when this version was committed.
    pub fn has_expired(&self, version: Version) -> bool {
        in_ranges(&self.expired, version)
    }
}

pub(in crate::log) fn in_ranges(ranges: &[(Version, Version)], version: Version) -> bool {
    ranges
        .iter()
        .any(|(first, last)| (*first..=*last).contains(&version))
}

/// The versions of `0..=newest` as ranges that `keep` does not hold.
pub(in crate::log) fn without(
    newest: Version,
    keep: impl Fn(Version) -> bool,
) -> Vec<(Version, Version)> {
    let mut ranges: Vec<(Version, Version)> = Vec::new();
    for version in Version::ZERO
        .through(newest)
        .filter(|version| !keep(*version))
    {
        match ranges.last_mut() {
            Some((_, last)) if last.get() + 1 == version.get() => *last = version,
            _ => ranges.push((version, version)),
        }
    }
    ranges
}

/// The versions from `first` to `newest` that are in none of `ranges`, which are in order.
pub(in crate::log) fn complement(
    ranges: &[(Version, Version)],
    first: Version,
    newest: Version,
) -> Vec<(Version, Version)> {
    let mut rest = Vec::new();
    let mut from = Some(first);
    for (start, end) in ranges {
        if let (Some(from), Some(before)) = (from, start.previous())
            && from <= before
        {
            rest.push((from, before.min(newest)));
        }
        from = from.max(end.next().ok());
    }
    if let Some(from) = from.filter(|from| *from <= newest) {
        rest.push((from, newest));
    }
    rest
}

/// Ranges as people read them: "5, 7 to 9".
pub(in crate::log) fn words(ranges: &[(Version, Version)]) -> String {
    let words = ranges.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first} to {last}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u64) -> Version {
        Version::new(number).unwrap()
    }

    #[test]
    fn what_has_not_expired_is_readable() {
        let range = |a, b| (version(a), version(b));
        let readable = |ranges: &[_], first, newest| {
            words(&complement(ranges, version(first), version(newest)))
        };
        assert_eq!(readable(&[], 0, 3), "0 to 3");
        assert_eq!(readable(&[range(0, 4), range(6, 6)], 0, 9), "5, 7 to 9");
        assert_eq!(readable(&[range(0, 4)], 1, 5), "5");
        assert_eq!(
            readable(&[range(2, 4)], 1, 1 << 52),
            "1, 5 to 4503599627370496"
        );
        for ranges in [vec![], vec![range(0, 2)], vec![range(1, 1), range(3, 4)]] {
            let expected = without(version(6), |v| in_ranges(&ranges, v));
            assert_eq!(complement(&ranges, version(0), version(6)), expected);
        }
    }
}
