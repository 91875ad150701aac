//! The engine's own settings, looked at before its writers and readers are given them: with
//! some of them these panic, and with others they never end.

use std::panic::AssertUnwindSafe;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::DataFusionError;
use datafusion::common::file_options::parquet_writer::parse_compression_string;
use datafusion::config::{ExecutionOptions, ParquetOptions, TableParquetOptions};
use futures::FutureExt;
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::Type;
use parquet::schema::types::ColumnDescriptor;

use crate::error::{Error, Result};

const EXECUTION: &str = "datafusion.execution.";
const PARQUET: &str = "datafusion.execution.parquet.";
/// Files that are written at once, and batches that wait for one, are no more than this.
const AT_ONCE: usize = 65_536;

/// Fails if the engine's writers cannot work with `settings`, whatever the format.
pub(crate) fn check_output(settings: &ExecutionOptions) -> Result<()> {
    let files = settings.minimum_parallel_output_files.get();
    let batches = settings.max_buffered_batches_per_output_file.get();
    for (name, value, least, most) in [
        ("minimum_parallel_output_files", files, 1, AT_ONCE),
        ("max_buffered_batches_per_output_file", batches, 2, AT_ONCE),
        (
            "objectstore_writer_buffer_size",
            settings.objectstore_writer_buffer_size,
            1,
            usize::MAX,
        ),
    ] {
        check_range((EXECUTION, name), value, least, most)?;
    }
    Ok(())
}

/// Fails if the engine's Parquet writer cannot write columns of `schema` with `options`.
pub(crate) fn check_parquet_writer(options: &TableParquetOptions, schema: &Schema) -> Result<()> {
    let global = &options.global;
    let any = usize::MAX;
    // The engine writes a file by one task otherwise, which asks for neither of the last two.
    let parallel = global.allow_single_file_parallelism && !global.content_defined_chunking.enabled;
    for (name, value, most) in [
        ("max_row_group_size", Some(global.max_row_group_size), any),
        ("write_batch_size", Some(global.write_batch_size), any),
        (
            "data_page_row_count_limit",
            Some(global.data_page_row_count_limit),
            any,
        ),
        (
            "statistics_truncate_length",
            global.statistics_truncate_length,
            any,
        ),
        (
            "column_index_truncate_length",
            global.column_index_truncate_length,
            any,
        ),
        (
            "maximum_parallel_row_group_writers",
            parallel.then_some(global.maximum_parallel_row_group_writers),
            AT_ONCE,
        ),
        (
            "maximum_buffered_record_batches_per_stream",
            parallel.then_some(global.maximum_buffered_record_batches_per_stream),
            AT_ONCE,
        ),
    ] {
        if let Some(value) = value {
            check_range((PARQUET, name), value, 1, most)?;
        }
    }
    check_chunking(global)?;
    check_compression("compression", global.compression.as_deref())?;
    check_fpp("bloom_filter_fpp", global.bloom_filter_fpp)?;
    for (column, options) in &options.column_specific_options {
        let compression = format!("compression::{column}");
        check_compression(&compression, options.compression.as_deref())?;
        check_fpp(
            &format!("bloom_filter_fpp::{column}"),
            options.bloom_filter_fpp,
        )?;
    }
    check_encodings(options, schema)
}

/// Fails if the engine's Parquet reader cannot work with `settings`.
pub(crate) fn check_parquet_reader(settings: &ParquetOptions) -> Result<()> {
    let units = ["ns", "us", "ms", "s"];
    match &settings.coerce_int96 {
        Some(unit) if !units.contains(&unit.to_lowercase().as_str()) => Err(wrong(
            (PARQUET, "coerce_int96"),
            &format!("'{}'", unit.escape_debug()),
            "it is one of ns, us, ms and s",
        )),
        _ => Ok(()),
    }
}

/// Fails if `text` is no compression of Parquet.
pub(crate) fn parse_compression(text: &str) -> datafusion::common::Result<()> {
    // The engine leaves quotes out, and cuts off what it takes for the closing parenthesis.
    let plain = text.replace('\'', "");
    match plain.split_once('(') {
        Some((_, level)) if !level.ends_with(')') => Err(DataFusionError::Configuration(format!(
            "the level of the compression '{}' does not end with a parenthesis",
            text.escape_debug()
        ))),
        _ => parse_compression_string(text).map(drop),
    }
}

/// Runs a writer of the engine for `target`. A panic of it is an error like any other.
pub(crate) async fn without_panic<T>(
    target: &str,
    writer: impl Future<Output = datafusion::common::Result<T>>,
) -> datafusion::common::Result<T> {
    let ended = AssertUnwindSafe(writer).catch_unwind().await;
    ended.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let said = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Error::invalid(format!(
            "writing {target} panicked: {}; nothing was written. A function of the query may be the cause, or a setting of the engine under {EXECUTION}",
            said.unwrap_or("it does not say why").escape_debug()
        ))
        .into())
    })
}

fn check_compression(name: &str, text: Option<&str>) -> Result<()> {
    let Some(Err(error)) = text.map(parse_compression) else {
        return Ok(());
    };
    let shown = format!("'{}'", text.unwrap_or_default().escape_debug());
    Err(wrong((PARQUET, name), &shown, &error.strip_backtrace()))
}

