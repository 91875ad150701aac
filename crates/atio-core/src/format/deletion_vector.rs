//! Deletion vectors: which rows of a data file are not rows of the table any more.
//!
//! The bytes are those of the [64-bit extension][format] of the portable Roaring format.
//!
//! [format]: https://github.com/RoaringBitmap/RoaringFormatSpec#extension-for-64-bit-implementations

use std::io;
use std::ops::Range;

use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use super::checksum::{Checksum, ObjectRef};
use super::{layout, limits};
use crate::error::{Error, Result};

/// Names the deletion vector of a data file, and says what its bytes must be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VectorRef {
    pub path: String,
    /// Where its bytes begin: an object holds the vectors of all files that a version marks.
    #[serde(default)]
    pub offset: u64,
    /// In bytes.
    pub size: u64,
    /// Of its bytes, not of the whole object.
    pub checksum: Checksum,
    /// How many rows it marks.
    pub rows: u64,
}

impl VectorRef {
    /// Names `vector`, whose bytes are `bytes`, at `offset` in the object `path`.
    pub fn of(path: &str, offset: u64, bytes: &[u8], vector: &DeletionVector) -> Self {
        let ObjectRef {
            path,
            size,
            checksum,
        } = ObjectRef::of(path, bytes);
        Self {
            path,
            offset,
            size,
            checksum,
            rows: vector.len(),
        }
    }

    /// Where its bytes are in the object.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.size)
    }

    /// The vector that `bytes` are, of a data file of `of` rows.
    ///
    /// Fails with [`Damaged`](crate::ErrorKind::Damaged) unless they are the bytes that were written,
    /// of a vector of so many rows, all of which the file has.
    pub fn parse(&self, bytes: &[u8], of: u64) -> Result<DeletionVector> {
        self.content().verify(bytes)?;
        let vector = DeletionVector::parse(bytes)
            .map_err(|error| self.damaged(format!("it cannot be read ({error})")))?;
        self.check_rows(&vector, of)?;
        Ok(vector)
    }

    /// Names its bytes: two that are equal have the same.
    pub fn content(&self) -> ObjectRef {
        ObjectRef {
            path: self.path.clone(),
            size: self.size,
            checksum: self.checksum,
        }
    }

    /// Fails unless `vector` has as many rows as this says, all of which a data file of `of` rows has.
    pub fn check_rows(&self, vector: &DeletionVector, of: u64) -> Result<()> {
        if vector.len() != self.rows {
            let (found, told) = (vector.len(), self.rows);
            return Err(self.damaged(format!("it marks {found} rows, not {told}")));
        }
        match vector.last() {
            Some(last) if last >= of => {
                Err(self.damaged(format!("it marks row {last} of a file of {of} rows")))
            }
            _ => Ok(()),
        }
    }

    fn damaged(&self, what: String) -> Error {
        let (path, offset) = (&self.path, self.offset);
        Error::damaged(format!("{path}, the deletion vector at {offset}: {what}"))
    }

    /// Checks what it says of itself as the vector of a data file of `of` rows.
    pub(super) fn check(&self, of: Option<u64>) -> Result<()> {
        let object = layout::parse(&self.path);
        let named = object.filter(|object| object.kind == layout::Kind::Vector);
        if named.is_none() {
            return Err(Error::damaged(format!(
                "path '{}' is not a deletion vector of this table",
                self.path.escape_debug()
            )));
        }
        let end = self.offset.checked_add(self.size);
        if self.size > limits::METADATA_BYTES || end.is_none_or(|end| end > limits::SUM) {
            return Err(Error::damaged(format!(
                "{}: a deletion vector of {} bytes at {} is too large",
                self.path, self.size, self.offset
            )));
        }
        match of.is_some_and(|of| 0 < self.rows && self.rows < of) {
            true => Ok(()),
            false => Err(Error::damaged(format!(
                "{} marks {} of {} rows: a file that has none left is not listed",
                self.path,
                self.rows,
                of.map_or("an unknown number".to_owned(), |of| of.to_string()),
            ))),
        }
    }
}

/// Rows of a data file, by their numbers in it, from 0.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeletionVector {
    rows: RoaringTreemap,
}

impl From<RoaringTreemap> for DeletionVector {
    fn from(rows: RoaringTreemap) -> Self {
        Self { rows }
    }
}

impl FromIterator<u64> for DeletionVector {
    fn from_iter<I: IntoIterator<Item = u64>>(rows: I) -> Self {
        Self {
            rows: rows.into_iter().collect(),
        }
    }
}

impl DeletionVector {
    /// How many rows it has.
    pub fn len(&self) -> u64 {
        self.rows.len()
    }

    /// True if it has no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// True if it has the row of this number.
    pub fn contains(&self, row: u64) -> bool {
        self.rows.contains(row)
    }

    /// The number of its last row; None if it has no row.
    pub fn last(&self) -> Option<u64> {
        self.rows.max()
    }

