//! Which manifests to merge, so that the list stays short at any length of history.
//!
//! Tiers: a manifest of `n` files is on level `floor(log8(n))`. Eight of one level and one
//! schema become one of the next, unless that would pass the cap. A table of `n` one-file
//! appends lists about `7 * log8(n)` manifests, and each entry is rewritten once a level.

use super::ManifestRef;

/// How many manifests of a level become one of the next.
const FACTOR: usize = 8;
/// No merge makes a manifest larger than this, in bytes of JSON.
const CAP: u64 = 2 * 1024 * 1024;

/// The positions, in ascending order, of the manifests to merge into one each.
///
/// Every position is in at most one group. Of several levels that are full, all are named:
/// the next commit sees the result.
pub fn plan(manifests: &[ManifestRef]) -> Vec<Vec<usize>> {
    let mut open: Vec<(u32, u32, Vec<usize>)> = Vec::new();
    let mut full = Vec::new();
    for (at, manifest) in manifests.iter().enumerate() {
        let key = (manifest.schema, level(manifest.files));
        let found = open
            .iter()
            .position(|(schema, level, _)| (*schema, *level) == key);
        let slot = found.unwrap_or_else(|| {
            open.push((key.0, key.1, Vec::new()));
            open.len() - 1
        });
        let group = &mut open[slot].2;
        group.push(at);
        if group.len() == FACTOR {
            let group = std::mem::take(group);
            let sizes = group.iter().map(|at| manifests[*at].object.size);
            if sizes.fold(0, u64::saturating_add) <= CAP {
                full.push(group);
            }
        }
    }
    full
}

fn level(files: u64) -> u32 {
    files.max(1).ilog(FACTOR as u64)
}

#[cfg(test)]
mod tests {
    use super::super::checksum::ObjectRef;
    use super::*;

    fn manifest(files: u64, schema: u32) -> ManifestRef {
        let mut object = ObjectRef::of("m", b"");
        object.size = files * 300 + 100;
        ManifestRef {
            object,
            files,
            rows: files,
            marked: 0,
            schema,
        }
    }

    fn append(list: &mut Vec<ManifestRef>) -> u64 {
        let mut rewritten = 0;
        let groups = plan(list);
        for group in &groups {
            let files = group.iter().map(|at| list[*at].files).sum();
            rewritten += files;
            list[group[0]] = manifest(files, 1);
        }
        let dead: Vec<usize> = groups
            .into_iter()
            .flat_map(|group| group[1..].to_vec())
            .collect();
        let mut at = 0;
        list.retain(|_| {
            at += 1;
            !dead.contains(&(at - 1))
        });
        list.push(manifest(1, 1));
        rewritten
    }

    #[test]
    fn ten_thousand_appends_keep_the_list_short_and_rewrite_each_entry_a_few_times() {
        let mut list = Vec::new();
        let (mut longest, mut rewritten) = (0, 0);
        for _ in 0..10_000 {
            rewritten += append(&mut list);
            longest = longest.max(list.len());
        }
        assert_eq!(list.iter().map(|m| m.files).sum::<u64>(), 10_000);
        assert!(longest <= 32, "{longest}");
        assert!(rewritten <= 45_000, "{rewritten}");
    }

    #[test]
    fn schemas_are_kept_apart_and_the_cap_holds() {
        let mixed: Vec<_> = (0..14).map(|i| manifest(1, i % 2)).collect();
        assert_eq!(plan(&mixed), Vec::<Vec<usize>>::new());
        let mixed: Vec<_> = (0..15).map(|i| manifest(1, i % 2)).collect();
        assert_eq!(plan(&mixed), vec![vec![0, 2, 4, 6, 8, 10, 12, 14]]);
        let large: Vec<_> = (0..8).map(|_| manifest(5000, 1)).collect();
        assert!(plan(&large).is_empty());
    }
}
