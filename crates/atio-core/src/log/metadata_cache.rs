//! Manifests, schemas and deletion vectors that this process has read or written, kept in memory.
//!
//! The objects never change, so what is kept is never wrong: the limit decides how much is read
//! again, and nothing else.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use lru::LruCache;

use crate::format::{DeletionVector, Manifest, ObjectRef, TableSchema, VectorRef, memory};
use crate::lock::lock;

/// How many bytes are kept where nobody says otherwise.
const DEFAULT_LIMIT: usize = 64 * 1024 * 1024;

/// What finding an entry takes beside it: two pointers in the list, and two in a table that may be half
/// empty.
const LINKS: usize = 6 * size_of::<usize>();

/// That of all tables of this process.
static OF_PROCESS: LazyLock<Arc<MetadataCache>> =
    LazyLock::new(|| Arc::new(MetadataCache::new(DEFAULT_LIMIT)));

/// How many caches of a table there were.
static TABLES: AtomicU64 = AtomicU64::new(0);

/// Sets how many bytes of metadata this process keeps in memory, for all of its tables together.
///
/// Metadata here is manifests, which list the data files of a version, schemas, and deletion vectors,
/// which say which rows of a data file are deleted. None of it ever changes, so the next statement does
/// not read again what is kept. It is counted as it lies in memory, which is more than its size on
/// disk. Without this call the limit is 64 MiB.
///
/// Where it would be passed, what was not used for longest goes, one after another. One that alone is
/// larger than the limit is not kept. With `0` nothing is kept: everything works, and each scan reads
/// the manifests of its version and the deletion vectors of its files. What statements hold while they
/// run, these vectors included, and the schema that an open table has, do not count.
///
/// May be called at any time, from any thread. A lower limit frees memory at once.
///
/// ```
/// // A service that reads many large tables.
/// atio_core::log::set_metadata_cache_limit(512 * 1024 * 1024);
/// ```
pub fn set_metadata_cache_limit(bytes: usize) {
    OF_PROCESS.set_limit(bytes);
}

/// Metadata of tables, up to a number of bytes; what was not used for longest goes first.
pub(in crate::log) struct MetadataCache {
    kept: Mutex<Kept>,
}

/// The part of a cache that one handle on a table sees.
///
/// Each handle has one of its own, also on a table on which there is another: two stores may have the
/// same paths, and whoever opens a table anew means to read what is there.
#[derive(Debug)]
pub(in crate::log) struct TableCache {
    cache: Arc<MetadataCache>,
    table: u64,
    /// Set once it has kept anything.
    has_kept: AtomicBool,
}

struct Kept {
    entries: LruCache<Key, Entry>,
    /// The bytes of all entries.
    bytes: usize,
    limit: usize,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    table: u64,
    object: ObjectRef,
    /// Where it begins: one object holds many deletion vectors, and two that are as long may have the
    /// same checksum.
    offset: u64,
}

struct Entry {
    content: Content,
    bytes: usize,
}

#[derive(Clone)]
enum Content {
    Manifest(Arc<Manifest>),
    Schema(Arc<TableSchema>),
    Vector(Arc<DeletionVector>),
}

impl MetadataCache {
    pub(in crate::log) fn new(limit: usize) -> Self {
        Self {
            kept: Mutex::new(Kept {
                entries: LruCache::unbounded(),
                bytes: 0,
                limit,
            }),
        }
    }

    pub(in crate::log) fn set_limit(&self, limit: usize) {
        let gone = {
            let mut kept = lock(&self.kept);
            kept.limit = limit;
            kept.evict()
        };
        drop(gone);
    }

    fn get(&self, key: &Key) -> Option<Content> {
        let mut kept = lock(&self.kept);
        kept.entries.get(key).map(|entry| entry.content.clone())
    }

    fn keep(&self, key: Key, content: Content) {
        let bytes = bytes(&key, &content);
        let gone = {
            let mut kept = lock(&self.kept);
            if bytes > kept.limit {
                return;
            }
            let replaced = kept.entries.push(key, Entry { content, bytes });
            kept.bytes += bytes;
            if let Some((_, replaced)) = &replaced {
                kept.bytes -= replaced.bytes;
            }
            (replaced, kept.evict())
        };
        // Nobody waits while the memory is given back.
        drop(gone);
    }
}

