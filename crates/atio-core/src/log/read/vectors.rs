//! Deletion vectors of the data files of a version.

use std::ops::Range;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};

use crate::error::Result;
use crate::format::{DeletionVector, FileEntry, VectorRef};
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;
use crate::storage::Objects;

/// So many requests are under way at the same time.
const AT_ONCE: usize = 32;
/// So many bytes are read in vain rather than asked around.
const GAP: u64 = 256 * 1024;
/// One request asks for no more bytes, unless one vector alone has more.
const PART: u64 = 16 * 1024 * 1024;

/// A vector that is to be read.
pub(in crate::log) struct Wanted<'a> {
    /// That of the file in this place.
    pub(in crate::log) at: usize,
    pub(in crate::log) named: &'a VectorRef,
    /// The rows of the file.
    pub(in crate::log) of: u64,
}

/// A part of an object, and the vectors in it.
pub(in crate::log) struct Part<'a> {
    path: &'a str,
    range: Range<u64>,
    wanted: Vec<Wanted<'a>>,
}

impl Table {
    /// The deletion vector of each of `files`, which `snapshot` lists; None for a file that has none.
    ///
    /// Fails with [`Damaged`](crate::ErrorKind::Damaged) where one is missing, or is not that of its
    /// file; with [`VersionExpired`](crate::ErrorKind::VersionExpired) where the version expired.
    pub async fn vectors(
        &self,
        snapshot: &Snapshot,
        files: &[&FileEntry],
    ) -> Result<Vec<Option<Arc<DeletionVector>>>> {
        match self.vectors_of(files).await {
            Ok(vectors) => Ok(vectors),
            Err(error) => {
                let version = snapshot.version;
                let error = error.context(format!("version {version} of '{}'", self.name()));
                Err(self.or_expired(version, snapshot, error).await)
            }
        }
    }

    /// The same, of whatever version.
    pub(in crate::log) async fn vectors_of(
        &self,
        files: &[&FileEntry],
    ) -> Result<Vec<Option<Arc<DeletionVector>>>> {
        let mut found = vec![None; files.len()];
        let mut wanted = Vec::new();
        for (at, file) in files.iter().enumerate() {
            let Some(named) = &file.dv else { continue };
            let of = file.stored_rows()?;
            match self.cache.vector(named) {
                Some(vector) => {
                    named.check_rows(&vector, of)?;
                    found[at] = Some(vector);
                }
                None => wanted.push(Wanted { at, named, of }),
            }
        }
        let parts = parts(wanted);
        let reads: Vec<_> = parts.iter().map(|part| self.read_part(part)).collect();
        let mut read = futures::stream::iter(reads).buffered(AT_ONCE);
        while let Some(vectors) = read.try_next().await? {
            for (at, vector) in vectors {
                found[at] = Some(vector);
            }
        }
        Ok(found)
    }

    /// Reads the vectors of one part of an object.
    async fn read_part(&self, part: &Part<'_>) -> Result<Vec<(usize, Arc<DeletionVector>)>> {
        let read = part.read(&self.objects).await?.into_iter();
        let kept = read.map(|(wanted, vector)| {
            let vector = Arc::new(vector);
            self.keep_vector(wanted.named, Arc::clone(&vector));
            (wanted.at, vector)
        });
        Ok(kept.collect())
    }
}

impl<'a> Part<'a> {
    /// Reads its vectors from the store.
    pub(in crate::log) async fn read(
        &self,
        objects: &Objects,
    ) -> Result<Vec<(&Wanted<'a>, DeletionVector)>> {
        let bytes = objects.get_part(self.path, self.range.clone()).await?;
        let mut vectors = Vec::with_capacity(self.wanted.len());
        for wanted in &self.wanted {
            let within = |at: u64| usize::try_from(at - self.range.start).unwrap_or(usize::MAX);
            let Range { start, end } = wanted.named.range();
            let bytes = bytes.slice(within(start)..within(end));
            vectors.push((wanted, wanted.named.parse(&bytes, wanted.of)?));
        }
        Ok(vectors)
    }
}

/// The parts of objects that hold `wanted`: those of one object that lie near each other are in one,
/// for what is between them costs less than another request.
pub(in crate::log) fn parts(mut wanted: Vec<Wanted<'_>>) -> Vec<Part<'_>> {
    wanted.sort_by_key(|wanted| (wanted.named.path.as_str(), wanted.named.offset));
    let mut parts: Vec<Part<'_>> = Vec::new();
    for wanted in wanted {
        let (path, range) = (wanted.named.path.as_str(), wanted.named.range());
        let near = parts.last_mut().filter(|part| {
            let end = part.range.end.max(range.end);
            part.path == path
                && range.start.saturating_sub(part.range.end) <= GAP
                && end - part.range.start <= PART
        });
        match near {
            Some(part) => {
                part.range.end = part.range.end.max(range.end);
                part.wanted.push(wanted);
            }
            None => parts.push(Part {
                path,
                range,
                wanted: vec![wanted],
            }),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Checksum;

    fn named(path: &str, range: Range<u64>) -> VectorRef {
        VectorRef {
            path: path.to_owned(),
            offset: range.start,
            size: range.end - range.start,
            checksum: Checksum::of(b""),
            rows: 1,
        }
    }

    #[test]
    fn vectors_near_each_other_are_read_at_once() {
        let far = 40 + GAP + 1;
        let large = far + 10 + PART;
        let named = [
            named("b", 0..10),
            named("a", 30..40),
            named("a", 0..10),
            named("a", 10..20),
            named("a", far..far + 10),
            named("a", far + 10..large),
            named("a", large..large + 10),
            // Two that lie in each other are no vectors, and no reason to read anything else.
            named("c", 0..100),
            named("c", 20..30),
        ];
        let wanted = named.iter().enumerate();
        let wanted = wanted.map(|(at, named)| Wanted { at, named, of: 1 });
        let parts = parts(wanted.collect());
        let found: Vec<_> = parts
            .iter()
            .map(|part| {
                let of: Vec<_> = part.wanted.iter().map(|wanted| wanted.at).collect();
                (part.path, part.range.clone(), of)
            })
            .collect();
        assert_eq!(
            found,
            [
                ("a", 0..40, vec![2, 3, 1]),
                ("a", far..far + 10, vec![4]),
                ("a", far + 10..large, vec![5]),
                ("a", large..large + 10, vec![6]),
                ("b", 0..10, vec![0]),
                ("c", 0..100, vec![7, 8]),
            ]
        );
    }
}
