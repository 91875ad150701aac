//! What atio_check and atio_stats say of each damage.

use std::fs;

use serde_json::{Value, json};

use super::broken_table::{Broken, NEWEST, POINTER, ROWS, record};
use super::{Level, each_damage};
use crate::objects::{assert_same, files};

impl Broken {
    /// What a check finds, as `severity|object|version`.
    pub(crate) async fn findings(&self) -> Vec<String> {
        let check = "SELECT severity, object, version FROM atio_check('{t}')";
        self.run(check).await.unwrap()
    }

    /// Passes if a check finds an error.
    pub(crate) async fn assert_check_finds(&self, what: &str) {
        let findings = self.findings().await;
        let error = findings.iter().any(|finding| finding.starts_with("error|"));
        assert!(error, "{what}: {findings:?}");
    }

    /// The findings of a deep check, as `object: finding`.
    pub(crate) async fn deep_findings(&self) -> Vec<String> {
        let check = "SELECT object || ': ' || finding FROM atio_check('{t}', deep => true)";
        self.run(check).await.unwrap()
    }

    pub(super) async fn repair(&self) -> Vec<String> {
        let repair = "SELECT object, done FROM atio_repair('{t}', dry_run => false)";
        self.run(repair).await.unwrap()
    }
}

#[tokio::test]
async fn whole_table_has_no_finding() {
    let table = Broken::fresh().await;
    let before = files(&table.root());
    assert_eq!(table.findings().await, [""; 0]);
    assert_eq!(table.deep_findings().await, [""; 0]);
    assert_eq!(table.repair().await, [""; 0]);
    assert_same(
        &before,
        &files(&table.root()),
        "check and repair of a whole table",
    );
    // Also one that has expired in part, and one that lists a merged manifest.
    table.expire().await.unwrap();
    for _ in 0..10 {
        table.append().await.unwrap();
    }
    assert_eq!(table.deep_findings().await, [""; 0]);
}

#[tokio::test]
async fn each_damaged_object_is_one_finding_that_names_it() {
    each_damage(async |level, name, how, table| {
        let before = files(&table.root());
        let found = table.findings().await;
        assert_same(&before, &files(&table.root()), "a check");
        let expected = match level {
            // It has no checksum, and nothing reads it.
            Level::Success if how == "a bit flipped" => return,
            Level::Pointer | Level::Success => format!("warning|{name}|NULL"),
            // What the pointer names is gone.
            Level::Record if how == "missing" => format!("error|{name}|NULL"),
            _ => format!("error|{name}|{NEWEST}"),
        };
        assert_eq!(found, [expected], "{level:?} {how}");
    })
    .await;
}

#[tokio::test]
async fn several_damages_are_all_told() {
    let table = Broken::fresh().await;
    let (manifest, data) = (table.manifest_paths(2)[0].clone(), table.last_data_file());
    fs::write(table.path(&manifest), "[").unwrap();
    fs::remove_file(table.path(&data)).unwrap();
    fs::write(table.path(&record(1)), "").unwrap();
    fs::remove_file(table.path(POINTER)).unwrap();
    let mut expected = [
        format!("error|{manifest}|2"),
        format!("error|{data}|4"),
        format!("error|{}|1", record(1)),
        format!("warning|{POINTER}|NULL"),
    ];
    expected.sort();
    let mut found = table.findings().await;
    found.sort();
    assert_eq!(found, expected);
    let action = "SELECT action FROM atio_check('{t}') WHERE version = 4";
    assert_eq!(
        table.run(action).await.unwrap(),
        [
            "Restore it from a copy of the table, or roll back to version 3, the newest that is whole. The file has 2 \
             rows: a DELETE whose condition is true of all of them by the statistics of the file removes it \
             without reading it."
        ]
    );
    table
        .on_t("SELECT * FROM atio_rollback('t', version => 3)")
        .await
        .unwrap();
    assert_eq!(table.newest().await.unwrap(), ROWS[3]);
}

#[tokio::test]
async fn flipped_bit_in_the_rows_is_found_by_a_deep_check() {
    let template = Broken::fresh().await;
    let data = template.last_data_file();
    let length = fs::read(template.path(&data)).unwrap().len();
    for at in [4, 20, length / 3] {
        let table = template.copy();
        let mut bytes = fs::read(table.path(&data)).unwrap();
        bytes[at] ^= 1;
        fs::write(table.path(&data), bytes).unwrap();
        assert_eq!(table.findings().await, [""; 0], "byte {at}");
        let found = table.deep_findings().await;
        let [finding] = found.as_slice() else {
            panic!("byte {at}: {found:?}")
        };
        assert!(
            finding.starts_with(&format!("{data}: {data} has checksum crc32c:")),
            "{finding}"
        );
    }
}

