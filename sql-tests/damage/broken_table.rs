//! A table on disk to break, and the means to forge objects whose checksums are right.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::objects::files;
use crate::query::rows;
use crate::session::Place;

pub(crate) const POINTER: &str = "_current_version.json";
pub(crate) const SUCCESS: &str = "_SUCCESS";

/// What the versions of `Broken::fresh` hold, as `a|b`.
pub(crate) const ROWS: [&[&str]; 5] = [
    &[],
    &["1|one", "2|two"],
    &["1|one", "2|two", "3|three"],
    &["10|ten", "20|twenty", "30|thirty"],
    &["10|ten", "20|twenty", "30|thirty", "40|forty", "50|fifty"],
];
pub(crate) const NEWEST: usize = 4;

/// A directory of its own that holds a table to break.
pub(crate) struct Broken {
    place: Place,
}

impl Broken {
    /// Versions 0 to 4: made, appended to twice, overwritten, appended to.
    pub(crate) async fn fresh() -> Self {
        let table = Self {
            place: Place::disk(),
        };
        let ctx = table.place.session();
        let create =
            "CREATE EXTERNAL TABLE t (a BIGINT, b VARCHAR) STORED AS ATIO LOCATION '{root}/t'";
        rows(&ctx, &create.replace("{root}", &table.place.root())).await;
        rows(&ctx, "INSERT INTO t VALUES (1, 'one'), (2, 'two')").await;
        rows(&ctx, "INSERT INTO t VALUES (3, 'three')").await;
        rows(
            &ctx,
            "INSERT OVERWRITE t VALUES (10, 'ten'), (20, 'twenty'), (30, 'thirty')",
        )
        .await;
        rows(&ctx, "INSERT INTO t VALUES (40, 'forty'), (50, 'fifty')").await;
        assert_eq!(rows(&ctx, "SELECT a, b FROM t").await, ROWS[NEWEST]);
        table
    }

    /// The table `t` of a place on disk, which has a version 4.
    pub(crate) fn of(place: Place) -> Self {
        Self { place }
    }

