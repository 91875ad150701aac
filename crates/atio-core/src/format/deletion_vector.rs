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
        let part = ObjectRef {
            path: self.words(),
            size: self.size,
            checksum: self.checksum,
        };
        part.verify(bytes)?;
        let vector = DeletionVector::parse(bytes)
            .map_err(|error| self.damaged(format!("it cannot be read ({error})")))?;
        self.check_rows(&vector, of)?;
        Ok(vector)
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
        Error::damaged(what).context(self.words())
    }

    fn words(&self) -> String {
        let (path, offset) = (&self.path, self.offset);
        format!("{path}, the deletion vector at {offset}")
    }

    /// Checks what it says of itself as the vector of a data file of `of` rows.
    pub(crate) fn check(&self, of: Option<u64>) -> Result<()> {
        let object = layout::parse(&self.path);
        let named = object.filter(|object| object.kind == layout::Kind::Vector);
        if named.is_none() {
            return Err(Error::damaged(format!(
                "path '{}' is not a deletion vector of this table",
                self.path.escape_debug()
            )));
        }
        let end = self.offset.checked_add(self.size);
        let possible = 0 < self.size && self.size <= limits::METADATA_BYTES;
        if !possible || end.is_none_or(|end| end > limits::SUM) {
            return Err(Error::damaged(format!(
                "{}: no deletion vector has {} bytes at {}",
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

/// What 65,536 rows take in memory beside their numbers, and their numbers where those are bits.
const CONTAINER: usize = 40;
const BITSET: usize = 8192;
/// The same for each 2^32 rows.
const BITMAP: usize = 64;

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

    /// The same as ranges, in ascending order, none of them empty. There are at most four for each byte
    /// of the vector, however many rows it has. Rows that follow each other may be in two.
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
        let bitmaps = self.rows.bitmaps().map(|(_, rows)| {
            let found = rows.statistics();
            let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
            let runs = usize::try_from(found.n_bytes_run_containers).unwrap_or(usize::MAX);
            BITMAP
                + count(found.n_containers) * CONTAINER
                + count(found.n_values_array_containers) * size_of::<u16>()
                + count(found.n_bitset_containers) * BITSET
                + runs
        });
        size_of::<Self>() + bitmaps.sum::<usize>()
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

    pub(crate) fn parse(bytes: &[u8]) -> io::Result<Self> {
        let mut rest = bytes;
        let rows = RoaringTreemap::deserialize_from(&mut rest)?;
        if !rest.is_empty() {
            return Err(io::Error::other("bytes follow it"));
        }
        // Of two with the same upper bits only one is left.
        let said = bytes.first_chunk().copied().map(u64::from_le_bytes);
        let bitmaps = rows.bitmaps().filter(|(_, rows)| !rows.is_empty());
        match said == Some(bitmaps.count() as u64) {
            true => Ok(Self { rows }),
            false => Err(io::Error::other("a bitmap is empty or there twice")),
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
        let ranges = vector(0..100_000).ranges().count();
        assert!((1..=2).contains(&ranges), "{ranges}");
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
    fn bitmap_that_is_empty_or_there_twice_is_damage() {
        let one = &vector([1]).to_bytes()[8..];
        let empty = [&0_u32.to_le_bytes()[..], &12_346_u32.to_le_bytes(), &[0; 4]].concat();
        for bitmaps in [vec![one, one], vec![&empty], vec![one, &empty]] {
            let count = (bitmaps.len() as u64).to_le_bytes();
            let bytes = [&count, bitmaps.concat().as_slice()].concat();
            let error = DeletionVector::parse(&bytes).unwrap_err().to_string();
            assert_eq!(error, "a bitmap is empty or there twice");
        }
        assert_eq!(DeletionVector::parse(&[0; 8]).unwrap(), vector([]));
    }

    #[test]
    fn reference_that_cannot_be_right_is_damage() {
        let (right, _) = named(&vector([1, 5]));
        right.check(Some(3)).unwrap();
        let says = |named: VectorRef, of: Option<u64>, says: &str| {
            let error = named.check(of).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Damaged);
            assert!(error.message().contains(says), "{error}");
        };
        let with = |change: fn(&mut VectorRef)| {
            let mut named = right.clone();
            change(&mut named);
            named
        };
        let none_left = "a file that has none left is not listed";
        says(right.clone(), Some(2), none_left);
        says(right.clone(), Some(1), none_left);
        says(right.clone(), None, "marks 2 of an unknown number rows");
        says(with(|named| named.rows = 0), Some(3), "marks 0 of 3 rows");
        for path in [
            "data/018f0000000070008000000000000001/00000-0000000000000000.parquet",
            "metadata/manifest-018f0000000070008000000000000001-0.json",
            "../00000-0000000000000000.dv",
            "",
        ] {
            let named = VectorRef {
                path: path.to_owned(),
                ..right.clone()
            };
            let refused = format!("path '{path}' is not a deletion vector");
            says(named, Some(3), &refused);
        }
        let impossible = "no deletion vector has";
        says(with(|named| named.size = 0), Some(3), impossible);
        let most = limits::METADATA_BYTES;
        assert_eq!(most, 1 << 28);
        says(
            with(|named| named.size = (1 << 28) + 1),
            Some(3),
            impossible,
        );
        with(|named| named.size = 1 << 28).check(Some(3)).unwrap();
        for offset in [u64::MAX, limits::SUM, limits::SUM - 31] {
            let named = VectorRef {
                offset,
                ..right.clone()
            };
            assert_eq!(named.size, 32);
            says(named, Some(3), impossible);
        }
        let last = VectorRef {
            offset: limits::SUM - 32,
            ..right.clone()
        };
        last.check(Some(3)).unwrap();
    }

    #[test]
    fn vector_costs_the_memory_that_it_takes_and_few_ranges_a_byte() {
        let every_other = vector((0..1_000_000).step_by(2));
        let bytes = every_other.to_bytes().len();
        assert!(every_other.ranges().count() <= 4 * bytes, "{bytes}");
        // Bits: 8 KiB for 65,536 rows.
        let memory = every_other.memory();
        assert!((bytes..bytes + 2_000).contains(&memory), "{memory}");
        // One row in each 65,536: what is around the number takes more than the number.
        let sparse = vector((0..1_000).map(|at| at << 16));
        assert!(sparse.memory() > 1_000 * 40 && sparse.memory() < 1_000 * 64);
        let runs = DeletionVector::parse(&vector(0..1_000_000).to_bytes()).unwrap();
        assert!(runs.memory() < 2_000, "{}", runs.memory());
        // And each 2^32 rows something.
        let far = vector((0..100).map(|at| at << 32));
        assert!(far.memory() > 100 * 64, "{}", far.memory());
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
