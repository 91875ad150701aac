//! COPY, and what `DataFrame::write_*` make of it: published as a whole, or not at all.
//!
//! An analyzer rule puts a file type of ours around the engine's in each COPY of a plan, so
//! that reading and INSERT are not touched. It changes what it is told once: a plan that is
//! analysed again stays as it is.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::file_options::file_type::FileType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{GetExt, Statistics};
use datafusion::config::ConfigOptions;
use datafusion::datasource::file_format::arrow::ArrowFormatFactory;
use datafusion::datasource::file_format::csv::CsvFormatFactory;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonFormatFactory;
use datafusion::datasource::file_format::parquet::{ParquetFormat, ParquetFormatFactory};
use datafusion::datasource::file_format::write::get_writer_schema;
use datafusion::datasource::file_format::{
    FileFormat, FileFormatFactory, file_type_to_format, format_as_file_type,
};
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::datasource::physical_plan::{
    FileOutputMode, FileScanConfig, FileSinkConfig, FileSource,
};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::dml::CopyTo;
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_expr::LexRequirement;
use datafusion::physical_plan::ExecutionPlan;
use object_store::{ObjectMeta, ObjectStore};

use super::copy_checks::{self, Values};
use super::formats::NoFormat;
use super::publish::{Job, PublishExec, STAGING_URL};
use super::target::{CopyTarget, shape};
use crate::engine_settings::check_parquet_writer;
use crate::error::{self, Error, Result as AtioResult};
use crate::file::{FileOptions, Marking, OUT, Shape};

const SINGLE_FILE: &str = "single_file_output";
const COMPRESSION: &str = "format.compression";
const KEEP_COLUMNS: &str = "execution.keep_partition_by_columns";

/// The analyzer rule that makes each COPY of a statement atomic.
#[derive(Debug)]
pub(super) struct PublishCopies;

impl AnalyzerRule for PublishCopies {
    fn name(&self) -> &str {
        "atio_publish_copies"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = plan.transform_down_with_subqueries(|node| match node {
            LogicalPlan::Copy(copy) => Ok(match wrap(copy, FileOptions::default())? {
                (copy, true) => Transformed::yes(LogicalPlan::Copy(copy)),
                (copy, false) => Transformed::no(LogicalPlan::Copy(copy)),
            }),
            node => Ok(Transformed::no(node)),
        })?;
        Ok(plan.data)
    }
}

