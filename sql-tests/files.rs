//! Files that COPY writes: there completely or not at all.

#![cfg(test)]

pub(crate) mod add_to_directory;
mod concurrent_writers;
#[cfg(target_os = "linux")]
mod crashes;
mod directories;
mod execution;
mod failing_queries;
mod formats;
mod missing_directories;
mod object_stores;
#[cfg(target_os = "linux")]
pub(crate) mod replacements;
mod rust_api;

use std::path::{Path, PathBuf};

use datafusion::prelude::{SessionConfig, SessionContext};

use crate::query::rows;

pub(super) const FORMATS: [&str; 4] = ["csv", "json", "parquet", "arrow"];
/// Those that can be one file, and nothing else of which is the same.
const WITH_XLSX: [&str; 5] = ["csv", "json", "parquet", "arrow", "xlsx"];
/// Rows enough for several batches.
const MANY: i64 = 30_000;

/// A directory, and sessions that write in it.
pub(super) struct Place(tempfile::TempDir);

impl Place {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Everything in the directory, hidden or not.
    pub(super) fn names(&self) -> Vec<String> {
        names(self.0.path())
    }

    /// Waits until the directory holds `expected` alone.
    pub(super) async fn assert_soon(&self, expected: &[&str]) {
        for _ in 0..250 {
            if self.names() == expected {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(self.names(), expected);
    }
}

pub(super) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

pub(super) fn session(partitions: usize) -> SessionContext {
    let config = SessionConfig::new()
        .with_target_partitions(partitions)
        .with_batch_size(1024);
    let ctx = SessionContext::new_with_config(config);
    atio::register(&ctx).unwrap();
    ctx
}

/// COPY of a query.
pub(super) fn copy(query: &str, to: &str, format: &str, options: &str) -> String {
    let options = match options {
        "" => String::new(),
        options => format!(" OPTIONS ({options})"),
    };
    format!("COPY ({query}) TO '{to}' STORED AS {format}{options}")
}

/// The same, in place of what is there, and with a marker.
pub(super) fn marked(query: &str, to: &str, format: &str, options: &str) -> String {
    let mut all = vec!["'atio.marker' 'true'"];
    if !options.contains("if_exists") {
        all.push("'atio.if_exists' 'replace'");
    }
    all.extend((!options.is_empty()).then_some(options));
    copy(query, to, format, &all.join(", "))
}

/// Rows from 1 to `n`, of which each says `n`.
pub(super) fn numbers(n: i64) -> String {
    format!("SELECT value AS i, {n} AS n, 'text ' || value AS s FROM generate_series(1, {n})")
}

/// How many rows there are, how many different ones, and what they say; read by a session
/// that knows nothing of atio, and of XLSX by another library.
pub(super) async fn read(path: &str, format: &str) -> String {
    if format == "xlsx" {
        return read_sheet(path);
    }
    let ctx = SessionContext::new();
    let create = format!("CREATE EXTERNAL TABLE r STORED AS {format} LOCATION '{path}'");
    rows(&ctx, &create).await;
    let sql = "SELECT count(*), count(DISTINCT i), max(n), min(n) FROM r";
    rows(&ctx, sql).await.join("; ")
}

fn read_sheet(path: &str) -> String {
    use calamine::{Data, Reader};
    let mut book: calamine::Xlsx<_> = calamine::open_workbook(path).unwrap();
    let (_, sheet) = book.worksheets().remove(0);
    let header: Vec<_> = sheet.headers().unwrap();
    assert_eq!(header, ["i", "n", "s"]);
    let (mut is, mut ns) = (std::collections::BTreeSet::new(), Vec::new());
    for row in sheet.rows().skip(1) {
        let number = |at: usize| match row[at] {
            Data::Float(number) => number as i64,
            Data::Int(number) => number,
            ref other => panic!("{other:?}"),
        };
        assert_eq!(row[2].to_string(), format!("text {}", number(0)));
        is.insert(number(0));
        ns.push(number(1));
    }
    let (least, most) = (ns.iter().min().unwrap(), ns.iter().max().unwrap());
    format!("{}|{}|{most}|{least}", ns.len(), is.len())
}

/// What `read` says of [`numbers`].
pub(super) fn said(n: i64) -> String {
    let n = n.to_string();
    [n.as_str(); 4].join("|")
}

/// CRC-32C as a marker tells it, bit by bit as its definition (RFC 3720, appendix B.4) has it.
pub(crate) fn crc32c(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap();
    let table: Vec<u32> = (0..256)
        .map(|byte| {
            let step = |sum: u32, _| (sum >> 1) ^ (0x82f6_3b78 * (sum & 1));
            (0..8).fold(byte, step)
        })
        .collect();
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| {
        (sum >> 8) ^ table[usize::from(sum as u8 ^ byte)]
    });
    format!("crc32c:{:08x}", !sum)
}

/// As `sha256sum` prints it.
pub(super) fn sha256sum(path: &Path) -> String {
    let out = std::process::Command::new("sha256sum")
        .arg(path)
        .output()
        .unwrap();
    let out = String::from_utf8(out.stdout).unwrap();
    out.split(' ').next().unwrap().to_owned()
}
