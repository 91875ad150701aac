//! Which data files a compaction writes anew, and which of them together.

use atio_core::format::FileEntry;

use crate::error::Result;

/// Data files whose rows are written into others, all together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FileGroup {
    /// As the version lists them.
    pub(super) files: Vec<FileEntry>,
    /// Their rows that are rows of the table.
    pub(super) rows: u64,
    /// Into so many files they go.
    pub(super) into: u64,
}

impl FileGroup {
    fn new(files: Vec<FileEntry>, target: u64) -> Result<Self> {
        let (mut rows, mut bytes) = (0_u64, 0);
        for file in &files {
            rows = rows.saturating_add(file.live_rows()?);
            bytes += live_bytes(file)?;
        }
        let target = u128::from(target.max(1));
        let into = u64::try_from((bytes + target / 2) / target).unwrap_or(u64::MAX);
        Ok(Self {
            files,
            rows,
            into: into.clamp(1, rows.max(1)),
        })
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = self.files.iter().filter_map(|file| file.size);
        bytes.fold(0, u64::saturating_add)
    }

    /// How many of their rows are marked as deleted.
    pub(super) fn marked_rows(&self) -> u64 {
        let marked = self.files.iter().map(FileEntry::marked_rows);
        marked.fold(0, u64::saturating_add)
    }

    /// So many rows go into each file.
    pub(super) fn rows_per_file(&self) -> u64 {
        self.rows.div_ceil(self.into).max(1)
    }

    /// True if there will be fewer files, or others that are better to read.
    fn improves(&self) -> Result<bool> {
        let fewer = self.into < self.files.len() as u64;
        let smaller = self.files.len() == 1 && self.into > 1;
        Ok(fewer || smaller || any(&self.files, is_worn)?)
    }
}

/// The groups of those `files` that are far from `target` bytes, or have many rows that are marked as
/// deleted; each becomes about one file, but for files that are too large.
///
/// Files stay in their order, so that rows which came together stay together.
pub(super) fn unfit(files: &[&FileEntry], target: u64) -> Result<Vec<FileGroup>> {
    let mut groups = Vec::new();
    let (mut next, mut bytes) = (Vec::new(), 0);
    for file in files {
        if is_large(file, target)? {
            groups.push(FileGroup::new(vec![FileEntry::clone(file)], target)?);
            continue;
        }
        if !is_small(file, target)? && !is_worn(file)? {
            continue;
        }
        let more = live_bytes(file)?;
        if bytes + more > u128::from(target) && !next.is_empty() {
            groups.push(FileGroup::new(std::mem::take(&mut next), target)?);
            bytes = 0;
        }
        next.push(FileEntry::clone(file));
        bytes += more;
    }
    if !next.is_empty() {
        groups.push(FileGroup::new(next, target)?);
    }
    let mut better = Vec::with_capacity(groups.len());
    for group in groups {
        if group.improves()? {
            better.push(group);
        }
    }
    Ok(better)
}

/// All `files` as one group; none where there are none.
pub(super) fn together(files: &[&FileEntry], target: u64) -> Result<Vec<FileGroup>> {
    match files.is_empty() {
        true => Ok(Vec::new()),
        false => {
            let files = files.iter().copied().cloned();
            Ok(vec![FileGroup::new(files.collect(), target)?])
        }
    }
}