/// Checks a COPY and puts our file type around that of the engine, with the options of ours
/// that are among its own on top of `options`; true if that changed anything.
pub(super) fn wrap(mut copy: CopyTo, mut options: FileOptions) -> Result<(CopyTo, bool)> {
    #[cfg(any(feature = "postgres", feature = "sqlite", feature = "mysql"))]
    if crate::database::is_database(&copy.file_type) {
        return Ok((copy, false));
    }
    // Of a kind that the engine does not know, either.
    let Ok(inner) = file_type_to_format(&copy.file_type) else {
        return Ok((copy, false));
    };
    if inner.is::<AtioFormatFactory>() {
        return Ok((copy, false));
    }
    if let Some(none) = inner.downcast_ref::<NoFormat>() {
        return Err(none.refused().into());
    }
    let format = inner.get_ext().to_lowercase();
    if !is_published(inner.as_ref()) {
        return match copy.options.keys().find(|key| FileOptions::is_ours(key)) {
            None => Ok((copy, false)),
            Some(key) => Err(Error::unsupported(format!(
                "{} is written in a way of its own, which takes no option '{}'",
                format.to_uppercase(),
                key.escape_debug()
            ))
            .into()),
        };
    }
    let target = CopyTarget::parse(&copy.output_url)?;
    let mut keep_columns = false;
    let mut ours = BTreeSet::new();
    for (key, value) in std::mem::take(&mut copy.options) {
        if let Some(name) = FileOptions::name_of(&key) {
            if !ours.insert(name.to_owned()) {
                return Err(Error::invalid(format!("option 'atio.{name}' is given twice")).into());
            }
            options.set(name, &value)?;
            continue;
        }
        if key == format!("format.{SINGLE_FILE}") {
            // In SQL it gets the beginning of an option of the format.
            copy.options.insert(SINGLE_FILE.to_owned(), value);
            continue;
        }
        if key == KEEP_COLUMNS {
            keep_columns = value.trim() == "true";
        } else if key.starts_with("execution.") || (format == "arrow" && key != SINGLE_FILE) {
            // The engine would pass over it without a word.
            return Err(copy_checks::unknown_option(&key, &format).into());
        }
        copy.options.insert(key, value);
    }
    let single_file = copy
        .options
        .get(SINGLE_FILE)
        .map(|value| value.trim() == "true");
    let shape = shape(&copy.output_url, single_file, !copy.partition_by.is_empty());
    options.check(shape)?;
    if let (Marking::At(_), CopyTarget::Store(_)) = (&options.marker, &target) {
        return Err(Error::unsupported(format!(
            "the marker of {} lies beside it: for a target on an object store 'atio.marker' is 'true' or 'false'",
            target.shown()
        ))
        .into());
    }
    if options.backup && shape == Shape::Folder && matches!(target, CopyTarget::Store(_)) {
        return Err(Error::unsupported(format!(
            "cannot back up {}: of a directory on an object store no backup is kept; leave out the option 'atio.backup'",
            target.shown()
        ))
        .into());
    }
    copy_checks::schema(
        copy.input.schema(),
        &format,
        &copy.partition_by,
        keep_columns,
    )?;
    let factory = AtioFormatFactory(Arc::new(Wrapped {
        inner,
        target,
        shape,
        options,
    }));
    copy.file_type = format_as_file_type(Arc::new(factory)) as Arc<dyn FileType>;
    Ok((copy, true))
}

/// True for formats that write to the store that they are given; those of other libraries may
/// write in a way of their own.
fn is_published(factory: &dyn FileFormatFactory) -> bool {
    #[cfg(feature = "xlsx")]
    if crate::file::is_xlsx(factory) {
        return true;
    }
    factory.is::<CsvFormatFactory>()
        || factory.is::<JsonFormatFactory>()
        || factory.is::<ParquetFormatFactory>()
        || factory.is::<ArrowFormatFactory>()
}

/// The format of a COPY, and all that is to be known beside it.
struct Wrapped {
    inner: Arc<dyn FileFormatFactory>,
    target: CopyTarget,
    shape: Shape,
    options: FileOptions,
}

impl Wrapped {
    /// The compression that the name of the target tells of, where nothing else does: formats
    /// that a `DataFrame` is written with may come with options of their own.
    fn compression(&self) -> Option<&'static str> {
        let csv = self.inner.downcast_ref::<CsvFormatFactory>();
        let json = self.inner.downcast_ref::<JsonFormatFactory>();
        let plain = csv.is_some_and(|csv| csv.options.is_none())
            || json.is_some_and(|json| json.options.is_none());
        match self.shape {
            Shape::File if plain => split_compression(&self.target.shown()).1,
            _ => None,
        }
    }
}

/// A name without the ending of its compression, and what `COPY` calls that.
pub(super) fn split_compression(name: &str) -> (&str, Option<&'static str>) {
    let Some((stem, ending)) = name.rsplit_once('.') else {
        return (name, None);
    };
    match ending.to_ascii_lowercase().as_str() {
        "gz" => (stem, Some("gzip")),
        "bz2" => (stem, Some("bzip2")),
        "xz" => (stem, Some("xz")),
        "zst" => (stem, Some("zstd")),
        _ => (name, None),
    }
}

struct AtioFormatFactory(Arc<Wrapped>);

impl GetExt for AtioFormatFactory {
    fn get_ext(&self) -> String {
        self.0.inner.get_ext()
    }
}