fn check_chunking(global: &ParquetOptions) -> Result<()> {
    let chunks = &global.content_defined_chunking;
    let name = |name| format!("content_defined_chunking.{name}");
    if !chunks.enabled {
        return Ok(());
    }
    let (least, most) = (chunks.min_chunk_size, chunks.max_chunk_size);
    check_range((PARQUET, &name("min_chunk_size")), least, 1, usize::MAX)?;
    match most > least {
        true => Ok(()),
        false => Err(wrong(
            (PARQUET, &name("max_chunk_size")),
            &most.to_string(),
            &format!("it must be above min_chunk_size, which is {least}"),
        )),
    }
}

fn check_fpp(name: &str, value: Option<f64>) -> Result<()> {
    match value {
        Some(value) if !(value > 0.0 && value < 1.0) => Err(wrong(
            (PARQUET, name),
            &value.to_string(),
            "it must be above 0 and below 1",
        )),
        _ => Ok(()),
    }
}

/// Each column in a file has the encoding that is set for it, or else that of all.
fn check_encodings(options: &TableParquetOptions, schema: &Schema) -> Result<()> {
    let any = (options.column_specific_options.values()).any(|of| of.encoding.is_some());
    if options.global.encoding.is_none() && !any {
        return Ok(());
    }
    let columns = ArrowSchemaConverter::new().convert(schema);
    let columns = columns.map_err(|error| {
        Error::invalid("the columns are not Parquet's to write").with_source(error)
    })?;
    for column in columns.columns() {
        let path = column.path().string();
        let own = options.column_specific_options.get(&path);
        let own = own.and_then(|own| own.encoding.as_deref());
        if let Some(encoding) = own.or(options.global.encoding.as_deref()) {
            let name = match own {
                Some(_) => format!("encoding::{path}"),
                None => "encoding".to_owned(),
            };
            check_encoding(&name, encoding, column)?;
        }
    }
    Ok(())
}

fn check_encoding(name: &str, encoding: &str, column: &ColumnDescriptor) -> Result<()> {
    use Type::{BOOLEAN, BYTE_ARRAY, DOUBLE, FIXED_LEN_BYTE_ARRAY, FLOAT, INT32, INT64};

    let fits: &[Type] = match encoding.to_lowercase().as_str() {
        "plain" => return Ok(()),
        "rle" => &[BOOLEAN],
        "delta_binary_packed" => &[INT32, INT64],
        "delta_length_byte_array" => &[BYTE_ARRAY],
        "delta_byte_array" => &[BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY],
        "byte_stream_split" => &[INT32, INT64, FLOAT, DOUBLE, FIXED_LEN_BYTE_ARRAY],
        _ => &[],
    };
    if fits.contains(&column.physical_type()) {
        return Ok(());
    }
    let shown = format!("'{}'", encoding.escape_debug());
    let why = match (fits, encoding.to_lowercase().ends_with("dictionary")) {
        ([], true) => "dictionaries are made by dictionary_enabled".to_owned(),
        ([], false) => "it is one of plain, rle, delta_binary_packed, delta_length_byte_array, delta_byte_array and byte_stream_split".to_owned(),
        _ => {
            let fits: Vec<_> = fits.iter().map(ToString::to_string).collect();
            format!(
                "column {} is stored as {}, and this encodes {} alone",
                column.path().string(),
                column.physical_type(),
                fits.join(", ")
            )
        }
    };
    Err(wrong((PARQUET, name), &shown, &why))
}

fn check_range(
    (prefix, name): (&str, &str),
    value: usize,
    least: usize,
    most: usize,
) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let why = match most {
        usize::MAX => format!("it must be at least {least}"),
        most => format!("it must be from {least} to {most}"),
    };
    Err(wrong((prefix, name), &value.to_string(), &why))
}

/// An option of COPY or of a table has the same last name as the setting. Only options are for
/// one column.
fn wrong((prefix, name): (&str, &str), value: &str, why: &str) -> Error {
    let mend = match name.contains("::") {
        true => "give the option another value, or leave it out".to_owned(),
        false => format!(
            "give the option of the statement another value or, where it has none, SET {prefix}{name} to one, or RESET it"
        ),
    };
    Error::invalid(format!("{name} cannot be {value}: {why}; {mend}"))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{DataType, Field};

    use super::*;

    #[tokio::test]
    async fn a_panic_of_a_writer_is_an_error_that_says_what_it_said() {
        for (panics, said) in [(true, "no space"), (false, "done")] {
            let writer = async move {
                assert!(!panics, "no space");
                Ok("done")
            };
            match without_panic("x.csv", writer).await {
                Ok(done) => assert_eq!(done, said),
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.contains("x.csv panicked: no space;"), "{text}");
                }
            }
        }
    }

    #[test]
    fn an_encoding_that_is_set_for_a_column_must_fit_that_column() {
        let schema = Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("s", DataType::Utf8, true),
        ]);
        let mut options = TableParquetOptions::default();
        let column = options.column_specific_options.entry("n".to_owned());
        column.or_default().encoding = Some("delta_binary_packed".to_owned());
        check_parquet_writer(&options, &schema).unwrap();
        let column = options.column_specific_options.entry("s".to_owned());
        column.or_default().encoding = Some("delta_binary_packed".to_owned());
        let error = check_parquet_writer(&options, &schema).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("encoding::s cannot be"), "{text}");
        assert!(text.contains("column s is stored as BYTE_ARRAY"), "{text}");
    }
}
