//! What files and tables are told apart by: the ending of a name, or a word for it.

use std::collections::HashMap;

use clap::ValueEnum;

/// What holds rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Values separated by commas, names in the first line
    Csv,
    /// Values separated by tabs, names in the first line
    Tsv,
    /// An object a line
    Json,
    /// Parquet
    Parquet,
    /// Arrow's file format
    Arrow,
    /// Avro, to read only
    Avro,
    /// Excel, to write only
    Xlsx,
    /// An atio table
    Table,
    /// A table of PostgreSQL: 'env:NAME/table', where the variable NAME holds the URL
    Postgres,
    /// A table of MySQL or MariaDB: 'env:NAME/table'
    Mysql,
    /// A table of SQLite: 'env:NAME/table' or 'file.db/table'
    Sqlite,
}

/// Rows that the columns and types of a text are found by.
const EVERY: &str = "4294967295";

/// How the bytes of a file are packed: its ending, and DataFusion's word for it.
const COMPRESSIONS: [(&str, &str); 4] = [
    ("gz", "gzip"),
    ("bz2", "bzip2"),
    ("xz", "xz"),
    ("zst", "zstd"),
];

impl Format {
    /// By the ending of a name, that of its compression left aside; None if it tells nothing.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        let (name, _) = compression(name);
        let name = name.rsplit('/').next()?;
        // A name that is all ending is hidden, and has none.
        let (_, ending) = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty())?;
        match ending.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "tsv" | "tab" => Some(Self::Tsv),
            "json" | "ndjson" | "jsonl" => Some(Self::Json),
            "parquet" => Some(Self::Parquet),
            "arrow" => Some(Self::Arrow),
            "avro" => Some(Self::Avro),
            "xlsx" => Some(Self::Xlsx),
            _ => None,
        }
    }

    /// What `STORED AS` calls it.
    pub(super) fn stored_as(self) -> &'static str {
        match self {
            Self::Csv | Self::Tsv => "CSV",
            Self::Json => "JSON",
            Self::Parquet => "PARQUET",
            Self::Arrow => "ARROW",
            Self::Avro => "AVRO",
            Self::Xlsx => "XLSX",
            Self::Table => "ATIO",
            Self::Postgres => "POSTGRES",
            Self::Mysql => "MYSQL",
            Self::Sqlite => "SQLITE",
        }
    }

    pub(super) fn is_database(self) -> bool {
        matches!(self, Self::Postgres | Self::Mysql | Self::Sqlite)
    }

    /// True if values are text there, whose type is only guessed.
    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Csv | Self::Tsv | Self::Json)
    }

    /// The options of the engine for reading a file of this name.
    pub(super) fn options_to_read(self, name: &str) -> HashMap<String, String> {
        let mut options = self.options_to_write(name);
        if self.is_text() {
            // A column or a type that only a late row has would be lost, or an error.
            options.insert("format.schema_infer_max_rec".to_owned(), EVERY.to_owned());
        }
        options
    }

    /// The options of the engine for writing a file of this name.
    pub(super) fn options_to_write(self, name: &str) -> HashMap<String, String> {
        let mut options = HashMap::new();
        let mut set = |name: &str, value: &str| {
            options.insert(format!("format.{name}"), value.to_owned());
        };
        if matches!(self, Self::Csv | Self::Tsv) {
            set("has_header", "true");
        }
        if self == Self::Tsv {
            set("delimiter", "\t");
        }
        if self.is_text()
            && let (_, Some(compression)) = compression(name)
        {
            set("compression", compression);
        }
        options
    }
}

/// A name without the ending of its compression, and which that is.
fn compression(name: &str) -> (&str, Option<&'static str>) {
    let found = COMPRESSIONS.iter().find_map(|(ending, compression)| {
        let stem = name.strip_suffix(ending)?.strip_suffix('.')?;
        Some((stem, Some(*compression)))
    });
    found.unwrap_or((name, None))
}
