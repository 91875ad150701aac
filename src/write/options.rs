//! Options of a table: how its data files are written, and how rows of them go.

use std::collections::{BTreeMap, HashMap};

use atio_core::format::snapshot::{COMPATIBILITY, FORMAT_1};
use atio_core::log::OpenOptions;
use datafusion::config::{MaxRowGroupBytes, ParquetOptions, TableParquetOptions};

use crate::delete_mode::DeleteMode;
use crate::engine_settings::parse_compression;
use crate::error::{Error, Result};
use crate::spelling::is_close;

/// In SQL every option of atio begins with this.
const PREFIX: &str = "atio.";
const COMPRESSION: &str = "compression";
const TARGET_FILE_SIZE: &str = "target_file_size";
const ROW_GROUP_ROWS: &str = "max_row_group_rows";
const DELETE_MODE: &str = "delete_mode";
/// A row group takes at most this part of a memory that is limited: queries need the rest.
const ROW_GROUP_SHARE: usize = 8;
const NAMES: [&str; 5] = [
    COMPRESSION,
    TARGET_FILE_SIZE,
    ROW_GROUP_ROWS,
    DELETE_MODE,
    COMPATIBILITY,
];

/// How data files are written, and how rows of them go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableOptions {
    /// As Parquet names it: `zstd(3)`, `snappy`, `lz4_raw`, `uncompressed` ...
    compression: String,
    /// A data file is ended once it has about so many bytes.
    pub(crate) target_file_size: u64,
    max_row_group_rows: Option<usize>,
    delete_mode: DeleteMode,
    /// Programs read it that know no row as deleted.
    has_old_readers: bool,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            compression: "zstd(3)".to_owned(),
            target_file_size: 256 * 1024 * 1024,
            max_row_group_rows: None,
            delete_mode: DeleteMode::default(),
            has_old_readers: false,
        }
    }
}

impl TableOptions {
    /// A file of fewer bytes is small: two of them fit into one.
    pub(crate) fn small_file_size(&self) -> u64 {
        self.target_file_size / 2
    }

    /// Reads options as a snapshot keeps them; unknown ones are somebody else's.
    pub(crate) fn of_table(options: &BTreeMap<String, String>) -> Result<Self> {
        let mut parsed = Self::default();
        for (name, value) in options {
            if !NAMES.contains(&name.as_str()) {
                continue;
            }
            match parsed.set(name, value) {
                // A newer release has more of them; each gives the same rows.
                Err(error) if name == DELETE_MODE => {
                    log::warn!("{error}; what goes is marked or written anew as by default");
                }
                set => set?,
            }
        }
        Ok(parsed)
    }

    /// Fails if there is one that is not known, or has a value that cannot be.
    pub(crate) fn check(options: &BTreeMap<String, String>) -> Result<()> {
        let mut parsed = Self::default();
        for (name, value) in options {
            match NAMES.contains(&name.as_str()) {
                true => parsed.set(name, value)?,
                false => return Err(unknown(name)),
            }
        }
        Ok(())
    }

