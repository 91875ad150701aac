//! The tables and queries of TPC-H: once as atio tables, once as DataFusion's own Parquet files.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::SessionContext;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow,
    SupplierArrow,
};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The queries with the parameters of the specification's validation run.
pub(crate) const QUERIES: [&str; 22] = [
    include_str!("q01.sql"),
    include_str!("q02.sql"),
    include_str!("q03.sql"),
    include_str!("q04.sql"),
    include_str!("q05.sql"),
    include_str!("q06.sql"),
    include_str!("q07.sql"),
    include_str!("q08.sql"),
    include_str!("q09.sql"),
    include_str!("q10.sql"),
    include_str!("q11.sql"),
    include_str!("q12.sql"),
    include_str!("q13.sql"),
    include_str!("q14.sql"),
    include_str!("q15.sql"),
    include_str!("q16.sql"),
    include_str!("q17.sql"),
    include_str!("q18.sql"),
    include_str!("q19.sql"),
    include_str!("q20.sql"),
    include_str!("q21.sql"),
    include_str!("q22.sql"),
];

/// Opens the tables at `scale_factor` in both sessions, below `root`; writes those that are
/// missing there.
pub(crate) async fn open(
    atio: &SessionContext,
    listing: &SessionContext,
    root: &Path,
    scale_factor: f64,
) -> Result<()> {
    for table in Table::ALL {
        let name = table.name();
        let rows = Rows {
            table,
            scale_factor,
            schema: table.schema(),
        };
        let schema = Arc::clone(&rows.schema);
        let rows = StreamingTable::try_new(Arc::clone(&schema), vec![Arc::new(rows)])?;
        let rows = Arc::new(rows);

        let plain = root.join("plain").join(name);
        if !plain.exists() {
            fs::create_dir_all(plain.parent().unwrap_or(root))?;
            // Whole or not there: a run that was cut off leaves another name.
            let making = root.join("plain").join(format!("{name}.making"));
            let _ = fs::remove_dir_all(&making);
            listing.register_table("generated", Arc::clone(&rows) as _)?;
            let to = making.display();
            run(
                listing,
                &format!("COPY generated TO '{to}/' STORED AS PARQUET"),
            )
            .await?;
            listing.deregister_table("generated")?;
            fs::rename(&making, &plain)?;
        }
        let from = plain.display();
        run(
            listing,
            &format!("CREATE EXTERNAL TABLE {name} STORED AS PARQUET LOCATION '{from}/'"),
        )
        .await?;

        let to = root.join("atio").join(name);
        let (to, columns) = (to.display(), columns(&schema)?);
        run(
            atio,
            &format!("CREATE EXTERNAL TABLE {name} ({columns}) STORED AS ATIO LOCATION '{to}'"),
        )
        .await?;
        if atio.table(name).await?.count().await? == 0 {
            atio.register_table("generated", rows)?;
            run(atio, &format!("INSERT INTO {name} SELECT * FROM generated")).await?;
            atio.deregister_table("generated")?;
        }
    }
    Ok(())
}

/// Runs a statement to its end.
pub(crate) async fn run(
    ctx: &SessionContext,
    sql: &str,
) -> datafusion::error::Result<Vec<RecordBatch>> {
    ctx.sql(sql).await?.collect().await
}

/// The columns as CREATE TABLE takes them.
fn columns(schema: &Schema) -> Result<String> {
    let columns = schema.fields().iter().map(|field| {
        let data_type = match field.data_type() {
            DataType::Int32 => "INT".to_owned(),
            DataType::Int64 => "BIGINT".to_owned(),
            DataType::Date32 => "DATE".to_owned(),
            DataType::Utf8View => "VARCHAR".to_owned(),
            DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
            other => return Err(format!("{} has the type {other}", field.name())),
        };
        let null = match field.is_nullable() {
            true => "",
            false => " NOT NULL",
        };
        Ok(format!("{} {data_type}{null}", field.name()))
    });
    Ok(columns
        .collect::<std::result::Result<Vec<_>, _>>()?
        .join(", "))
}

type Batches = Box<dyn Iterator<Item = std::result::Result<RecordBatch, ArrowError>> + Send>;

#[derive(Debug, Clone, Copy)]
enum Table {
    Customer,
    Lineitem,
    Nation,
    Orders,
    Part,
    Partsupp,
    Region,
    Supplier,
}

impl Table {
    const ALL: [Self; 8] = [
        Self::Customer,
        Self::Lineitem,
        Self::Nation,
        Self::Orders,
        Self::Part,
        Self::Partsupp,
        Self::Region,
        Self::Supplier,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Lineitem => "lineitem",
            Self::Nation => "nation",
            Self::Orders => "orders",
            Self::Part => "part",
            Self::Partsupp => "partsupp",
            Self::Region => "region",
            Self::Supplier => "supplier",
        }
    }

    fn schema(self) -> SchemaRef {
        match self {
            Self::Customer => CustomerArrow::schema_ref(),
            Self::Lineitem => LineItemArrow::schema_ref(),
            Self::Nation => NationArrow::schema_ref(),
            Self::Orders => OrderArrow::schema_ref(),
            Self::Part => PartArrow::schema_ref(),
            Self::Partsupp => PartSuppArrow::schema_ref(),
            Self::Region => RegionArrow::schema_ref(),
            Self::Supplier => SupplierArrow::schema_ref(),
        }
    }

    fn rows(self, sf: f64) -> Batches {
        match self {
            Self::Customer => Box::new(CustomerArrow::new(CustomerGenerator::new(sf, 1, 1))),
            Self::Lineitem => Box::new(LineItemArrow::new(LineItemGenerator::new(sf, 1, 1))),
            Self::Nation => Box::new(NationArrow::new(NationGenerator::new(sf, 1, 1))),
            Self::Orders => Box::new(OrderArrow::new(OrderGenerator::new(sf, 1, 1))),
            Self::Part => Box::new(PartArrow::new(PartGenerator::new(sf, 1, 1))),
            Self::Partsupp => Box::new(PartSuppArrow::new(PartSuppGenerator::new(sf, 1, 1))),
            Self::Region => Box::new(RegionArrow::new(RegionGenerator::new(sf, 1, 1))),
            Self::Supplier => Box::new(SupplierArrow::new(SupplierGenerator::new(sf, 1, 1))),
        }
    }
}

/// A table as its generator gives it, never held in memory.
#[derive(Debug)]
struct Rows {
    table: Table,
    scale_factor: f64,
    schema: SchemaRef,
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches = self.table.rows(self.scale_factor);
        let batches = batches
            .map(|batch: std::result::Result<_, ArrowError>| batch.map_err(DataFusionError::from));
        let schema = Arc::clone(&self.schema);
        let batches = futures::stream::iter(batches);
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }
}
