//! Excel workbooks: `COPY .. TO 'x.xlsx' STORED AS XLSX`.
//!
//! What a cell is:
//!
//! * Integers are numbers up to 2^53, and decimals up to 15 digits; what is longer is refused, or
//!   is text with `long_numbers 'text'`. Excel itself shows 15 digits of a number.
//! * Floats are numbers, a REAL with the digits that SQL shows. NaN and the infinities are
//!   refused, or empty with `non_finite 'empty'`.
//! * Dates, timestamps and times are Excel's numbers with a format, cut to milliseconds. Days
//!   before 1900 and after 9999 are refused. A timestamp with a time zone is the local time of
//!   that zone; the zone is not kept.
//! * Durations are numbers of days shown as hours, minutes and seconds; negative ones are refused.
//!   Intervals are text.
//! * Text is text, never a formula, whatever it begins with. NULL and the empty text are both
//!   empty cells.
//! * Binary and nested types are refused when the statement is planned.
//!
//! COPY refuses two columns of one name, which Excel would allow. The rows go to a temporary
//! file that has no name, and the workbook is packed once all of them are there, so memory does
//! not grow with them and a failed statement leaves nothing.

mod book;
mod column;
mod moment;
mod options;
mod sink;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::{GetExt, Result, Statistics};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::{FileFormat, FileFormatFactory};
use datafusion::datasource::physical_plan::{
    CsvSource, FileScanConfig, FileSinkConfig, FileSource,
};
use datafusion::datasource::sink::DataSinkExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::physical_expr::LexRequirement;
use datafusion::physical_plan::ExecutionPlan;
use object_store::{ObjectMeta, ObjectStore};

use crate::error::Error;
use options::XlsxOptions;
use sink::XlsxSink;

/// What the format is called, and how its files end.
const XLSX: &str = "xlsx";

/// Adds `STORED AS XLSX` to a session, unless it has a format of that name already.
pub(crate) fn register_xlsx(state: &mut SessionState) -> Result<()> {
    match state.get_file_format_factory(XLSX) {
        Some(_) => Ok(()),
        None => state.register_file_format(Arc::new(XlsxFactory), false),
    }
}

/// True if files of this format are workbooks of ours.
pub(crate) fn is_xlsx(factory: &dyn FileFormatFactory) -> bool {
    factory.is::<XlsxFactory>()
}

#[derive(Debug)]
struct XlsxFactory;

impl GetExt for XlsxFactory {
    fn get_ext(&self) -> String {
        XLSX.to_owned()
    }
}

impl FileFormatFactory for XlsxFactory {
    fn create(
        &self,
        _: &dyn Session,
        options: &HashMap<String, String>,
    ) -> Result<Arc<dyn FileFormat>> {
        let options = Arc::new(XlsxOptions::of_statement(options)?);
        Ok(Arc::new(XlsxFormat { options }))
    }

    fn default(&self) -> Arc<dyn FileFormat> {
        Arc::new(XlsxFormat {
            options: Arc::default(),
        })
    }
}

/// Writes workbooks, and reads none.
struct XlsxFormat {
    options: Arc<XlsxOptions>,
}

/// Plans show a file type by this.
impl fmt::Debug for XlsxFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("XlsxFormat")
    }
}

#[async_trait]
impl FileFormat for XlsxFormat {
    fn get_ext(&self) -> String {
        XLSX.to_owned()
    }

    fn get_ext_with_compression(&self, compression: &FileCompressionType) -> Result<String> {
        match compression.is_compressed() {
            false => Ok(self.get_ext()),
            true => Err(Error::invalid("an XLSX file is compressed by itself").into()),
        }
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
        Err(not_read())
    }

    async fn infer_stats(
        &self,
        _: &dyn Session,
        _: &Arc<dyn ObjectStore>,
        _: SchemaRef,
        _: &ObjectMeta,
    ) -> Result<Statistics> {
        Err(not_read())
    }

    async fn create_physical_plan(
        &self,
        _: &dyn Session,
        _: FileScanConfig,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(not_read())
    }

    async fn create_writer_physical_plan(
        &self,
        input: Arc<dyn ExecutionPlan>,
        _: &dyn Session,
        config: FileSinkConfig,
        order: Option<LexRequirement>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if config.insert_op != InsertOp::Append {
            return Err(Error::invalid("a table of XLSX files cannot be overwritten").into());
        }
        let sink = XlsxSink::new(config, Arc::clone(&self.options))?;
        Ok(Arc::new(DataSinkExec::new(input, Arc::new(sink), order)))
    }

    /// A scan asks for it before it asks for a plan, which is refused.
    fn file_source(&self, table_schema: TableSchema) -> Arc<dyn FileSource> {
        Arc::new(CsvSource::new(table_schema))
    }
}

fn not_read() -> datafusion::error::DataFusionError {
    Error::invalid("XLSX files can be written, not read").into()
}
