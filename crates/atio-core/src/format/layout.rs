//! The names of all objects of a table, relative to its root.
//!
//! Every name is made here and recognised here, by one strict parser: what it does not
//! know is not an object of a table, is never opened by way of metadata, and is never
//! deleted.

use uuid::Uuid;

use super::limits::PATH_BYTES;
use super::version::is_lower_hex;
use super::{Txn, Version};

/// The pointer: a hint at the newest version, never the truth.
pub const POINTER: &str = "_current_version.json";
/// Exists once a version is committed.
pub const SUCCESS: &str = "_SUCCESS";
/// A transaction numbers its data files with five digits.
pub const DATA_FILES_LIMIT: u32 = 100_000;
/// What the names of objects of deletion vectors end with.
const VECTORS: &str = "dv";
/// Where records, snapshots, manifests and schemas are.
pub const METADATA: &str = "metadata";
/// Where data files are.
pub const DATA: &str = "data";
/// The only place where half a file can be.
pub const STAGING: &str = "_atio_tmp";
/// Files that only take space, which expiry gives free where a local disk is full.
pub const RESERVE: &str = "_atio_tmp/reserve";
/// An object that was written when the store had been tried out.
pub const STORE_TRIED: &str = "_atio_tmp/store/tried";
/// Says when that was.
pub const STORE_NOTE: &str = "_atio_tmp/store/note.json";

/// The name of the commit record of `version`.
pub fn record(version: Version) -> String {
    format!("{METADATA}/v{version}.metadata.json")
}

/// The name of a snapshot; each attempt of a commit has one of its own.
pub fn snapshot(millis: i64, txn: Txn, attempt: u64) -> String {
    format!("{METADATA}/snapshot-{}-{txn}-{attempt}.json", millis.max(0))
}

/// The name of the manifest that is number `seq` of the metadata of `txn`.
pub fn manifest(txn: Txn, seq: u64) -> String {
    format!("{METADATA}/manifest-{txn}-{seq}.json")
}

/// The name of a schema file, numbered likewise.
pub fn schema(txn: Txn, seq: u64) -> String {
    format!("{METADATA}/schema-{txn}-{seq}.json")
}

/// All tags, from one version on.
pub fn refs(txn: Txn, seq: u64) -> String {
    format!("{METADATA}/refs-{txn}-{seq}.json")
}

/// A manifest-shaped list of the files that a version removed.
pub fn removed(txn: Txn, seq: u64) -> String {
    format!("{METADATA}/removed-{txn}-{seq}.json")
}

/// True for what the table says of its store.
pub fn is_of_store(path: &str) -> bool {
    path == STORE_TRIED || path == STORE_NOTE
}

/// True for the files that only take space.
pub fn is_reserve(path: &str) -> bool {
    path.strip_prefix(RESERVE)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// Something that a transaction has for itself alone.
pub fn staged(txn: Txn, name: &str) -> String {
    format!("{STAGING}/{txn}/{name}")
}

/// The name of the data file that is number `seq` of `txn`; `random` is drawn anew for each.
pub fn data_file(txn: Txn, seq: u32, random: u64) -> String {
    format!("{DATA}/{txn}/{seq:05}-{random:016x}.parquet")
}

/// The name of an object of deletion vectors, numbered among the data files.
pub fn vectors(txn: Txn, seq: u32, random: u64) -> String {
    format!("{DATA}/{txn}/{seq:05}-{random:016x}.{VECTORS}")
}

/// What a transaction tries out on a store before it writes there.
pub fn probe(txn: Txn, random: u64) -> String {
    format!("{STAGING}/{txn}/probe-{random:016x}")
}

/// What an object of a table is, as its name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Data,
    /// Deletion vectors.
    Vector,
    Manifest,
    Snapshot,
    Schema,
    Refs,
    Removed,
    Staging,
    Record(Version),
}

impl Kind {
    /// The word that people see.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Data => "data file",
            Kind::Vector => "deletion vector",
            Kind::Manifest => "manifest",
            Kind::Snapshot => "snapshot",
            Kind::Schema => "schema",
            Kind::Refs => "refs",
            Kind::Removed => "removed files",
            Kind::Staging => "staging",
            Kind::Record(_) => "commit record",
        }
    }
}