impl Kept {
    /// Takes out what one handle kept.
    fn forget(&mut self, table: u64) -> Vec<Content> {
        let mut gone = Vec::new();
        let bytes = &mut self.bytes;
        self.entries.retain(|key, entry| {
            if key.table == table {
                *bytes -= entry.bytes;
                gone.push(entry.content.clone());
            }
            key.table != table
        });
        gone
    }

    /// Takes out what is too much.
    fn evict(&mut self) -> Vec<Entry> {
        let mut gone = Vec::new();
        while self.bytes > self.limit
            && let Some((_, entry)) = self.entries.pop_lru()
        {
            self.bytes -= entry.bytes;
            gone.push(entry);
        }
        gone
    }
}

/// What it costs to keep `content`.
fn bytes(key: &Key, content: &Content) -> usize {
    let of_content = match content {
        Content::Manifest(manifest) => memory::of_manifest(manifest),
        Content::Schema(schema) => memory::of_schema(schema),
        Content::Vector(vector) => vector.memory(),
    };
    size_of::<Key>() + key.object.path.capacity() + size_of::<Entry>() + LINKS + of_content
}

impl TableCache {
    /// For one more handle, in the cache of this process.
    pub(in crate::log) fn of_process() -> Self {
        Self::of(&OF_PROCESS)
    }

    fn of(cache: &Arc<MetadataCache>) -> Self {
        Self {
            cache: Arc::clone(cache),
            table: TABLES.fetch_add(1, Ordering::Relaxed),
            has_kept: AtomicBool::new(false),
        }
    }

    /// The manifest that `object` is.
    pub(in crate::log) fn manifest(&self, object: &ObjectRef) -> Option<Arc<Manifest>> {
        match self.cache.get(&self.key(object))? {
            Content::Manifest(manifest) => Some(manifest),
            Content::Schema(_) | Content::Vector(_) => None,
        }
    }

    /// The schema that `object` is.
    pub(in crate::log) fn schema(&self, object: &ObjectRef) -> Option<Arc<TableSchema>> {
        match self.cache.get(&self.key(object))? {
            Content::Schema(schema) => Some(schema),
            Content::Manifest(_) | Content::Vector(_) => None,
        }
    }

    /// The deletion vector that `named` names.
    pub(in crate::log) fn vector(&self, named: &VectorRef) -> Option<Arc<DeletionVector>> {
        match self.cache.get(&self.key_of_vector(named))? {
            Content::Vector(vector) => Some(vector),
            Content::Manifest(_) | Content::Schema(_) => None,
        }
    }

    /// Keeps `manifest`, which was checked to be `object`.
    pub(in crate::log) fn keep_manifest(&self, object: &ObjectRef, manifest: Arc<Manifest>) {
        self.keep(self.key(object), Content::Manifest(manifest));
    }

    /// Keeps `schema`, which was checked to be `object`.
    pub(in crate::log) fn keep_schema(&self, object: &ObjectRef, schema: Arc<TableSchema>) {
        self.keep(self.key(object), Content::Schema(schema));
    }

    /// Keeps `vector`, which was checked to be the one that `named` names.
    pub(in crate::log) fn keep_vector(&self, named: &VectorRef, vector: Arc<DeletionVector>) {
        self.keep(self.key_of_vector(named), Content::Vector(vector));
    }

    fn keep(&self, key: Key, content: Content) {
        self.has_kept.store(true, Ordering::Relaxed);
        self.cache.keep(key, content);
    }

    fn key(&self, object: &ObjectRef) -> Key {
        Key {
            table: self.table,
            object: object.clone(),
            offset: 0,
        }
    }

    fn key_of_vector(&self, named: &VectorRef) -> Key {
        Key {
            table: self.table,
            object: ObjectRef {
                path: named.path.clone(),
                size: named.size,
                checksum: named.checksum,
            },
            offset: named.offset,
        }
    }
}

/// Nobody can ask for it any more.
impl Drop for TableCache {
    fn drop(&mut self) {
        if *self.has_kept.get_mut() {
            let gone = lock(&self.cache.kept).forget(self.table);
            drop(gone);
        }
    }
}

impl fmt::Debug for MetadataCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kept { bytes, limit, .. } = *lock(&self.kept);
        write!(f, "MetadataCache({bytes} of {limit} bytes)")
    }
}
