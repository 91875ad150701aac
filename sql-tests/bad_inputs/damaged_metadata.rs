//! Lines 26 to 47: metadata that is not what was written.

use std::fs::{self, File};

use atio::ErrorKind;
use serde_json::{Value, json};

use super::{APPEND, EXPIRE, OVERWRITE, READ, on_broken, refuse_on_broken};
use crate::damage::broken_table::{Broken, NEWEST, POINTER, ROWS, record};
use crate::objects::{assert_same, files};

use ErrorKind::{Damaged, Unsupported, VersionExpired};

/// Everything that needs the newest version.
const ALL: [&str; 4] = [READ, APPEND, OVERWRITE, EXPIRE];

/// Breaks the newest record in one way each, and checks how that is told.
async fn broken_record(
    line: u8,
    what: &str,
    kind: ErrorKind,
    says: &[&str],
    breaks: impl FnOnce(&Broken),
) {
    let table = Broken::fresh().await;
    breaks(&table);
    refuse_on_broken(&table, line, what, &ALL, kind, says).await;
}

/// The newest record with one change, and a checksum that is right.
fn forged(change: impl FnOnce(&mut Value)) -> impl FnOnce(&Broken) {
    move |table| {
        let mut value = table.record(NEWEST);
        change(&mut value);
        table.seal(&record(NEWEST), value);
    }
}

