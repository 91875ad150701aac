//! The properties on random inputs, on the seeds of the fuzzer, and on what it once found.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::FileFailurePersistence;

use super::properties::{ALL, Property};

/// Of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The content of each file in a directory; none where there is no directory.
fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).unwrap();
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

/// Small files of the target's kind, all of them valid or nearly so.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut found = contents(&root().join("fuzz/seeds").join(target));
    let golden = ["format-1", "format-1-marks"].map(|format| {
        let golden = root().join("sql-tests/golden").join(format);
        contents(&golden.join("table/metadata"))
    });
    let prefix = match target {
        "record" => "v",
        "snapshot" | "manifest" | "schema" => target,
        _ => "",
    };
    if !prefix.is_empty() {
        let of_target = |path: &Path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(prefix)
        };
        let metadata = golden.into_iter().flatten();
        found.extend(metadata.filter(|(path, _)| of_target(path)));
    }
    found.into_iter().map(|(_, bytes)| bytes).collect()
}

#[test]
fn the_properties_hold_for_every_seed_and_for_what_the_fuzzer_found() {
    for (target, property) in ALL {
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "no seeds for {target}");
        seeds.iter().for_each(|seed| property(seed));
        for (path, bytes) in contents(&root().join("fuzz/regressions").join(target)) {
            println!("{}", path.display());
            property(&bytes);
        }
    }
    let targets = contents(&root().join("fuzz/fuzz_targets"));
    assert_eq!(targets.len(), ALL.len(), "each target is a property");
    let known = |name: &str| ALL.iter().any(|(target, _)| *target == name);
    for found in std::fs::read_dir(root().join("fuzz/regressions"))
        .into_iter()
        .flatten()
    {
        let name = found.unwrap().file_name().into_string().unwrap();
        assert!(known(&name), "'{name}' is no target");
    }
}

/// One change to a file.
#[derive(Debug, Clone)]
enum Edit {
    Flip(Index, u8),
    Cut(Index, Index),
    Insert(Index, Vec<u8>),
    /// Another piece of the same file.
    Repeat(Index, Index, Index),
    /// A number of the file, by another.
    Number(Index, String),
}

fn edit() -> impl Strategy<Value = Edit> {
    let token = prop::sample::select(vec![
        "null", "{}", "[]", "\"\"", "-1", "\"..\"", "/../", "%2e", "\\", "\u{0}", ",\"x\":1", "é",
    ]);
    let bytes = prop_oneof![
        token.prop_map(|token| token.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 1..4),
    ];
    let number = prop::sample::select(vec![
        "0",
        "1",
        "-1",
        "2.5",
        "1e300",
        "9007199254740991",
        "9007199254740992",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "1e400",
    ]);
    prop_oneof![
        (any::<Index>(), 1u8..).prop_map(|(at, mask)| Edit::Flip(at, mask)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Edit::Cut(from, to)),
        (any::<Index>(), bytes).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        any::<(Index, Index, Index)>().prop_map(|(from, to, at)| Edit::Repeat(from, to, at)),
        (any::<Index>(), number).prop_map(|(at, number)| Edit::Number(at, number.to_owned())),
    ]
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let end = bytes.len() + 1;
        let range = |a: &Index, b: &Index| {
            let (a, b) = (a.index(end), b.index(end));
            a.min(b)..a.max(b)
        };
        match self {
            Edit::Flip(at, mask) => {
                if let Some(byte) = bytes.get_mut(at.index(end)) {
                    *byte ^= mask;
                }
            }
            Edit::Cut(from, to) => drop(bytes.drain(range(from, to))),
            Edit::Insert(at, new) => {
                let at = at.index(end);
                bytes.splice(at..at, new.iter().copied());
            }
            Edit::Repeat(from, to, at) => {
                let piece = bytes[range(from, to)].to_vec();
                let at = at.index(end);
                bytes.splice(at..at, piece);
            }
            Edit::Number(at, number) => {
                let start = at.index(end);
                let digit = |at: &usize| bytes[*at].is_ascii_digit();
                let Some(first) = (start..bytes.len()).find(digit) else {
                    return;
                };
                let last = (first..bytes.len()).take_while(digit).count() + first;
                bytes.splice(first..last, number.bytes());
            }
        }
    }
}

/// A target with one of its seeds, changed a little; now and then arbitrary bytes.
fn input() -> impl Strategy<Value = (&'static str, Property, Vec<u8>)> {
    let targets: Vec<_> = ALL
        .iter()
        .map(|(target, property)| (*target, *property, seeds(target)))
        .collect();
    let seeded = prop::sample::select(targets).prop_flat_map(|(target, property, seeds)| {
        let edits = prop::collection::vec(edit(), 0..4);
        (prop::sample::select(seeds), edits).prop_map(move |(mut bytes, edits)| {
            edits.iter().for_each(|edit| edit.apply(&mut bytes));
            (target, property, bytes)
        })
    });
    let arbitrary = (prop::sample::select(ALL.to_vec()), any::<Vec<u8>>())
        .prop_map(|((target, property), bytes)| (target, property, bytes));
    prop_oneof![9 => seeded, 1 => arbitrary]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if std::env::var_os("ATIO_LONG").is_some() { 20_000 } else { 1_000 },
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_properties_hold_for_files_that_were_changed((_, property, bytes) in input()) {
        property(&bytes);
    }
}
