//! A cache of their own for each test: that of the process is shared with all others.

use super::*;
use crate::format::Checksum;

fn object(path: &str) -> ObjectRef {
    ObjectRef {
        path: path.to_owned(),
        size: 1,
        checksum: Checksum::of(path.as_bytes()),
    }
}

/// One whose fields of statistics take 4,000 bytes: what an entry costs beside them is less.
fn manifest() -> Arc<Manifest> {
    let ids = (0..1000).collect();
    Arc::new(Manifest::new(1, ids, Vec::new()))
}

/// What it costs to keep one under a path of one letter.
fn cost() -> usize {
    let cache = Arc::new(MetadataCache::new(usize::MAX));
    let table = TableCache::of(&cache);
    table.put("a");
    cache.bytes()
}

impl MetadataCache {
    fn bytes(&self) -> usize {
        lock(&self.kept).bytes
    }

    fn len(&self) -> usize {
        lock(&self.kept).entries.len()
    }
}

impl TableCache {
    fn put(&self, path: &str) {
        self.keep_manifest(&object(path), manifest());
    }

    /// Which of these are kept; asking does not count as use.
    fn kept<const N: usize>(&self, paths: [&str; N]) -> [bool; N] {
        let kept = lock(&self.cache.kept);
        paths.map(|path| kept.entries.contains(&self.key(&object(path))))
    }
}

#[test]
fn what_was_not_used_for_longest_goes_and_nothing_else() {
    let cache = Arc::new(MetadataCache::new(3 * cost()));
    let table = TableCache::of(&cache);
    for path in ["a", "b", "c"] {
        table.put(path);
    }
    assert_eq!(cache.bytes(), 3 * cost());
    assert!(table.manifest(&object("a")).is_some());
    for (path, kept) in [
        ("d", [true, false, true, true, false, false]),
        ("e", [true, false, false, true, true, false]),
        ("f", [false, false, false, true, true, true]),
    ] {
        table.put(path);
        assert_eq!(table.kept(["a", "b", "c", "d", "e", "f"]), kept, "{path}");
        assert_eq!(cache.bytes(), 3 * cost());
    }
}

#[test]
fn one_that_is_kept_twice_counts_once_and_is_used() {
    let cache = Arc::new(MetadataCache::new(2 * cost()));
    let table = TableCache::of(&cache);
    for path in ["a", "b", "a", "c"] {
        table.put(path);
    }
    assert_eq!(table.kept(["a", "b", "c"]), [true, false, true]);
    assert_eq!(cache.bytes(), 2 * cost());
}

#[test]
fn one_that_is_larger_than_the_limit_drives_nothing_out() {
    let cache = Arc::new(MetadataCache::new(2 * cost()));
    let table = TableCache::of(&cache);
    table.put("a");
    let large = Manifest::new(1, (0..10_000).collect(), Vec::new());
    table.keep_manifest(&object("l"), Arc::new(large));
    assert_eq!(table.kept(["a", "l"]), [true, false]);
}

#[test]
fn tables_share_the_limit_and_see_nothing_of_each_other() {
    let cache = Arc::new(MetadataCache::new(2 * cost()));
    let (one, two) = (TableCache::of(&cache), TableCache::of(&cache));
    one.put("a");
    assert!(two.manifest(&object("a")).is_none());
    two.put("a");
    let (of_one, of_two) = (one.manifest(&object("a")), two.manifest(&object("a")));
    assert!(!Arc::ptr_eq(&of_one.unwrap(), &of_two.unwrap()));
    two.put("b");
    assert_eq!(
        (one.kept(["a"]), two.kept(["a", "b"])),
        ([false], [true; 2])
    );
}

/// Another object of the same path is damage, or another table in the same place.
#[test]
fn an_object_is_known_by_its_checksum_too() {
    let cache = Arc::new(MetadataCache::new(usize::MAX));
    let table = TableCache::of(&cache);
    table.put("a");
    let other = ObjectRef {
        checksum: Checksum::of(b"other"),
        ..object("a")
    };
    assert!(table.manifest(&other).is_none());
    assert!(table.schema(&object("a")).is_none());
}

#[test]
fn a_lower_limit_holds_at_once_and_a_higher_one_from_then_on() {
    let cache = Arc::new(MetadataCache::new(3 * cost()));
    let table = TableCache::of(&cache);
    for path in ["a", "b", "c"] {
        table.put(path);
    }
    cache.set_limit(2 * cost() - 1);
    assert_eq!(table.kept(["a", "b", "c"]), [false, false, true]);
    cache.set_limit(0);
    assert_eq!((cache.bytes(), cache.len()), (0, 0));
    table.put("a");
    assert_eq!((cache.bytes(), cache.len()), (0, 0));
    cache.set_limit(cost());
    table.put("a");
    assert_eq!(table.kept(["a"]), [true]);
}