fn any(files: &[FileEntry], is: fn(&FileEntry) -> Result<bool>) -> Result<bool> {
    for file in files {
        if is(file)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Smaller than half the target.
fn is_small(file: &FileEntry, target: u64) -> Result<bool> {
    Ok(2 * live_bytes(file)? < u128::from(target))
}

/// More than a tenth of its rows are marked as deleted.
fn is_worn(file: &FileEntry) -> Result<bool> {
    Ok(10 * u128::from(file.marked_rows()) > u128::from(file.stored_rows()?))
}

/// More than 1.8 times the target.
fn is_large(file: &FileEntry, target: u64) -> Result<bool> {
    Ok(10 * live_bytes(file)? > 18 * u128::from(target))
}

/// About the bytes that the rows of a file take which are rows of the table.
fn live_bytes(file: &FileEntry) -> Result<u128> {
    let (bytes, stored) = (u128::from(file.bytes()?), u128::from(file.stored_rows()?));
    let live = u128::from(file.live_rows()?);
    Ok(bytes * live / stored.max(1))
}

#[cfg(test)]
mod tests {
    use atio_core::format::{Checksum, DeletionVector, VectorRef};

    use super::*;

    /// A file of so many bytes with 1,000 rows, of which some are marked.
    fn file(number: usize, bytes: u64, marked: u64) -> FileEntry {
        let vector: DeletionVector = (0..marked).collect();
        let dv = VectorRef::of("data/x.dv", 0, &vector.to_bytes(), &vector);
        FileEntry {
            path: number.to_string(),
            format: "parquet".to_owned(),
            size: Some(bytes),
            rows: Some(1000),
            checksum: Some(Checksum::of(b"")),
            stats: Vec::new(),
            dv: (marked > 0).then_some(dv),
            column_bytes: Vec::new(),
        }
    }

    /// The groups where a file is to have 100 bytes, of files of these bytes and marked rows: the places
    /// of the files, and into how many they go.
    fn groups(files: &[(u64, u64)]) -> Vec<(Vec<usize>, u64)> {
        let files = files.iter().enumerate();
        let files = files.map(|(number, (bytes, marked))| file(number, *bytes, *marked));
        let files: Vec<_> = files.collect();
        let groups = unfit(&files.iter().collect::<Vec<_>>(), 100).unwrap();
        let shown = groups.into_iter().map(|group| {
            let places = group.files.iter().map(|file| file.path.parse().unwrap());
            (places.collect(), group.into)
        });
        shown.collect()
    }

    #[test]
    fn files_that_are_neither_small_nor_large_nor_worn_are_left() {
        assert_eq!(groups(&[(50, 0), (100, 0), (180, 0), (80, 100)]), []);
        assert_eq!(groups(&[]), []);
    }

    #[test]
    fn small_files_are_put_together_up_to_the_target() {
        let small = [(49, 0), (100, 0), (40, 0), (11, 0), (1, 0), (49, 0)];
        assert_eq!(groups(&small), [(vec![0, 2, 3], 1), (vec![4, 5], 1)]);
        // One alone would only be copied.
        assert_eq!(groups(&[(49, 0), (50, 0)]), []);
        assert_eq!(groups(&[(49, 0), (49, 0), (30, 0)]), [(vec![0, 1], 1)]);
    }

    #[test]
    fn rows_that_are_marked_are_reason_enough_above_a_tenth() {
        assert_eq!(groups(&[(90, 101)]), [(vec![0], 1)]);
        // Of this one a third of the bytes is left.
        assert_eq!(groups(&[(180, 670), (40, 0)]), [(vec![0, 1], 1)]);
    }

    #[test]
    fn large_files_are_split_into_equal_parts() {
        assert_eq!(groups(&[(181, 0), (251, 0)]), [(vec![0], 2), (vec![1], 3)]);
        let large = FileGroup::new(vec![file(0, 251, 0)], 100).unwrap();
        assert_eq!((large.rows_per_file(), large.bytes()), (334, 251));
        // A file has one row at least.
        let huge = FileGroup::new(vec![file(0, 1 << 40, 0)], 1).unwrap();
        assert_eq!((huge.into, huge.rows_per_file()), (1000, 1));
    }

    #[test]
    fn files_that_are_sorted_are_all_in_one_group() {
        let files = [file(0, 100, 0), file(1, 150, 100), file(2, 3, 0)];
        let groups = together(&files.iter().collect::<Vec<_>>(), 100).unwrap();
        assert_eq!(groups.len(), 1);
        let [group] = groups.as_slice() else { panic!() };
        assert_eq!((group.files.len(), group.into, group.rows), (3, 2, 2900));
        assert_eq!((group.marked_rows(), group.rows_per_file()), (100, 1450));
        assert_eq!(together(&[], 100).unwrap(), []);
    }
}
