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
use crate::features;

/// Names of formats, and what to use instead.
const NAMES: [(&str, &str); 18] = [
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
    ("mysql", ""),
    (
        "ndjson",
        "the format is called JSON, and writes one object a line",
    ),
    ("ods", ""),
    ("orc", ""),
    ("postgres", ""),
    ("sqlite", ""),
    (
        "tsv",
        "use STORED AS CSV with the option 'format.delimiter' and a tab",
    ),
    ("xls", ""),
    ("xlsx", ""),
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
        if let Some(feature) = features::of_format(self.name) {
            let what = format!("COPY .. STORED AS {}", self.name.to_uppercase());
            return features::needs(&what, feature);
        }
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

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;
    use crate::sql::copy::PublishCopies;

    /// In a session as a build without any feature makes it.
    #[tokio::test]
    async fn copy_to_a_format_that_is_left_out_names_its_feature() {
        let ctx = SessionContext::new();
        for format in NoFormat::all() {
            let state = ctx.state_ref();
            let mut state = state.write();
            state.register_file_format(Arc::new(format), false).ok();
        }
        ctx.add_analyzer_rule(Arc::new(PublishCopies));
        for (format, feature) in [
            ("XLSX", "xlsx"),
            ("POSTGRES", "postgres"),
            ("SQLITE", "sqlite"),
            ("MYSQL", "mysql"),
        ] {
            let copy = format!("COPY (SELECT 1 AS a) TO 'left/out' STORED AS {format}");
            let error = ctx.sql(&copy).await.unwrap().collect().await.unwrap_err();
            let told = format!(
                "COPY .. STORED AS {format} needs the feature '{feature}' of the crate atio"
            );
            assert!(error.to_string().contains(&told), "{error}");
        }
    }
}
