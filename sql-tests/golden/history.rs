//! The history of a golden table: the statements that make it, and what they must leave.

use std::collections::BTreeMap;

use datafusion::prelude::SessionContext;
use serde_json::{Value, json};

use crate::query::{failure, rows, texts};
use crate::session::{Place, run};

const COLUMNS: &str = "id BIGINT NOT NULL, flag BOOLEAN, i8 TINYINT, i16 SMALLINT, i32 INT, \
    u8 TINYINT UNSIGNED, u64 BIGINT UNSIGNED, r REAL, d DOUBLE, price DECIMAL(20, 3), s VARCHAR, \
    raw BYTEA, day DATE, clock TIME, at TIMESTAMP, tz TIMESTAMP WITH TIME ZONE, \
    list INT[], item STRUCT<x INT, y VARCHAR>";

/// Values of all kinds, and extremes.
const FIRST: &str = "INSERT INTO t VALUES \
    (1, true, -128, -32768, -2147483648, 0, 18446744073709551615, 0.5, 1e300, '12345678901234567.125'::DECIMAL(20, 3), 'a', \
     X'00ff', DATE '2024-02-29', TIME '23:59:59.999999', TIMESTAMP '2024-05-01T10:00:00.123456789', \
     TIMESTAMP '1969-12-31T23:59:59.999999999Z', [1, NULL, 3], {x: 1, y: 'one'}), \
    (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), \
    (3, false, 127, 32767, 2147483647, 255, 0, '-0.0'::REAL, 'NaN'::DOUBLE, -0.001, '', X'', DATE '0001-01-01', \
     TIME '00:00:00', TIMESTAMP '1677-09-22T00:00:00', TIMESTAMP '2262-04-11T00:00:00Z', [], {x: NULL, y: ''})";

fn append(id: u32) -> String {
    format!(
        "INSERT INTO t (id, s, d, price, day, list, item) VALUES \
         ({id}, 'row {id} \u{e4}\u{1f600}', {id}.25, {id}.125, DATE '2024-01-01' + INTERVAL '{id} days', \
          [{id}, {id}], {{x: {id}, y: 'y'}})"
    )
}

/// Makes the table `t` at `place`: every kind of commit that there is, manifests that were
/// merged, and versions that expired, some of them twice removed.
pub(super) async fn write(place: &Place) -> SessionContext {
    let ctx = place.session();
    // Without one the engine makes columns without a time zone.
    rows(&ctx, "SET datafusion.execution.time_zone = 'UTC'").await;
    let create = format!(
        "CREATE EXTERNAL TABLE t ({COLUMNS}) STORED AS ATIO LOCATION '{}/t' \
         OPTIONS ('atio.compression' 'zstd(3)')",
        place.root()
    );
    let expire = |last: u32| {
        format!(
            "SELECT count(*) FROM expire_snapshots('t', keep_for => INTERVAL '0 days', retain_last => {last}, \
             dry_run => false)"
        )
    };
    let mut statements = vec![create, FIRST.to_owned()];
    statements.extend((10..13).map(append));
    statements.push(expire(2));
    statements.extend((20..30).map(append));
    statements.push("INSERT OVERWRITE t SELECT * FROM t WHERE id < 25".to_owned());
    statements.push(append(30));
    statements.push(expire(10));
    statements.push(append(31));
    for sql in statements {
        rows(&ctx, &sql).await;
    }
    ctx
}

/// What a table holds, by version.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expected {
    /// Name and type of each column.
    pub(super) columns: Vec<String>,
    /// Version, operation and counts of rows of each version.
    pub(super) history: Vec<String>,
    pub(super) readable: BTreeMap<u64, Vec<String>>,
    /// What is said to those who ask for a version that has expired.
    pub(super) expired: BTreeMap<u64, String>,
}

impl Expected {
    /// Reads all versions of the table `t`.
    pub(super) async fn read(ctx: &SessionContext) -> Self {
        let schema = ctx.table("t").await.unwrap().schema().clone();
        let columns = schema
            .fields()
            .iter()
            .map(|field| {
                format!(
                    "{} {} {}",
                    field.name(),
                    field.data_type(),
                    field.is_nullable()
                )
            })
            .collect();
        let history = "SELECT lpad(CAST(version AS VARCHAR), 2, '0'), operation, rows_added, rows_removed, \
                       files_added, files_removed, rows, files, readable FROM atio_history('t')";
        let history = rows(ctx, history).await;
        let (mut readable, mut expired) = (BTreeMap::new(), BTreeMap::new());
        for version in 0..history.len() as u64 {
            let sql = format!("SELECT * FROM atio_table('t', version => {version})");
            match run(ctx, &sql).await {
                Ok(batches) => drop(readable.insert(version, texts(&batches))),
                Err(_) => drop(expired.insert(version, failure(ctx, &sql).await)),
            }
        }
        Self {
            columns,
            history,
            readable,
            expired,
        }
    }

    pub(super) fn to_json(&self) -> String {
        let value = json!({
            "columns": self.columns,
            "history": self.history,
            "readable": self.readable,
            "expired": self.expired,
        });
        serde_json::to_string_pretty(&value).unwrap() + "\n"
    }

    pub(super) fn of_json(bytes: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(bytes).unwrap();
        let part = |name: &str| value[name].clone();
        Self {
            columns: serde_json::from_value(part("columns")).unwrap(),
            history: serde_json::from_value(part("history")).unwrap(),
            readable: serde_json::from_value(part("readable")).unwrap(),
            expired: serde_json::from_value(part("expired")).unwrap(),
        }
    }
}