impl FileFormatFactory for AtioFormatFactory {
    fn create(
        &self,
        state: &dyn Session,
        options: &HashMap<String, String>,
    ) -> Result<Arc<dyn FileFormat>> {
        let mut inner = self.0.inner.create(state, options)?;
        if !options.contains_key(COMPRESSION)
            && let Some(compression) = self.0.compression()
        {
            let mut options = options.clone();
            options.insert(COMPRESSION.to_owned(), compression.to_owned());
            inner = self.0.inner.create(state, &options)?;
        }
        Ok(Arc::new(AtioFormat {
            inner,
            wrapped: Arc::clone(&self.0),
        }))
    }

    fn default(&self) -> Arc<dyn FileFormat> {
        self.0.inner.default()
    }
}

impl fmt::Debug for AtioFormatFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AtioFormatFactory({})", self.0.inner.get_ext())
    }
}

/// Writes as the format inside does, and publishes; everything else it leaves to it.
struct AtioFormat {
    inner: Arc<dyn FileFormat>,
    wrapped: Arc<Wrapped>,
}

impl fmt::Debug for AtioFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AtioFormat({:?})", self.inner)
    }
}

impl AtioFormat {
    /// What the writer inside is told: to write to the store that takes it in.
    fn staged(&self, config: &FileSinkConfig) -> AtioResult<FileSinkConfig> {
        let (ending, mode) = match self.wrapped.shape {
            Shape::File => ("", FileOutputMode::SingleFile),
            Shape::Folder => ("/", FileOutputMode::Directory),
        };
        let url = format!("{STAGING_URL}{OUT}{ending}");
        let unusable = |error| error::from_datafusion("the staging area of COPY", error);
        Ok(FileSinkConfig {
            object_store_url: ObjectStoreUrl::parse(STAGING_URL).map_err(unusable)?,
            table_paths: vec![ListingTableUrl::parse(&url).map_err(unusable)?],
            original_url: url,
            file_output_mode: mode,
            ..config.clone()
        })
    }
}

#[async_trait]
impl FileFormat for AtioFormat {
    fn get_ext(&self) -> String {
        self.inner.get_ext()
    }

    fn get_ext_with_compression(&self, compression: &FileCompressionType) -> Result<String> {
        self.inner.get_ext_with_compression(compression)
    }

    fn compression_type(&self) -> Option<FileCompressionType> {
        self.inner.compression_type()
    }

    async fn infer_schema(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        objects: &[ObjectMeta],
    ) -> Result<SchemaRef> {
        self.inner.infer_schema(state, store, objects).await
    }

    async fn infer_stats(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        schema: SchemaRef,
        object: &ObjectMeta,
    ) -> Result<Statistics> {
        self.inner.infer_stats(state, store, schema, object).await
    }

    async fn create_physical_plan(
        &self,
        state: &dyn Session,
        config: FileScanConfig,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.inner.create_physical_plan(state, config).await
    }

    async fn create_writer_physical_plan(
        &self,
        input: Arc<dyn ExecutionPlan>,
        state: &dyn Session,
        config: FileSinkConfig,
        order: Option<LexRequirement>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Wrapped {
            target,
            shape,
            options,
            ..
        } = self.wrapped.as_ref();
        let format = self.inner.get_ext().trim_start_matches('.').to_lowercase();
        let values = Values::new(&format, &config);
        if let Some(parquet) = self.inner.downcast_ref::<ParquetFormat>() {
            check_parquet_writer(parquet.options(), &get_writer_schema(&config))?;
        }
        let staged = self.staged(&config)?;
        let writer = self
            .inner
            .create_writer_physical_plan(Arc::clone(&input), state, staged, order.clone())
            .await?;
        let job = Job {
            format,
            target: target.clone(),
            shape: *shape,
            options: options.clone(),
            values,
        };
        Ok(Arc::new(PublishExec::new(
            input,
            writer,
            order,
            Arc::new(job),
        )))
    }

    fn file_source(&self, schema: TableSchema) -> Arc<dyn FileSource> {
        self.inner.file_source(schema)
    }
}