    /// The same bytes in another directory.
    pub(crate) fn copy(&self) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, bytes) in files(self.place.path()) {
            let to = directory.path().join(name);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::write(to, bytes).unwrap();
        }
        Self {
            place: Place::Disk(Arc::new(directory)),
        }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Where the table is.
    pub(crate) fn root(&self) -> PathBuf {
        PathBuf::from(self.place.root()).join("t")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Runs `sql`, in which `{t}` is the location, in a session that knows nothing yet.
    pub(crate) async fn run(&self, sql: &str) -> Result<Vec<String>, String> {
        let sql = sql.replace("{t}", self.root().to_str().unwrap());
        let ran = crate::session::run(&self.place.session(), &sql).await;
        ran.map(|batches| crate::query::texts(&batches))
            .map_err(|error| error.strip_backtrace())
    }

    /// The rows of the newest version.
    pub(crate) async fn newest(&self) -> Result<Vec<String>, String> {
        self.run("SELECT a, b FROM atio_table('{t}')").await
    }

    /// The rows of a version by number.
    pub(crate) async fn version(&self, version: usize) -> Result<Vec<String>, String> {
        self.run(&format!(
            "SELECT a, b FROM atio_table('{{t}}', version => {version})"
        ))
        .await
    }

    /// Passes if `version` is read by number, with its rows.
    pub(crate) async fn assert_version(&self, version: usize, what: &str) {
        match self.version(version).await {
            Ok(rows) => assert_eq!(rows, ROWS[version], "version {version}, {what}"),
            Err(error) => panic!("version {version}, {what}: {error}"),
        }
    }

    /// Runs one statement on the table, opened as `t` in a session of its own.
    pub(crate) async fn on_t(&self, sql: &str) -> Result<Vec<String>, String> {
        let ctx = self.place.session();
        let open = format!(
            "CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{}'",
            self.root().display()
        );
        crate::session::run(&ctx, &open)
            .await
            .map_err(|error| error.strip_backtrace())?;
        let ran = crate::session::run(&ctx, sql).await;
        ran.map(|batches| crate::query::texts(&batches))
            .map_err(|error| error.strip_backtrace())
    }

    /// Inserts one row.
    pub(crate) async fn append(&self) -> Result<Vec<String>, String> {
        self.on_t("INSERT INTO t VALUES (60, 'sixty')").await
    }

    /// Expires all but the last two versions, for good.
    pub(crate) async fn expire(&self) -> Result<Vec<String>, String> {
        self.run(
            "SELECT path FROM expire_snapshots('{t}', keep_for => INTERVAL '0 days', retain_last => 2, \
             orphan_age => INTERVAL '0 days', dry_run => false)",
        )
        .await
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap()
    }

    pub(crate) fn record(&self, version: usize) -> Value {
        self.json(&record(version))
    }

    pub(crate) fn snapshot_path(&self, version: usize) -> String {
        text(&self.record(version)["snapshot"]["path"])
    }

    pub(crate) fn snapshot(&self, version: usize) -> Value {
        self.json(&self.snapshot_path(version))
    }

    pub(crate) fn schema_path(&self) -> String {
        text(&self.snapshot(NEWEST)["schema"]["path"])
    }

    /// The manifests of a version, in its order.
    pub(crate) fn manifest_paths(&self, version: usize) -> Vec<String> {
        self.snapshot(version)["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .map(text)
            .collect()
    }

    /// The manifest and the data file that version 4 added.
    pub(crate) fn last_manifest(&self) -> String {
        let added = self.record(NEWEST)["changes"]["added"][0]["path"].clone();
        assert!(self.manifest_paths(NEWEST).contains(&text(&added)));
        text(&added)
    }

    pub(crate) fn last_data_file(&self) -> String {
        text(&self.json(&self.last_manifest())["files"][0]["path"])
    }

    /// Writes a record, or another object that protects itself, with the right checksum.
    pub(crate) fn seal(&self, name: &str, mut value: Value) {
        value.as_object_mut().unwrap().remove("checksum");
        let mut bytes = serde_json::to_vec(&value).unwrap();
        assert_eq!(bytes.pop(), Some(b'}'));
        let checksum = checksum(&bytes);
        bytes.extend(format!(",\"checksum\":\"{checksum}\"}}\n").bytes());
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Puts `snapshot` in the place of that of version 4, named by a record that is right.
    pub(crate) fn forge_snapshot(&self, snapshot: &Value) {
        let mut record = self.record(NEWEST);
        let path = text(&record["snapshot"]["path"]);
        record["snapshot"] = self.write_named(&path, snapshot);
        self.seal(&self::record(NEWEST), record);
    }

    /// Puts `manifest` in the place of the last one of version 4, and makes everything that
    /// names it right, the totals included.
    pub(crate) fn forge_manifest(&self, manifest: &Value) {
        let path = self.last_manifest();
        let named = self.write_named(&path, manifest);
        let mut snapshot = self.snapshot(NEWEST);
        let at = self
            .manifest_paths(NEWEST)
            .iter()
            .position(|other| *other == path)
            .unwrap();
        let info = &mut snapshot["manifest_info"][at];
        let entries = manifest["files"].as_array().map_or(&[][..], Vec::as_slice);
        let marked = |entry: &Value| entry["dv"]["rows"].as_u64().unwrap_or(0);
        let live = |entry: &Value| {
            entry["rows"]
                .as_u64()
                .unwrap_or(0)
                .saturating_sub(marked(entry))
        };
        let sum = |of: &dyn Fn(&Value) -> u64| entries.iter().map(of).fold(0, u64::saturating_add);
        let rows = sum(&live);
        let old_rows = info["rows"].as_u64().unwrap();
        let old_files = info["files"].as_u64().unwrap();
        info["size"] = named["size"].clone();
        info["checksum"] = named["checksum"].clone();
        info["files"] = json!(entries.len());
        info["rows"] = json!(rows);
        if info.get("marked").is_some() {
            info["marked"] = json!(sum(&marked));
        }
        let totals = &mut snapshot["totals"];
        let total = |old: &Value, less: u64, more: u64| {
            json!((old.as_u64().unwrap() - less).saturating_add(more))
        };
        totals["rows"] = total(&totals["rows"], old_rows, rows);
        totals["files"] = total(&totals["files"], old_files, entries.len() as u64);
        let mut record = self.record(NEWEST);
        record["changes"]["added"][0] = named;
        record["added"]["rows"] = json!(rows);
        record["added"]["files"] = json!(entries.len());
        self.seal(&self::record(NEWEST), record);
        self.forge_snapshot(&snapshot);
    }

    /// Writes an object and returns how others name it.
    pub(crate) fn write_named(&self, path: &str, value: &Value) -> Value {
        let bytes = serde_json::to_vec(value).unwrap();
        fs::write(self.path(path), &bytes).unwrap();
        json!({"path": path, "size": bytes.len(), "checksum": checksum(&bytes)})
    }
}

pub(crate) fn record(version: usize) -> String {
    format!("metadata/v{version}.metadata.json")
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

pub(crate) fn checksum(bytes: &[u8]) -> String {
    format!("crc32c:{:08x}", crc32c::crc32c(bytes))
}

/// The last part of a path, which a message must at least name.
pub(crate) fn file_name(path: &str) -> &str {
    Path::new(path).file_name().unwrap().to_str().unwrap()
}