#[tokio::test]
async fn statistics_that_lie_are_found_by_a_deep_check() {
    let template = Broken::fresh().await;
    let wrong = |column: &str, what: &str| {
        Some(format!(
            "the statistics of column '{column}' are wrong: {what}"
        ))
    };
    let true_b = json!([0, "fifty", "forty"]);
    let true_a = json!([0, 40, 50]);
    for (stats, expected) in [
        (json!([true_a, true_b]), None),
        (json!(null), None),
        (json!([null, null]), None),
        // Bounds that are cut need not occur.
        (
            json!([[0, [30, {"cut": true}], [60, {"cut": true}]], true_b]),
            None,
        ),
        // Rows beyond a bound would not be found.
        (
            json!([[0, 45, 50], true_b]),
            wrong("a", "its smallest value is 40, and 45 by its manifest"),
        ),
        (
            json!([[0, 40, 49], true_b]),
            wrong("a", "its largest value is 50, and 49 by its manifest"),
        ),
        (
            json!([[0, [45, {"cut": true}], 50], true_b]),
            wrong("a", "its smallest value is 40, and 45 by its manifest"),
        ),
        (
            json!([true_a, [0, "forty", "forty"]]),
            wrong(
                "b",
                "its smallest value is 'fifty', and 'forty' by its manifest",
            ),
        ),
        // min(a) would be answered by it.
        (
            json!([[0, 1, 50], true_b]),
            wrong("a", "its smallest value is 40, and 1 by its manifest"),
        ),
        (
            json!([[1, 40, 50], true_b]),
            wrong("a", "it has 0 nulls, and 1 by its manifest"),
        ),
        // What is malformed is unknown.
        (json!([[0, "x", 50], true_b]), None),
        (json!([[0, 90, 10], true_b]), None),
    ] {
        let table = template.copy();
        let mut manifest = table.json(&table.last_manifest());
        manifest["files"][0]["stats"] = stats.clone();
        table.forge_manifest(&manifest);
        assert_eq!(table.findings().await, [""; 0], "{stats}");
        let data = table.last_data_file();
        let expected = expected.map(|wrong| format!("{data}: {data}: {wrong}"));
        let expected: Vec<_> = expected.into_iter().collect();
        assert_eq!(table.deep_findings().await, expected, "{stats}");
        // What is to be done about it helps.
        table
            .on_t("INSERT OVERWRITE t SELECT * FROM t")
            .await
            .unwrap();
        table.run("SELECT count(*) FROM expire_snapshots('{t}', keep_for => INTERVAL '0 days', dry_run => false)").await.unwrap();
        assert_eq!(table.deep_findings().await, [""; 0], "{stats}");
    }
}

#[tokio::test]
async fn statistics_of_every_type_are_what_a_deep_check_computes() {
    let table = Broken::fresh().await;
    let location = table.place().path().join("types");
    let ctx = table.place().session();
    let statements = [
        format!(
            "CREATE EXTERNAL TABLE y (b BOOLEAN, i SMALLINT, u BIGINT UNSIGNED, f REAL, d DOUBLE, e DOUBLE, n DECIMAL(20, 3), \
             s VARCHAR, x BYTEA, t TIMESTAMP, z DATE, k TIME, l BIGINT[], r STRUCT<p INT>, o INT) \
             STORED AS ATIO LOCATION '{}'",
            location.display()
        ),
        "INSERT INTO y SELECT value % 2 = 0, -value, value, value / 3.0, value / 7.0, \
         CASE value WHEN 3 THEN 'NaN'::DOUBLE WHEN 4 THEN -0.0 ELSE 1e300 END, \
         value / 8.0, repeat(chr(64 + value), value * 9), repeat(chr(64 + value), value * 9 + 1)::BYTEA, \
         to_timestamp(value), to_timestamp(value * 86400)::DATE, to_timestamp(value + 1)::TIME, [value], \
         named_struct('p', value), NULL FROM generate_series(1, 25)"
            .to_owned(),
        "INSERT INTO y (s) VALUES (NULL), ('')".to_owned(),
    ];
    for sql in statements {
        crate::query::rows(&ctx, &sql).await;
    }
    let check = "SELECT * FROM atio_check('y', deep => true)";
    assert_eq!(crate::query::rows(&ctx, check).await, [""; 0]);
    let known = "SELECT count(*) FROM y WHERE u > 24 OR s = ''";
    assert_eq!(crate::query::rows(&ctx, known).await, ["2"]);
}

