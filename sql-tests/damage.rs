//! Tables on disk that something broke: right rows or an error that names the file, never
//! a part of the rows, and never a step that makes it worse.

#![cfg(test)]

pub(crate) mod broken_table;
mod forged_objects;
mod health;
mod links;
mod partial_copies;
mod repairs;
mod tags_and_keys;

use std::fs;

use crate::objects::{Objects, assert_same, files};
use broken_table::{Broken, NEWEST, POINTER, ROWS, SUCCESS, file_name, record};

/// What an object is to the newest version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Pointer,
    Success,
    Record,
    Snapshot,
    Schema,
    Manifest,
    Data,
}

const LEVELS: [Level; 7] = [
    Level::Pointer,
    Level::Success,
    Level::Record,
    Level::Snapshot,
    Level::Schema,
    Level::Manifest,
    Level::Data,
];

impl Level {
    fn name(self, table: &Broken) -> String {
        match self {
            Level::Pointer => POINTER.to_owned(),
            Level::Success => SUCCESS.to_owned(),
            Level::Record => record(NEWEST),
            Level::Snapshot => table.snapshot_path(NEWEST),
            Level::Schema => table.schema_path(),
            Level::Manifest => table.last_manifest(),
            Level::Data => table.last_data_file(),
        }
    }

    /// Hints may be wrong in any way.
    fn is_hint(self) -> bool {
        matches!(self, Level::Pointer | Level::Success)
    }
}

const DAMAGES: [&str; 8] = [
    "missing",
    "empty",
    "cut in half",
    "cut by one",
    "a bit flipped",
    "zeros",
    "garbage",
    "deep",
];

fn damage(table: &Broken, name: &str, how: &str) {
    let path = table.path(name);
    let mut bytes = fs::read(&path).unwrap();
    let length = bytes.len();
    match how {
        "missing" => return fs::remove_file(path).unwrap(),
        "empty" => bytes.clear(),
        "cut in half" => bytes.truncate(length / 2),
        "cut by one" => bytes.truncate(length - 2),
        "a bit flipped" if name.starts_with("data/") => bytes[length - 7] ^= 1,
        "a bit flipped" => bytes[length / 2] ^= 1,
        "zeros" => bytes.fill(0),
        "garbage" => bytes
            .iter_mut()
            .enumerate()
            .for_each(|(at, byte)| *byte = (at * 131 + 7) as u8),
        "deep" => bytes = b"[".repeat(200_000),
        _ => unreachable!(),
    }
    fs::write(path, bytes).unwrap();
}

/// Every level with every damage to it, each in a directory of its own.
async fn each_damage(check: impl AsyncFnMut(Level, &str, &str, Broken)) {
    each_damage_of(&Broken::fresh().await, check).await;
}

async fn each_damage_of(template: &Broken, mut check: impl AsyncFnMut(Level, &str, &str, Broken)) {
    for level in LEVELS {
        for how in DAMAGES {
            let table = template.copy();
            let name = level.name(&table);
            damage(&table, &name, how);
            check(level, &name, how, table).await;
        }
    }
}

/// An error must say which object is at fault; a record that is gone leaves the pointer
/// as the one that names too much.
fn assert_names(error: &str, level: Level, name: &str, how: &str) {
    let lost = level == Level::Record && how == "missing" && error.contains(POINTER);
    assert!(
        error.contains(file_name(name)) || lost,
        "{level:?} {how}: {error} does not name {name}"
    );
    assert!(!error.contains("panic"), "{error}");
}

