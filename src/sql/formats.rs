//! Formats that COPY cannot write, by the names that people try.
//!
//! DataFusion takes a name after STORED AS that it does not know for none, and goes by the
//! ending of the target: `COPY t TO 'a.csv' STORED AS AVRO` wrote CSV.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::GetExt;
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::file_format::{FileFormat, FileFormatFactory};
use datafusion::error::Result;

use crate::error::Error;

/// Names of formats, and what to use instead.
const NAMES: [(&str, &str); 16] = [
    (
        "atio",
        "a table is written by INSERT INTO, after CREATE EXTERNAL TABLE .. STORED AS ATIO",
    ),
    ("avro", ""),
    ("excel", "the format is called XLSX"),
    ("feather", "the format is called ARROW"),
    ("html", ""),
    ("ipc", "the format is called ARROW"),
    (
        "jsonl",
        "the format is called JSON, and writes one object a line",
    ),
    (
        "ndjson",
        "the format is called JSON, and writes one object a line",
    ),
    ("ods", ""),
    ("orc", ""),
    ("sqlite", ""),
    (
        "tsv",
        "use STORED AS CSV with the option 'format.delimiter' and a tab",
    ),
    ("xls", ""),
    (
        "xlsx",
        "this build of atio is without its cargo feature 'xlsx'",
    ),
    ("xml", ""),
    ("yaml", ""),
];

/// A format that is known by name alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct NoFormat {
    name: &'static str,
    instead: &'static str,
}

impl NoFormat {
    /// All of them. A session that knows one of the formats keeps it.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        NAMES
            .into_iter()
            .map(|(name, instead)| Self { name, instead })
    }

    pub(super) fn refused(self) -> Error {
        let colon = if self.instead.is_empty() { "" } else { ": " };
        Error::unsupported(format!(
            "COPY cannot write the format {} in this session{colon}{}",
            self.name.to_uppercase(),
            self.instead
        ))
    }
}

impl GetExt for NoFormat {
    fn get_ext(&self) -> String {
        self.name.to_owned()
    }
}

impl FileFormatFactory for NoFormat {
    fn create(&self, _: &dyn Session, _: &HashMap<String, String>) -> Result<Arc<dyn FileFormat>> {
        Err(self.refused().into())
    }

    /// Of no use without [`create`](Self::create), which fails.
    fn default(&self) -> Arc<dyn FileFormat> {
        Arc::new(ArrowFormat)
    }
}
