//! Statements whose own query goes wrong: a panic, no memory, an error at any row.

#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{Array, ArrayRef, Int64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
use datafusion::object_store::ObjectStore;
use datafusion::prelude::{SessionConfig, SessionContext};
use url::Url;

use super::attempt::in_runtime;
use super::cases;
use super::fault_store::FaultStore;
use super::invariants::{open, query, session, verify, verify_next};
use crate::session::run;

/// Adds `checked(a, bad)`, which gives `a` and fails at the row `bad`, or panics there.
fn add_function(ctx: &SessionContext, panics: bool) {
    let checked = move |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let number = |array: &ArrayRef| -> Int64Array {
            array.as_any().downcast_ref::<Int64Array>().unwrap().clone()
        };
        let (values, bad) = (number(&arrays[0]), number(&arrays[1]).value(0));
        if values.values().contains(&bad) {
            match panics {
                true => std::panic::resume_unwind(Box::new("the function panics")),
                false => return Err(DataFusionError::Execution("a bad row".to_owned())),
            }
        }
        Ok(ColumnarValue::Array(Arc::new(values)))
    };
    ctx.register_udf(create_udf(
        "checked",
        vec![DataType::Int64, DataType::Int64],
        DataType::Int64,
        Volatility::Volatile,
        Arc::new(checked),
    ));
}

/// Statements that write several files and meet a bad row: at the first, at the last and at
/// the edge of a batch.
#[test]
fn query_that_fails_or_panics_at_any_row_leaves_no_version_and_no_object() {
    let case = cases::insert_files();
    for panics in [false, true] {
        for bad in [1001, 1100, 1101, 1250, 1400] {
            for what in ["INTO", "OVERWRITE"] {
                in_runtime(async {
                    let objects: Arc<dyn ObjectStore> = Arc::new(case.store.fork());
                    let store = FaultStore::new(Arc::clone(&objects));
                    let ctx = session(Arc::new(store.clone()));
                    add_function(&ctx, panics);
                    for sql in &case.open {
                        query(&ctx, sql).await.unwrap();
                    }
                    let sql = format!(
                        "INSERT {what} t SELECT checked(value, {bad}) FROM generate_series(1001, 1400)"
                    );
                    let task = tokio::spawn({
                        let (ctx, sql) = (ctx.clone(), sql.clone());
                        async move { run(&ctx, &sql).await.map(drop) }
                    });
                    match task.await {
                        Ok(ended) => assert!(ended.is_err(), "{sql}"),
                        Err(error) => assert!(error.is_panic(), "{error}"),
                    }
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    assert_eq!(store.open_uploads(), 0, "{sql}");
                    let rows = verify(&objects, case.root).await.unwrap();
                    assert_eq!(rows, case.before, "{sql}");
                    let left = super::raw_log::Log::read(objects.as_ref(), case.root).await;
                    let left = left.unwrap().leftovers().unwrap();
                    assert_eq!(left, Vec::<String>::new(), "{sql}");
                    // The session lives on.
                    query(&ctx, "INSERT INTO t VALUES (4)").await.unwrap();
                    let mut rows = rows.unwrap();
                    rows.push("4".to_owned());
                    verify_next(&objects, case.root, Some(rows)).await.unwrap();
                });
            }
        }
    }
}

#[test]
fn statement_without_memory_leaves_no_version_and_no_object() {
    let case = cases::insert();
    in_runtime(async {
        let objects: Arc<dyn ObjectStore> = Arc::new(case.store.fork());
        let runtime = RuntimeEnvBuilder::new()
            .with_disk_manager_builder(
                DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
            )
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(200_000)))
            .build_arc()
            .unwrap();
        let config = SessionConfig::new().with_target_partitions(1);
        let ctx = SessionContext::new_with_config_rt(config, runtime);
        let url = Url::parse("memory://test/").unwrap();
        ctx.register_object_store(&url, Arc::clone(&objects));
        atio::register(&ctx).unwrap();
        query(&ctx, &open(case.root)).await.unwrap();
        query(
            &ctx,
            "SET datafusion.execution.sort_spill_reservation_bytes = 1000000",
        )
        .await
        .unwrap();
        for sql in [
            "INSERT INTO t SELECT max(value) FROM generate_series(1, 50000) GROUP BY value % 45000",
            "INSERT OVERWRITE t SELECT max(value) FROM generate_series(1, 50000) GROUP BY value % 40000",
        ] {
            let error = run(&ctx, sql).await.unwrap_err().to_string();
            assert!(error.contains("Resources exhausted"), "{sql}: {error}");
            tokio::time::sleep(Duration::from_secs(60)).await;
            let rows = verify(&objects, case.root).await.unwrap();
            assert_eq!(rows, case.before, "{sql}");
        }
        query(&ctx, "INSERT INTO t VALUES (4), (5)").await.unwrap();
        verify_next(&objects, case.root, case.after.clone())
            .await
            .unwrap();
    });
}