#[tokio::test]
async fn damaged_object_gives_right_rows_or_an_error_that_names_it() {
    each_damage(async |level, name, how, table| {
        let before = files(&table.root());
        let found = table.newest().await;
        match &found {
            Ok(rows) => assert_eq!(rows, ROWS[NEWEST], "{level:?} {how}"),
            Err(error) => assert_names(error, level, name, how),
        }
        assert_eq!(found.is_ok(), level.is_hint(), "{level:?} {how}: {found:?}");
        for sql in [
            "SELECT max(b), min(a) FROM t",
            "SELECT count(*) FROM t",
            "SELECT b FROM t WHERE a = 50",
        ] {
            match table.on_t(sql).await {
                Ok(rows) => assert!(
                    matches!(rows[0].as_str(), "twenty|10" | "5" | "fifty"),
                    "{level:?} {how}: {rows:?}"
                ),
                Err(error) => assert_names(&error, level, name, how),
            }
        }
        assert_same(&before, &files(&table.root()), "reading");
    })
    .await;
}

#[tokio::test]
async fn older_versions_stay_readable_by_number_when_the_newest_is_damaged() {
    each_damage(async |level, name, how, table| {
        for (version, expected) in ROWS.iter().enumerate().take(NEWEST) {
            match table.version(version).await {
                Ok(rows) => assert_eq!(rows, *expected, "version {version}, {level:?} {how}"),
                // The schema belongs to all of them.
                Err(error) if level == Level::Schema => assert_names(&error, level, name, how),
                Err(error) => panic!("version {version}, {level:?} {how}: {error}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn create_over_a_damaged_table_never_makes_a_new_one() {
    each_damage(async |level, _, how, table| {
        let before = files(&table.root());
        let create = "CREATE EXTERNAL TABLE t (a BIGINT, b VARCHAR) STORED AS ATIO LOCATION '{t}'";
        let created = table.run(create).await;
        assert!(
            created.is_ok() || !level.is_hint(),
            "{level:?} {how}: {created:?}"
        );
        assert_same(&before, &files(&table.root()), "opening");
    })
    .await;
}

#[tokio::test]
async fn write_on_a_damaged_table_is_refused_or_right() {
    each_damage(async |level, name, how, table| {
        let before = files(&table.root());
        let written = table.append().await;
        if let Err(error) = &written {
            assert!(!level.is_hint(), "{level:?} {how}: {error}");
            assert_names(error, level, name, how);
            assert_same(&before, &files(&table.root()), "a refused write");
        }
        if matches!(level, Level::Record | Level::Snapshot | Level::Schema) {
            assert!(written.is_err(), "{level:?} {how}");
        }
        let mut expected: Vec<_> = ROWS[NEWEST].iter().map(ToString::to_string).collect();
        if written.is_ok() {
            expected.push("60|sixty".to_owned());
        }
        match table.newest().await {
            Ok(rows) => assert_eq!(rows, expected, "{level:?} {how}"),
            Err(error) => assert_names(&error, level, name, how),
        }
        if level.is_hint() {
            assert_eq!(table.newest().await.unwrap(), expected, "{level:?} {how}");
        }
    })
    .await;
}

#[tokio::test]
async fn overwrite_of_a_damaged_table_is_refused_or_right() {
    each_damage(async |level, name, how, table| {
        let before = files(&table.root());
        match table
            .on_t("INSERT OVERWRITE t VALUES (70, 'seventy')")
            .await
        {
            Ok(_) => assert_eq!(
                table.newest().await.unwrap(),
                ["70|seventy"],
                "{level:?} {how}"
            ),
            Err(error) => {
                assert_names(&error, level, name, how);
                assert_same(&before, &files(&table.root()), "a refused write");
            }
        }
    })
    .await;
}

/// Passes if everything that the versions 3 and 4 need is as it was; `whole` is the table
/// before it was damaged.
fn assert_retained(whole: &Broken, before: &Objects, table: &Broken, what: &str) {
    let after = files(&table.root());
    let mut needed = vec![whole.schema_path()];
    for version in [3, NEWEST] {
        needed.extend([record(version), whole.snapshot_path(version)]);
        for manifest in whole.manifest_paths(version) {
            let entries = whole.json(&manifest)["files"].clone();
            needed.extend(
                entries
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|entry| broken_table::text(&entry["path"])),
            );
            needed.push(manifest);
        }
    }
    for name in needed {
        assert!(
            after.get(&name) == before.get(&name),
            "{what}: {name} is gone or changed"
        );
    }
}

#[tokio::test]
async fn expiry_refuses_before_it_deletes_when_a_retained_version_is_damaged() {
    let template = Broken::fresh().await;
    each_damage_of(&template, async |level, name, how, table| {
        let before = files(&table.root());
        let expired = table.expire().await;
        match (level, &expired) {
            (Level::Pointer | Level::Success, _) => {
                assert!(!expired.unwrap().is_empty(), "{how}: nothing to expire");
                assert_eq!(table.newest().await.unwrap(), ROWS[NEWEST]);
            }
            // A data file is not opened by an expiry; it must not go either.
            (Level::Data, Ok(_)) => assert_retained(&template, &before, &table, how),
            (_, Ok(rows)) => panic!("{level:?} {how}: expired {rows:?}"),
            (_, Err(error)) => {
                assert_names(error, level, name, how);
                assert_same(&before, &files(&table.root()), "a refused expiry");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn damage_to_an_older_retained_version_stops_expiry_and_nothing_else() {
    let template = Broken::fresh().await;
    for how in DAMAGES {
        for of in [
            record(3),
            template.snapshot_path(3),
            template.manifest_paths(3)[0].clone(),
        ] {
            let table = template.copy();
            damage(&table, &of, how);
            let before = files(&table.root());
            let error = table.version(3).await.unwrap_err();
            assert!(error.contains(file_name(&of)), "{how}: {error}");
            let error = table.expire().await.unwrap_err();
            assert!(error.contains(file_name(&of)), "{how}: {error}");
            assert_same(&before, &files(&table.root()), "a refused expiry");
            if template.manifest_paths(NEWEST).contains(&of) {
                continue;
            }
            assert_eq!(table.newest().await.unwrap(), ROWS[NEWEST], "{of} {how}");
            table.append().await.unwrap();
            assert_eq!(table.newest().await.unwrap().len(), 6);
        }
    }
}

#[tokio::test]
async fn damage_to_versions_that_expire_stops_nothing_that_is_retained() {
    let template = Broken::fresh().await;
    for how in DAMAGES {
        for of in [
            template.snapshot_path(1),
            template.manifest_paths(1)[0].clone(),
        ] {
            let table = template.copy();
            damage(&table, &of, how);
            let before = files(&table.root());
            match table.expire().await {
                Ok(rows) => assert!(!rows.is_empty()),
                Err(error) => {
                    assert!(error.contains(file_name(&of)), "{how}: {error}");
                    assert_same(&before, &files(&table.root()), "a refused expiry");
                }
            }
            assert_retained(&template, &before, &table, how);
            assert_eq!(table.newest().await.unwrap(), ROWS[NEWEST], "{of} {how}");
            table.assert_version(3, how).await;
        }
    }
}

#[tokio::test]
async fn any_bit_flipped_in_metadata_is_noticed_or_harmless() {
    let template = Broken::fresh().await;
    for level in [
        Level::Pointer,
        Level::Record,
        Level::Snapshot,
        Level::Schema,
        Level::Manifest,
    ] {
        let name = level.name(&template);
        let whole = fs::read(template.path(&name)).unwrap();
        for at in (0..whole.len()).step_by(13) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(template.path(&name), &bytes).unwrap();
            match template.newest().await {
                Ok(rows) => assert_eq!(rows, ROWS[NEWEST], "{name} at byte {at}"),
                Err(error) => {
                    assert!(!level.is_hint(), "{name} at byte {at}: {error}");
                    assert!(
                        error.contains(file_name(&name)),
                        "{name} at byte {at}: {error}"
                    );
                }
            }
        }
        fs::write(template.path(&name), whole).unwrap();
    }
    assert_eq!(template.newest().await.unwrap(), ROWS[NEWEST]);
}