    /// Takes the options of a CREATE statement, checked: those that a snapshot keeps, as it
    /// keeps them, and those of opening the table.
    pub(crate) fn of_statement(
        options: &HashMap<String, String>,
    ) -> Result<(BTreeMap<String, String>, OpenOptions)> {
        let mut parsed = Self::default();
        let mut kept = BTreeMap::new();
        let mut opening = OpenOptions::default();
        for (key, value) in options {
            let name = key.strip_prefix(PREFIX).unwrap_or_default();
            if NAMES.contains(&name) {
                parsed.set(name, value)?;
                // As it is always written, in whatever case it was given.
                let value = match name {
                    DELETE_MODE => parsed.delete_mode.to_string(),
                    _ => value.clone(),
                };
                kept.insert(name.to_owned(), value);
            } else if OpenOptions::NAMES.contains(&name) {
                opening.set(name, value)?;
            } else {
                return Err(unknown(key));
            }
        }
        Ok((kept, opening))
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let number = || {
            value
                .parse::<u64>()
                .ok()
                .filter(|number| *number > 0)
                .ok_or_else(|| {
                    Error::invalid(format!(
                        "option '{PREFIX}{name}': '{}' is not a positive number{}",
                        value.escape_debug(),
                        match name {
                            TARGET_FILE_SIZE => " of bytes, such as 134217728",
                            _ => "",
                        }
                    ))
                })
        };
        match name {
            COMPRESSION => {
                self.compression = value.to_owned();
                self.check_compression()?;
            }
            TARGET_FILE_SIZE => self.target_file_size = number()?,
            DELETE_MODE => {
                let mode = value.parse();
                self.delete_mode =
                    mode.map_err(|error: Error| error.context(format!("option '{PREFIX}{name}'")))?;
            }
            COMPATIBILITY if value == FORMAT_1 => self.has_old_readers = true,
            COMPATIBILITY => {
                return Err(Error::invalid(format!(
                    "option '{PREFIX}{name}': there is no compatibility '{}': it is {FORMAT_1}, or left out",
                    value.escape_debug()
                )));
            }
            _ => self.max_row_group_rows = usize::try_from(number()?).ok(),
        }
        Ok(())
    }

    /// How rows go of files of which others stay, where the session asks for `mode`.
    pub(crate) fn delete_mode(&self, mode: Option<DeleteMode>) -> DeleteMode {
        match self.has_old_readers {
            true => DeleteMode::Rewrite,
            false => mode.unwrap_or(self.delete_mode),
        }
    }

    fn check_compression(&self) -> Result<()> {
        parse_compression(&self.compression).map_err(|error| {
            Error::invalid(format!("option '{PREFIX}{COMPRESSION}'")).with_source(error)
        })
    }

    /// The options of the Parquet writer, on top of those of the session, whose queries have
    /// `memory` bytes where that is limited.
    ///
    /// A row group is in memory until it is whole, and its size in rows says little of its
    /// bytes; the writer that works in parallel counts rows alone.
    pub(crate) fn parquet(
        &self,
        session: &ParquetOptions,
        memory: Option<usize>,
    ) -> TableParquetOptions {
        let mut global = session.clone();
        if let Some(memory) = memory {
            let share = MaxRowGroupBytes::try_new(memory / ROW_GROUP_SHARE);
            global.max_row_group_bytes = global.max_row_group_bytes.or(share.ok());
            global.allow_single_file_parallelism = false;
        }
        global.compression = Some(self.compression.clone());
        global.skip_arrow_metadata = false;
        if let Some(rows) = self.max_row_group_rows {
            global.max_row_group_size = rows;
        }
        TableParquetOptions {
            global,
            ..TableParquetOptions::default()
        }
    }
}

fn unknown(key: &str) -> Error {
    // Before it comes here an option without a dot is given the prefix "format.".
    let last = key.rsplit('.').next().unwrap_or(key);
    let known = || NAMES.iter().chain(&OpenOptions::NAMES);
    let names: Vec<_> = known().map(|name| format!("'{PREFIX}{name}'")).collect();
    let meant = known().find(|name| is_close(last, name));
    let meant = meant.map_or("; the".to_owned(), |name| {
        format!(": did you mean '{PREFIX}{name}'? The")
    });
    Error::invalid(format!(
        "unknown option '{}'{meant} options of a table are {}",
        key.strip_prefix("format.").unwrap_or(key).escape_debug(),
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_told_what_was_meant() {
        for (key, meant) in [
            ("format.compresion", Some("'atio.compression'?")),
            ("atio.compression_", Some("'atio.compression'?")),
            ("target_file_size", Some("'atio.target_file_size'?")),
            ("atio.max_row_group_row", Some("'atio.max_row_group_rows'?")),
            ("atio.partitions", None),
            ("format.delimiter", None),
            ("", None),
        ] {
            let error = unknown(key).to_string();
            let said = error
                .split_once("did you mean ")
                .and_then(|(_, rest)| rest.split_once(' '))
                .map(|(meant, _)| meant);
            assert_eq!(said, meant, "{error}");
        }
    }
}
