//! The manifests that a handle keeps in memory.

use std::fmt;
use std::sync::Arc;

use lru::LruCache;

use crate::format::Manifest;

/// How many bytes of manifests (as JSON) are kept.
const LIMIT: u64 = 64 * 1024 * 1024;

/// Manifests by path; where they pass the limit, those go that were not used for longest.
pub(in crate::log) struct ManifestCache {
    entries: LruCache<String, (Arc<Manifest>, u64)>,
    bytes: u64,
    limit: u64,
}

impl ManifestCache {
    fn new(limit: u64) -> Self {
        Self {
            entries: LruCache::unbounded(),
            bytes: 0,
            limit,
        }
    }

    pub(in crate::log) fn get(&mut self, path: &str) -> Option<Arc<Manifest>> {
        self.entries
            .get(path)
            .map(|(manifest, _)| Arc::clone(manifest))
    }

    /// Keeps `manifest`, which is an object of `size` bytes, unless it alone passes the limit.
    pub(in crate::log) fn keep(&mut self, path: &str, manifest: Arc<Manifest>, size: u64) {
        if size > self.limit {
            return;
        }
        if let Some((_, replaced)) = self.entries.push(path.to_owned(), (manifest, size)) {
            self.bytes -= replaced.1;
        }
        self.bytes += size;
        while self.bytes > self.limit {
            match self.entries.pop_lru() {
                Some((_, (_, size))) => self.bytes -= size,
                None => return,
            }
        }
    }
}

impl Default for ManifestCache {
    fn default() -> Self {
        Self::new(LIMIT)
    }
}

impl fmt::Debug for ManifestCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ManifestCache({} of {} bytes)", self.bytes, self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first_and_the_rest_stays() {
        let manifest = || Arc::new(Manifest::new(1, Vec::new(), Vec::new()));
        let mut cache = ManifestCache::new(100);
        for path in ["a", "b", "c"] {
            cache.keep(path, manifest(), 30);
        }
        assert!(cache.get("a").is_some());
        cache.keep("d", manifest(), 30);
        let kept = |cache: &mut ManifestCache| {
            ["a", "b", "c", "d"].map(|path| cache.entries.peek(path).is_some())
        };
        assert_eq!(kept(&mut cache), [true, false, true, true]);
        // Again the same, and one that is too large for all.
        cache.keep("d", manifest(), 40);
        cache.keep("e", manifest(), 101);
        assert_eq!(kept(&mut cache), [true, false, true, true]);
        assert_eq!(cache.bytes, 100);
    }
}