#[tokio::test]
async fn sums_and_lists_that_contradict_are_found() {
    let template = Broken::fresh().await;
    let change = |what: &'static str, change: fn(&mut Value)| (what, change);
    for (what, change) in [
        change("bytes", |snapshot| snapshot["totals"]["bytes"] = json!(7)),
        change("another schema", |snapshot| {
            snapshot["schema"]["id"] = json!(9)
        }),
        change("a field id that is free", |snapshot| {
            snapshot["next_field_id"] = json!(1)
        }),
        change("rows of one manifest", |snapshot| {
            let rows = snapshot["totals"]["rows"].as_u64().unwrap();
            snapshot["totals"]["rows"] = json!(rows + 1);
            let rows = snapshot["manifest_info"][0]["rows"].as_u64().unwrap();
            snapshot["manifest_info"][0]["rows"] = json!(rows + 1);
        }),
    ] {
        let table = template.copy();
        let mut snapshot = table.snapshot(NEWEST);
        change(&mut snapshot);
        table.forge_snapshot(&snapshot);
        table.assert_check_finds(what).await;
    }
    // A file that two manifests list.
    let table = template.copy();
    let other = table.manifest_paths(3)[0].clone();
    let entry = table.json(&other)["files"][0].clone();
    let mut manifest = table.json(&table.last_manifest());
    manifest["files"].as_array_mut().unwrap().push(entry);
    table.forge_manifest(&manifest);
    let mut snapshot = table.snapshot(NEWEST);
    let size = |manifest: &str| -> u64 {
        let files = table.json(manifest)["files"].as_array().unwrap().clone();
        files
            .iter()
            .map(|file| file["size"].as_u64().unwrap())
            .sum()
    };
    let bytes = size(&other) + size(&table.last_manifest());
    snapshot["totals"]["bytes"] = json!(bytes);
    table.forge_snapshot(&snapshot);
    let found = table
        .run("SELECT finding FROM atio_check('{t}')")
        .await
        .unwrap();
    assert!(
        found.len() == 1 && found[0].contains("two of its manifests list data/"),
        "{found:?}"
    );
}

#[tokio::test]
async fn tag_of_a_version_that_is_not_there_is_found() {
    let table = Broken::fresh().await;
    table
        .on_t("SELECT * FROM atio_tag('t', tag => 'best', version => 2)")
        .await
        .unwrap();
    assert_eq!(table.findings().await, [""; 0]);
    fs::remove_file(table.path(&record(2))).unwrap();
    let found = table
        .run("SELECT finding FROM atio_check('{t}')")
        .await
        .unwrap();
    assert_eq!(
        found,
        [
            "the commit record of version 2 is missing",
            "the tag 'best' names version 2, which cannot be read",
        ]
    );
}

#[tokio::test]
async fn names_that_look_like_records_are_told() {
    let table = Broken::fresh().await;
    for name in [
        "v05.metadata.json",
        "V5.metadata.json",
        "v1 .metadata.json",
        "v3.metadata.json.bak",
        "view.metadata.json",
        "notes.json",
    ] {
        fs::write(table.path(&format!("metadata/{name}")), "mine").unwrap();
    }
    let found = table
        .run("SELECT finding FROM atio_check('{t}') ORDER BY 1")
        .await
        .unwrap();
    let ignored =
        |name| format!("'metadata/{name}' is not the name of a commit record, and is ignored");
    assert_eq!(
        found,
        [
            "V5.metadata.json",
            "v05.metadata.json",
            "v1 .metadata.json",
            "v3.metadata.json.bak"
        ]
        .map(ignored)
    );
}

/// The numbers that damage hides are unknown, and the others are told.
#[tokio::test]
async fn stats_of_a_damaged_table_tell_what_can_be_known() {
    let table = Broken::fresh().await;
    let stats = "SELECT rows, small_files, versions, expirable_files FROM atio_stats('{t}')";
    assert_eq!(table.run(stats).await.unwrap(), ["5|2|5|0"]);
    fs::write(table.path(&table.manifest_paths(2)[0]), "").unwrap();
    assert_eq!(table.run(stats).await.unwrap(), ["5|2|5|NULL"]);
    fs::write(table.path(&table.last_manifest()), "").unwrap();
    assert_eq!(table.run(stats).await.unwrap(), ["5|NULL|5|NULL"]);
    let cheap = "SELECT rows, versions FROM atio_stats('{t}')";
    assert_eq!(table.run(cheap).await.unwrap(), ["5|5"]);
    fs::write(table.path(&record(NEWEST)), "").unwrap();
    table.run(cheap).await.unwrap_err();
}