/// A parsed name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object {
    pub kind: Kind,
    /// The transaction that staged it; None for a record and for what Python wrote.
    pub txn: Option<Txn>,
}

/// Recognises the name of an object of a table; None for everything else.
pub fn parse(path: &str) -> Option<Object> {
    if path.len() > PATH_BYTES {
        return None;
    }
    let (folder, rest) = path.split_once('/')?;
    match folder {
        DATA => parse_data(rest),
        METADATA => parse_metadata(rest),
        STAGING => {
            let mut parts = rest.split('/');
            let txn = parts.next()?.parse().ok()?;
            parts.all(is_staged_name).then_some(Object {
                kind: Kind::Staging,
                txn: Some(txn),
            })
        }
        _ => None,
    }
}

/// The path with the separator that Python on Windows wrote read as `/` (C13).
pub fn from_python(path: &str) -> String {
    for folder in [DATA, METADATA] {
        if let Some(rest) = path.strip_prefix(folder).and_then(|r| r.strip_prefix('\\')) {
            return format!("{folder}/{rest}");
        }
    }
    path.to_owned()
}

fn parse_data(rest: &str) -> Option<Object> {
    let Some((txn, name)) = rest.split_once('/') else {
        let (stem, extension) = rest.split_once('.')?;
        let python = is_uuid(stem) && extension == "parquet";
        return python.then_some(Object {
            kind: Kind::Data,
            txn: None,
        });
    };
    let txn = txn.parse().ok()?;
    let (stem, extension) = name.split_once('.')?;
    let (seq, random) = stem.split_once('-')?;
    let ours = seq.len() == 5
        && seq.bytes().all(|b| b.is_ascii_digit())
        && random.len() == 16
        && random.bytes().all(is_lower_hex)
        && is_extension(extension);
    let kind = match extension == VECTORS {
        true => Kind::Vector,
        false => Kind::Data,
    };
    ours.then_some(Object {
        kind,
        txn: Some(txn),
    })
}

fn parse_metadata(name: &str) -> Option<Object> {
    if let Some(version) = parse_record(name) {
        return Some(Object {
            kind: Kind::Record(version),
            txn: None,
        });
    }
    let (word, rest) = name.strip_suffix(".json")?.split_once('-')?;
    let (kind, rest) = match word {
        "manifest" => (Kind::Manifest, rest),
        "schema" => (Kind::Schema, rest),
        "refs" => (Kind::Refs, rest),
        "removed" => (Kind::Removed, rest),
        "snapshot" => {
            let (millis, rest) = rest.split_once('-')?;
            is_number(millis).then_some((Kind::Snapshot, rest))?
        }
        _ => return None,
    };
    if is_uuid(rest) {
        let python = matches!(kind, Kind::Manifest | Kind::Snapshot);
        return python.then_some(Object { kind, txn: None });
    }
    let (txn, seq) = rest.split_once('-')?;
    let txn = txn.parse().ok()?;
    is_number(seq).then_some(Object {
        kind,
        txn: Some(txn),
    })
}

/// The version of a commit record, by its name without the folder (C14).
pub fn parse_record(name: &str) -> Option<Version> {
    let digits = name.strip_prefix('v')?.strip_suffix(".metadata.json")?;
    let number = digits.parse().ok().filter(|_| is_number(digits))?;
    Version::new(number)
}

/// A part of a path below a transaction's staging folder: never one that leads out of it.
fn is_staged_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !text.is_empty() && !text.starts_with('.') && text.bytes().all(plain)
}

/// Up to 16 decimal digits without a leading zero.
fn is_number(text: &str) -> bool {
    (1..=16).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'))
}

/// `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` in lower case, as Python writes it.
fn is_uuid(text: &str) -> bool {
    Uuid::try_parse(text).is_ok_and(|id| id.hyphenated().to_string() == text)
}

