//! `COPY .. TO 'connection/table' STORED AS POSTGRES | SQLITE | MYSQL`.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::file_options::file_type::FileType;
use datafusion::common::{GetExt, Statistics};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::{FileFormat, FileFormatFactory, file_type_to_format};
use datafusion::datasource::physical_plan::{FileScanConfig, FileSinkConfig, FileSource};
use datafusion::datasource::sink::DataSinkExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::physical_expr::LexRequirement;
use datafusion::physical_plan::ExecutionPlan;
use object_store::{ObjectMeta, ObjectStore};

use super::compatibility::check_names;
use super::connection::Engine;
use super::registry::TableLocation;
use super::sink::DatabaseSink;
use super::write::IfExists;
use crate::error::Error;
use crate::estimate::expected_rows;

/// The option that says what to do with a table that exists.
const IF_EXISTS: &str = "if_exists";

/// What `COPY .. STORED AS` takes for tables of databases.
pub(crate) fn formats(free: bool) -> impl Iterator<Item = Arc<dyn FileFormatFactory>> {
    Engine::built_in().map(move |engine| {
        let factory: Arc<dyn FileFormatFactory> = Arc::new(DatabaseFormatFactory { engine, free });
        factory
    })
}

/// Whether a `COPY` goes to a table of a database, not to a file.
pub(crate) fn is_database(file_type: &Arc<dyn FileType>) -> bool {
    file_type_to_format(file_type)
        .is_ok_and(|factory| (factory.as_ref() as &dyn Any).is::<DatabaseFormatFactory>())
}

#[derive(Debug)]
struct DatabaseFormatFactory {
    engine: Engine,
    free: bool,
}

impl GetExt for DatabaseFormatFactory {
    fn get_ext(&self) -> String {
        self.engine.stored_as().to_lowercase()
    }
}

impl FileFormatFactory for DatabaseFormatFactory {
    fn create(
        &self,
        _: &dyn Session,
        options: &HashMap<String, String>,
    ) -> Result<Arc<dyn FileFormat>> {
        let mut if_exists = IfExists::default();
        if options.len() > 1 && options.keys().all(|key| key.ends_with(IF_EXISTS)) {
            let twice = format!("option '{IF_EXISTS}' is given twice");
            return Err(Error::invalid(twice).into());
        }
        for (key, value) in options {
            let name = key.strip_prefix("format.").unwrap_or(key);
            let name = name.strip_prefix("atio.").unwrap_or(name);
            if_exists = match (name, value.to_lowercase().as_str()) {
                (IF_EXISTS, "fail") => IfExists::Fail,
                (IF_EXISTS, "append") => IfExists::Append,
                (IF_EXISTS, "replace") => IfExists::Replace,
                (IF_EXISTS, _) => {
                    return Err(Error::invalid(format!(
                        "option '{IF_EXISTS}' is one of fail, append and replace, not '{}'",
                        value.escape_debug()
                    ))
                    .into());
                }
                _ => {
                    return Err(Error::invalid(format!(
                        "COPY .. STORED AS {} has no option '{}'; it has '{IF_EXISTS}'",
                        self.engine.stored_as(),
                        name.escape_debug()
                    ))
                    .into());
                }
            };
        }
        Ok(Arc::new(DatabaseFormat {
            engine: self.engine,
            free: self.free,
            if_exists,
        }))
    }

    fn default(&self) -> Arc<dyn FileFormat> {
        Arc::new(DatabaseFormat {
            engine: self.engine,
            free: self.free,
            if_exists: IfExists::default(),
        })
    }
}

/// Writes, and reads nothing: that is what external tables are for.
#[derive(Debug)]
struct DatabaseFormat {
    engine: Engine,
    free: bool,
    if_exists: IfExists,
}

impl DatabaseFormat {
    fn is_no_file(&self) -> datafusion::error::DataFusionError {
        Error::unsupported(format!(
            "a file is never STORED AS {}",
            self.engine.stored_as()
        ))
        .into()
    }
}

#[async_trait]
impl FileFormat for DatabaseFormat {
    fn get_ext(&self) -> String {
        self.engine.stored_as().to_lowercase()
    }

    fn get_ext_with_compression(&self, _: &FileCompressionType) -> Result<String> {
        Ok(self.get_ext())
    }

    fn compression_type(&self) -> Option<FileCompressionType> {
        None
    }

    async fn infer_schema(
        &self,
        _: &dyn Session,
        _: &Arc<dyn ObjectStore>,
        _: &[ObjectMeta],
    ) -> Result<SchemaRef> {
        Err(self.is_no_file())
    }

    async fn infer_stats(
        &self,
        _: &dyn Session,
        _: &Arc<dyn ObjectStore>,
        _: SchemaRef,
        _: &ObjectMeta,
    ) -> Result<Statistics> {
        Err(self.is_no_file())
    }

    async fn create_physical_plan(
        &self,
        _: &dyn Session,
        _: FileScanConfig,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(self.is_no_file())
    }

    async fn create_writer_physical_plan(
        &self,
        input: Arc<dyn ExecutionPlan>,
        state: &dyn Session,
        config: FileSinkConfig,
        _: Option<LexRequirement>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !config.table_partition_cols.is_empty() {
            return Err(
                Error::unsupported("a table of a database is not PARTITIONED BY COPY").into(),
            );
        }
        let location = TableLocation::find(state, self.engine, &config.original_url, self.free)?;
        let schema = input.schema();
        check_names(&schema)?;
        let sink = DatabaseSink {
            location: Arc::new(location),
            schema,
            if_exists: self.if_exists,
            create: true,
            rows: expected_rows(input.as_ref()),
            metrics: Default::default(),
        };
        Ok(Arc::new(DataSinkExec::new(input, Arc::new(sink), None)))
    }

    fn file_source(&self, table_schema: TableSchema) -> Arc<dyn FileSource> {
        // Never asked: no scan is planned. CSV's is the one that is always there.
        datafusion::datasource::file_format::csv::CsvFormat::default().file_source(table_schema)
    }
}