    /// The numbers of the rows, in ascending order.
    pub fn rows(&self) -> impl Iterator<Item = u64> + '_ {
        self.rows.iter()
    }

    /// The same as ranges, in ascending order, none of them empty. There are at most about as many as
    /// the vector has bytes, however many rows it has. Rows that follow each other may be in two.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.rows.bitmaps().flat_map(|(high, rows)| {
            let first = u64::from(high) << 32;
            let mut rows = rows.iter();
            let ranges = std::iter::from_fn(move || rows.next_range());
            ranges.map(move |range| {
                let end = u64::from(*range.end()).saturating_add(1);
                (first + u64::from(*range.start()))..first.saturating_add(end)
            })
        })
    }

    /// The rows of both.
    pub fn union(&self, other: &Self) -> Self {
        Self {
            rows: &self.rows | &other.rows,
        }
    }

    /// The rows that `other` does not have.
    pub fn without(&self, other: &Self) -> Self {
        Self {
            rows: &self.rows - &other.rows,
        }
    }

    /// True if one row is in both.
    pub fn shares_rows(&self, other: &Self) -> bool {
        !self.rows.is_disjoint(&other.rows)
    }

    /// True if it has all rows of `other`.
    pub fn has_all(&self, other: &Self) -> bool {
        other.rows.is_subset(&self.rows)
    }

    /// About so many bytes of memory.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.rows.serialized_size()
    }

    /// The bytes to write.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut rows = self.rows.clone();
        rows.optimize();
        let mut bytes = Vec::with_capacity(rows.serialized_size());
        match rows.serialize_into(&mut bytes) {
            Ok(()) => bytes,
            Err(error) => unreachable!("a vector takes all bytes: {error}"),
        }
    }

    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let mut rest = bytes;
        let rows = RoaringTreemap::deserialize_from(&mut rest)?;
        match rest.is_empty() {
            true => Ok(Self { rows }),
            false => Err(io::Error::other("bytes follow it")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "data/018f0000000070008000000000000001/00000-0000000000000000.dv";

    fn vector(rows: impl IntoIterator<Item = u64>) -> DeletionVector {
        rows.into_iter().collect()
    }

    fn named(vector: &DeletionVector) -> (VectorRef, Vec<u8>) {
        let bytes = vector.to_bytes();
        (VectorRef::of(PATH, 0, &bytes, vector), bytes)
    }

    /// The bytes as the specification of the format gives them.
    #[test]
    fn bytes_are_those_of_the_portable_format() {
        let bytes = vector([3, 70_000]).to_bytes();
        let expected = [
            // One bitmap, of the rows whose upper 32 bits are 0.
            &1_u64.to_le_bytes()[..],
            &0_u32.to_le_bytes(),
            // No run containers; two containers.
            &12_346_u32.to_le_bytes(),
            &2_u32.to_le_bytes(),
            // Of each the upper 16 bits, and how many more than one it has.
            &[0, 0, 0, 0, 1, 0, 0, 0],
            // Where each begins in the bitmap.
            &24_u32.to_le_bytes(),
            &26_u32.to_le_bytes(),
            // 3, and 70,000 without its upper bits.
            &3_u16.to_le_bytes(),
            &4_464_u16.to_le_bytes(),
        ];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn vector_is_read_as_it_was_written() {
        for rows in [
            vector([0]),
            vector([1, 5, 9, 1 << 33]),
            vector(0..100_000),
            vector((0..1_000_000).step_by(7)),
        ] {
            let (named, bytes) = named(&rows);
            assert_eq!(named.rows, rows.len());
            assert_eq!(named.parse(&bytes, 1 << 40).unwrap(), rows);
            let again: DeletionVector = rows.ranges().flatten().collect();
            assert_eq!(again, rows);
        }
        // However many rows: a few bytes are read as a few ranges.
        assert_eq!(vector(0..100_000).ranges().count(), 2);
    }

    #[test]
    fn vector_that_is_not_that_of_the_file_is_damaged() {
        let rows = vector([1, 5]);
        let (named, bytes) = named(&rows);
        let says = |named: &VectorRef, bytes: &[u8], of, says: &str| {
            let error = named.parse(bytes, of).unwrap_err();
            assert!(error.message().contains(says), "{error}");
        };
        named.parse(&bytes, 6).unwrap();
        says(&named, &bytes, 5, "it marks row 5 of a file of 5 rows");
        says(&named, &bytes[1..], 6, "bytes, 32 were written");
        let other = vector([1, 4]).to_bytes();
        says(&named, &other, 6, "checksum");
        let more = VectorRef {
            rows: 3,
            ..named.clone()
        };
        says(&more, &bytes, 6, "it marks 2 rows, not 3");
        for cut in 0..bytes.len() {
            let bytes = &bytes[..cut];
            let named = VectorRef::of(PATH, 0, bytes, &rows);
            says(&named, bytes, 6, "it cannot be read");
        }
        let longer = [&bytes[..], &[0]].concat();
        let named = VectorRef::of(PATH, 0, &longer, &rows);
        says(&named, &longer, 6, "bytes follow it");
    }

    #[test]
    fn vectors_are_compared_and_united() {
        let (one, two) = (vector([1, 2]), vector([2, 3]));
        assert_eq!(one.union(&two), vector([1, 2, 3]));
        assert_eq!(one.without(&two), vector([1]));
        assert!(one.shares_rows(&two) && !one.shares_rows(&vector([3])));
        assert!(one.has_all(&vector([2])) && !one.has_all(&two));
    }
}