fn is_extension(text: &str) -> bool {
    !text.is_empty() && text.len() <= 16 && text.bytes().all(|b| b.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "018f0000-0000-7000-8000-000000000001";

    fn txn() -> Txn {
        "018f0000000070008000000000000001".parse().unwrap()
    }

    #[test]
    fn every_name_that_is_made_is_recognised() {
        let version = Version::new(7).unwrap();
        let made = [
            (record(version), Kind::Record(version)),
            (snapshot(1_795_333_041_123, txn(), 0), Kind::Snapshot),
            (manifest(txn(), 12), Kind::Manifest),
            (schema(txn(), 0), Kind::Schema),
            (removed(txn(), 1), Kind::Removed),
            (format!("metadata/refs-{}-0.json", txn()), Kind::Refs),
            (data_file(txn(), 3, 255), Kind::Data),
            (vectors(txn(), 3, 255), Kind::Vector),
            (format!("_atio_tmp/{}/x", txn()), Kind::Staging),
            (probe(txn(), 7), Kind::Staging),
        ];
        for (path, kind) in made {
            let object = parse(&path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!(object.kind, kind, "{path}");
            let named = !matches!(kind, Kind::Record(_));
            assert_eq!(object.txn, named.then_some(txn()), "{path}");
        }
    }

    #[test]
    fn names_that_python_wrote_are_recognised_without_a_transaction() {
        for (path, kind) in [
            (format!("data/{UUID}.parquet"), Kind::Data),
            (format!("metadata/manifest-{UUID}.json"), Kind::Manifest),
            (
                format!("metadata/snapshot-1795333041-{UUID}.json"),
                Kind::Snapshot,
            ),
        ] {
            assert_eq!(parse(&path), Some(Object { kind, txn: None }), "{path}");
        }
        assert_eq!(
            from_python(&format!("data\\{UUID}.parquet")),
            format!("data/{UUID}.parquet")
        );
    }

    #[test]
    fn everything_else_is_refused() {
        let txn = txn();
        for path in [
            "",
            ".",
            "/etc/passwd",
            "../../etc/passwd",
            "data/../../x",
            "data//x.parquet",
            "data/",
            "%2e%2e/x",
            "data/%2e%2e/x",
            "data\\..\\x",
            "file:///etc/passwd",
            "s3://other/x",
            "data/x#1",
            "data/x?y",
            "data/a\nb",
            "data/x.parquet",
            "_current_version.json",
            "metadata/v01.metadata.json",
            "metadata/v-1.metadata.json",
            "metadata/V1.metadata.json",
            "metadata/v9007199254740992.metadata.json",
            "metadata/v18446744073709551616.metadata.json",
            &format!("data/{txn}/../00000-0000000000000000.parquet"),
            &format!("data/{txn}/00000-000000000000000.parquet"),
            &format!("data/{txn}/0000-0000000000000000.parquet"),
            &format!("data/{txn}/00000-0000000000000000.par%75et"),
            &format!("data/{txn}/00000-0000000000000000.parquet/x"),
            &format!("data/{txn}/00000-0000000000000000.parquet#1"),
            &format!("metadata/manifest-{txn}.json"),
            &format!("metadata/manifest-{txn}-01.json"),
            &format!("metadata/schema-{UUID}.json"),
            &format!("metadata/snapshot-{txn}-0.json"),
            &format!("metadata/manifest-{txn}-10000000000000000.json"),
            &format!("_atio_tmp/{txn}/"),
            &format!("_atio_tmp/{txn}//x"),
            &format!("_atio_tmp/{txn}/../../data/x"),
            &format!("_atio_tmp/{txn}/.hidden"),
            &format!("_atio_tmp/{txn}/a b"),
            &format!("_atio_tmp/{txn}/{}", "x".repeat(PATH_BYTES)),
            "_atio_tmp/x/y",
            &format!("a/data/{UUID}.parquet"),
            &format!("data/{}.parquet", "x".repeat(2000)),
            &format!("data/{}.parquet", UUID.to_uppercase()),
            &format!("data/{UUID}.csv"),
        ] {
            assert_eq!(parse(path), None, "{path:?}");
        }
    }
}