#[test]
fn a_handle_takes_along_what_it_kept() {
    let cache = Arc::new(MetadataCache::new(usize::MAX));
    let (one, two) = (TableCache::of(&cache), TableCache::of(&cache));
    for path in ["a", "b"] {
        one.put(path);
        two.put(path);
    }
    drop(one);
    assert_eq!((cache.bytes(), cache.len()), (2 * cost(), 2));
    assert_eq!(two.kept(["a", "b"]), [true; 2]);
}

#[test]
fn schemas_are_kept_beside_manifests() {
    use crate::format::schema::FieldIds;
    use arrow::datatypes::{DataType, Field, Schema};

    let cache = Arc::new(MetadataCache::new(usize::MAX));
    let table = TableCache::of(&cache);
    let schema = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
    let schema = TableSchema::from_arrow(1, &schema, &mut FieldIds { next: 1 }).unwrap();
    let schema = Arc::new(schema);
    table.keep_schema(&object("s"), Arc::clone(&schema));
    table.put("a");
    let found = table.schema(&object("s")).unwrap();
    assert!(Arc::ptr_eq(&found, &schema));
    assert!(table.manifest(&object("s")).is_none());
    assert!(cache.bytes() > cost() + memory::of_schema(&schema));
}

/// Whatever they do to each other, what is kept adds up and stays below the limit.
#[test]
fn threads_that_share_it_keep_the_limit() {
    let cache = Arc::new(MetadataCache::new(5 * cost()));
    let tables = [TableCache::of(&cache), TableCache::of(&cache)];
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let (cache, table) = (&cache, &tables[thread % 2]);
            scope.spawn(move || {
                for round in 0..500_usize {
                    let path = ["a", "b", "c", "d", "e"][round * (thread + 1) % 5];
                    match table.manifest(&object(path)) {
                        Some(found) => assert_eq!(found.stats_ids.len(), 1000),
                        None => table.put(path),
                    }
                    if round % 50 == 0 {
                        cache.set_limit((2 + round % 4) * cost());
                    }
                    let Kept { bytes, limit, .. } = *lock(&cache.kept);
                    assert!(bytes <= limit, "{bytes} of {limit}");
                }
            });
        }
    });
    let kept = lock(&cache.kept);
    let sum: usize = kept.entries.iter().map(|(_, entry)| entry.bytes).sum();
    assert_eq!(kept.bytes, sum);
    assert!(sum > 0);
}

/// Two vectors of one object may be as long, and have the same checksum: what tells them apart is
/// where they begin.
#[test]
fn vectors_of_one_object_are_told_apart_by_where_they_begin() {
    let cache = Arc::new(MetadataCache::new(usize::MAX));
    let table = TableCache::of(&cache);
    let named = |offset: u64| VectorRef {
        path: "a".to_owned(),
        offset,
        size: 1,
        checksum: Checksum::of(b""),
        rows: 1,
    };
    for offset in [0, 1] {
        let vector = Arc::new([offset].into_iter().collect());
        table.keep_vector(&named(offset), vector);
    }
    for offset in [0, 1] {
        let found = table.vector(&named(offset)).unwrap();
        assert!(found.contains(offset) && found.len() == 1);
    }
    assert!(table.vector(&named(2)).is_none());
    // Nor is it taken for a manifest, or a manifest for one.
    let object = ObjectRef {
        path: "a".to_owned(),
        size: 1,
        checksum: Checksum::of(b""),
    };
    assert!(table.manifest(&object).is_none() && table.schema(&object).is_none());
    table.keep_manifest(&object, manifest());
    assert!(table.vector(&named(0)).is_none());
}

#[test]
fn vector_costs_what_its_rows_take() {
    let cache = Arc::new(MetadataCache::new(usize::MAX));
    let table = TableCache::of(&cache);
    let vector: DeletionVector = (0..1_000_000).step_by(2).collect();
    let named = VectorRef::of("a", 0, &vector.to_bytes(), &vector);
    let memory = vector.memory();
    table.keep_vector(&named, Arc::new(vector));
    assert!((memory..memory + 1_000).contains(&cache.bytes()));
    assert!(memory > 125_000, "{memory}");
}