#[tokio::test]
async fn pointer_of_any_content_is_no_more_than_a_hint() {
    let template = Broken::fresh().await;
    for (line, content) in [
        (26, ""),
        (27, r#"{"version_id":-1}"#),
        (27, r#"{"version_id":0}"#),
        (27, r#"{"version_id":1e30}"#),
        (27, r#"{"version_id":"4"}"#),
        (27, "[]"),
        (29, r#"{"version_id":"2"}"#),
    ] {
        let table = template.copy();
        fs::write(table.path(POINTER), content).unwrap();
        let before = files(&table.root());
        let found = on_broken(&table, READ).await.unwrap();
        assert_eq!(found, ROWS[NEWEST], "line {line}: {content}");
        assert_same(&before, &files(&table.root()), content);
        on_broken(&table, APPEND).await.unwrap();
        assert_eq!(table.newest().await.unwrap().len(), 6, "{content}");
    }
    let table = template.copy();
    let pointer = File::create(table.path(POINTER)).unwrap();
    pointer.set_len(300 << 20).unwrap();
    let found = on_broken(&table, READ).await.unwrap();
    assert_eq!(found, ROWS[NEWEST], "line 38: a pointer of 300 MiB");
}

#[tokio::test]
async fn pointer_ahead_of_the_newest_record_stops_everything_but_versions_by_number() {
    let table = Broken::fresh().await;
    table.seal(POINTER, json!({"version_id": "10"}));
    let says = ["names version 10", "version 4", "partly copied or restored"];
    refuse_on_broken(&table, 28, "pointer ahead", &ALL, Damaged, &says).await;
    table.assert_version(NEWEST, "below a pointer ahead").await;
}

#[tokio::test]
async fn record_that_is_not_what_was_written_says_how() {
    let name = record(NEWEST);
    let name = name.as_str();
    broken_record(
        30,
        "empty",
        Damaged,
        &[name, "is empty (0 bytes)"],
        |table| {
            fs::write(table.path(name), "").unwrap();
        },
    )
    .await;
    broken_record(31, "cut", Damaged, &[name, "line 1 column 200"], |table| {
        let bytes = fs::read(table.path(name)).unwrap();
        fs::write(table.path(name), &bytes[..200]).unwrap();
    })
    .await;
    broken_record(
        32,
        "another byte",
        Damaged,
        &[name, "has checksum crc32c:", "but says crc32c:"],
        |table| {
            let text = fs::read_to_string(table.path(name)).unwrap();
            fs::write(table.path(name), text.replacen("append", "appent", 1)).unwrap();
        },
    )
    .await;
    broken_record(
        33,
        "another number",
        Damaged,
        &[name, "says that it is version 6"],
        forged(|record| record["version_id"] = json!(6)),
    )
    .await;
    broken_record(
        34,
        "another table",
        Damaged,
        &[
            "version 4 belongs to another table",
            "0190a0b0-c0d0-7e0f-8a1b-2c3d4e5f6071",
        ],
        forged(|record| record["table"] = json!("0190a0b0-c0d0-7e0f-8a1b-2c3d4e5f6071")),
    )
    .await;
    broken_record(
        35,
        "on another record",
        Damaged,
        &["the history is broken between version 3 and version 4"],
        forged(|record| {
            record["previous"]["txn"] = json!("0190a0b0c0d07e0f8a1b2c3d4e5f6071");
        }),
    )
    .await;
    broken_record(
        36,
        "format 99",
        Unsupported,
        &["newer atio", "format 99", "reads format 1", "upgrade"],
        forged(|record| record["format_version"] = json!(99)),
    )
    .await;
    broken_record(
        37,
        "a feature",
        Unsupported,
        &["needs the feature 'telepathy'", "upgrade"],
        forged(|record| record["features"]["read"] = json!(["telepathy"])),
    )
    .await;
}

#[tokio::test]
async fn record_beyond_all_measure_is_refused() {
    let name = record(NEWEST);
    let name = name.as_str();
    broken_record(
        38,
        "300 MiB",
        Damaged,
        &[name, "has 314572800 bytes", "at most"],
        |table| {
            let file = File::create(table.path(name)).unwrap();
            file.set_len(300 << 20).unwrap();
        },
    )
    .await;
    broken_record(
        39,
        "deep",
        Damaged,
        &[name, "nests deeper than 64"],
        |table| {
            let mut json = b"{\"version_id\":4,\"tombstone\":".to_vec();
            json.extend(b"[".repeat(10_000));
            json.extend(b"]".repeat(10_000));
            json.extend(b"}\n");
            fs::write(table.path(name), json).unwrap();
        },
    )
    .await;
    broken_record(
        40,
        "a key twice",
        Damaged,
        &[name, "is there twice"],
        |table| {
            let text = fs::read_to_string(table.path(name)).unwrap();
            let (body, _) = text.rsplit_once(",\"checksum\"").unwrap();
            let body = body.replacen("\"parent\":3", "\"parent\":3,\"parent\":2", 1);
            let sum = crate::damage::broken_table::checksum(body.as_bytes());
            fs::write(
                table.path(name),
                format!("{body},\"checksum\":\"{sum}\"}}\n"),
            )
            .unwrap();
        },
    )
    .await;
}

#[tokio::test]
async fn names_that_only_look_like_records_count_for_nothing() {
    let template = Broken::fresh().await;
    let strange = [
        "v05",
        "v1 ",
        "V5",
        "v18446744073709551616",
        "v9007199254740992",
        "v",
        "v-1",
        "v+5",
        "v5.0",
        "v0x5",
    ];
    for pointer in [true, false] {
        let table = template.copy();
        let of = |name: &str| table.path(&format!("metadata/{name}.metadata.json"));
        for name in strange {
            fs::write(of(name), "x").unwrap();
        }
        if !pointer {
            fs::remove_file(table.path(POINTER)).unwrap();
        }
        assert_eq!(table.newest().await.unwrap(), ROWS[NEWEST]);
        table.append().await.unwrap();
        assert!(!table.expire().await.unwrap().is_empty());
        assert_eq!(table.newest().await.unwrap().len(), 6);
        for name in strange {
            assert_eq!(
                fs::read_to_string(of(name)).unwrap(),
                "x",
                "line 41: {name}"
            );
        }
    }
}

#[tokio::test]
async fn version_that_is_not_there_says_whether_it_is_lost_or_has_expired() {
    let table = Broken::fresh().await;
    fs::remove_file(table.path(&record(2))).unwrap();
    let by_number = "SELECT * FROM atio_table('{t}', version => 2)";
    let lost = [
        "metadata/v2.metadata.json is missing",
        "has not expired",
        "damaged",
    ];
    refuse_on_broken(&table, 42, "lost", &[by_number], Damaged, &lost).await;
    assert_eq!(table.newest().await.unwrap(), ROWS[NEWEST]);

    let table = Broken::fresh().await;
    table.expire().await.unwrap();
    let expired = [
        "version 2 of 't' has expired",
        "readable versions are 3 to 5",
    ];
    refuse_on_broken(
        &table,
        43,
        "expired",
        &[by_number],
        VersionExpired,
        &expired,
    )
    .await;
}

#[tokio::test]
async fn manifest_that_counts_wrongly_is_refused() {
    let template = Broken::fresh().await;
    let rows = |value: Value| move |manifest: &mut Value| manifest["files"][0]["rows"] = value;
    let size = |value: Value| move |manifest: &mut Value| manifest["files"][0]["size"] = value;
    let twice = |manifest: &mut Value| {
        let entry = manifest["files"][0].clone();
        manifest["files"].as_array_mut().unwrap().push(entry);
    };
    let overflow = |manifest: &mut Value| {
        let mut entry = manifest["files"][0].clone();
        entry["path"] =
            json!("data/0190a0b0c0d07e0f8a1b2c3d4e5f6071/00000-0123456789abcdef.parquet");
        manifest["files"].as_array_mut().unwrap().push(entry);
        manifest["files"][0]["rows"] = json!(u64::MAX);
    };
    type Lie = Box<dyn Fn(&mut Value)>;
    let lies: [(u8, Lie, &str); 6] = [
        (44, Box::new(twice), "twice"),
        (
            45,
            Box::new(move |m| rows(json!(-2))(m)),
            "invalid value: integer `-2`",
        ),
        (
            45,
            Box::new(move |m| size(json!(-1))(m)),
            "invalid value: integer `-1`",
        ),
        (45, Box::new(move |m| rows(json!(1e30))(m)), "expected u64"),
        (
            45,
            Box::new(move |m| rows(json!(u64::MAX))(m)),
            "row count overflows",
        ),
        (45, Box::new(overflow), "overflow"),
    ];
    for (line, lie, says) in lies {
        let table = template.copy();
        let mut manifest = table.json(&table.last_manifest());
        lie(&mut manifest);
        table.forge_manifest(&manifest);
        refuse_on_broken(&table, line, says, &[READ], Damaged, &[says]).await;
    }
}

#[tokio::test]
async fn directory_in_the_place_of_metadata_is_refused() {
    broken_record(
        46,
        "the record is a directory",
        Damaged,
        &["names version 4", "version 3"],
        |table| {
            fs::remove_file(table.path(&record(NEWEST))).unwrap();
            fs::create_dir(table.path(&record(NEWEST))).unwrap();
        },
    )
    .await;
    let table = Broken::fresh().await;
    fs::rename(table.path("metadata"), table.path("aside")).unwrap();
    fs::write(table.path("metadata"), "a file").unwrap();
    let before = files(&table.root());
    for sql in ALL {
        let failure = on_broken(&table, sql).await.unwrap_err();
        failure.assert(46, sql, failure.kind, &["metadata"]);
        assert!(failure.kind.is_some(), "{failure:?}");
        assert_same(&before, &files(&table.root()), sql);
    }
    fs::remove_file(table.path("metadata")).unwrap();
    fs::rename(table.path("aside"), table.path("metadata")).unwrap();
    assert_eq!(table.newest().await.unwrap(), ROWS[NEWEST]);
}

#[tokio::test]
async fn version_that_is_not_younger_than_the_one_before_is_refused() {
    for less in [0, 1, 1_000_000] {
        broken_record(
            47,
            "not younger",
            Damaged,
            &["the commit time of version 4 is not after that of version 3"],
            |table| {
                let earlier = table.record(3)["committed_at_us"].as_i64().unwrap();
                forged(|record| record["committed_at_us"] = json!(earlier - less))(table);
            },
        )
        .await;
    }
}
