//! Plans that `datafusion-proto` is to serialize: those that read or write an atio table say that they
//! cannot be.

#![cfg(test)]

use std::sync::Arc;

use atio::ErrorKind;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use datafusion_proto::bytes::{
    logical_plan_to_bytes, physical_plan_from_bytes, physical_plan_to_bytes,
    physical_plan_to_bytes_with_extension_codec,
};
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use tempfile::TempDir;

const SCAN: &str = "it would lose its field ids and the checks of its data files";
const WRITE: &str = "only the process that began it can commit it";

/// A codec that takes anything, as one that was written without a thought of atio.
#[derive(Debug)]
struct TakesAll;

impl PhysicalExtensionCodec for TakesAll {
    fn try_decode(
        &self,
        _: &[u8],
        _: &[Arc<dyn ExecutionPlan>],
        _: &TaskContext,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        unreachable!("nothing is serialized")
    }

    fn try_encode(
        &self,
        _: Arc<dyn ExecutionPlan>,
        _: &mut Vec<u8>,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        Ok(())
    }
}

/// A session with a table `t` in its second version, and a plain file of the same rows as `p`.
async fn session() -> (SessionContext, TempDir) {
    let (ctx, place) = (SessionContext::new(), tempfile::tempdir().unwrap());
    atio::register(&ctx).unwrap();
    let at = place.path().to_str().unwrap();
    for sql in [
        format!("CREATE EXTERNAL TABLE t (a BIGINT, b TEXT) STORED AS ATIO LOCATION '{at}/sales'"),
        "INSERT INTO t VALUES (1, 'x'), (2, NULL)".to_owned(),
        "INSERT INTO t VALUES (30, 'y')".to_owned(),
        format!("COPY (SELECT * FROM t) TO '{at}/p.parquet'"),
        format!("CREATE EXTERNAL TABLE p STORED AS PARQUET LOCATION '{at}/p.parquet'"),
    ] {
        ctx.sql(&sql).await.unwrap().collect().await.unwrap();
    }
    (ctx, place)
}

async fn plan(ctx: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    let frame = ctx.sql(sql).await.unwrap();
    frame.create_physical_plan().await.unwrap()
}

/// The error of atio's with which a plan refuses.
fn refusal(error: DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::External(ours) if ours.is::<atio::Error>() => {
            let ours = ours.downcast_ref::<atio::Error>().unwrap();
            assert_eq!(ours.kind(), ErrorKind::Unsupported);
            ours.message().to_owned()
        }
        other => panic!("{other}"),
    }
}

/// With the engine's own codec, and with one that takes anything.
fn refusals(plan: &Arc<dyn ExecutionPlan>) -> [String; 2] {
    let plain = physical_plan_to_bytes(Arc::clone(plan));
    let coded = physical_plan_to_bytes_with_extension_codec(Arc::clone(plan), &TakesAll);
    [plain, coded].map(|bytes| refusal(bytes.unwrap_err()))
}

fn cannot(subject: &str, why: &str) -> [String; 2] {
    let message =
        format!("{subject} cannot be serialized: {why}. Run the plan in the process that made it");
    [message.clone(), message]
}

#[tokio::test]
async fn scan_is_not_serialized_and_names_its_table_and_version() {
    let (ctx, _place) = session().await;
    for (sql, version) in [
        ("SELECT * FROM t", 2),
        ("SELECT b FROM t", 2),
        ("SELECT b FROM t WHERE a > 1 AND b LIKE 'y%'", 2),
        ("SELECT a + 1 FROM t ORDER BY a DESC LIMIT 1", 2),
        ("SELECT b, sum(a) FROM t GROUP BY b", 2),
        (
            "SELECT * FROM p JOIN atio_table('t', version => 1) v ON p.a = v.a",
            1,
        ),
    ] {
        let subject = format!("the scan of version {version} of 'sales'");
        let refused = refusals(&plan(&ctx, sql).await);
        assert_eq!(refused, cannot(&subject, SCAN), "{sql}");
    }
    // One that reads no column.
    let refused = refusals(&plan(&ctx, "SELECT 1 FROM t").await);
    let subject = "the scan of version 2 of 'sales'";
    assert_eq!(refused, cannot(subject, "it has no serialized form"));
}

#[tokio::test]
async fn write_is_not_serialized_and_names_its_table() {
    let (ctx, _place) = session().await;
    for sql in [
        "INSERT INTO t VALUES (4, 'z')",
        "INSERT INTO t SELECT * FROM p",
        "INSERT OVERWRITE t SELECT a, b FROM p WHERE a > 1",
    ] {
        let whole = plan(&ctx, sql).await;
        let expected = cannot("the write to 'sales'", WRITE);
        assert_eq!(refusals(&whole), expected, "{sql}");
        // A part of it alone, as a distributed engine sends it.
        let mut part = &whole;
        while part.name() != "AtioWriteExec" {
            part = part.children()[0];
        }
        assert_eq!(refusals(part), expected, "{sql}");
    }
}

/// What needs nothing of atio goes wherever it likes, in the same session.
#[tokio::test]
async fn plans_without_atio_are_serialized_as_ever() {
    let (ctx, _place) = session().await;
    for sql in [
        "SELECT b FROM p WHERE a > 1",
        // The manifests tell that no file matches.
        "SELECT b FROM t WHERE a > 1000",
    ] {
        let sent = plan(&ctx, sql).await;
        let bytes = physical_plan_to_bytes(Arc::clone(&sent)).unwrap();
        let got = physical_plan_from_bytes(&bytes, &ctx.task_ctx()).unwrap();
        let run = async |plan| {
            let rows = datafusion::physical_plan::collect(plan, ctx.task_ctx()).await;
            let rows = rows.unwrap();
            rows.iter().map(|batch| batch.num_rows()).sum::<usize>()
        };
        assert_eq!(run(got).await, run(sent).await, "{sql}");
    }
}

#[tokio::test]
async fn logical_plan_is_not_serialized() {
    let (ctx, _place) = session().await;
    for sql in ["SELECT * FROM t", "INSERT INTO t SELECT * FROM p"] {
        let frame = ctx.sql(sql).await.unwrap();
        let bytes = logical_plan_to_bytes(frame.logical_plan());
        assert!(bytes.is_err(), "{sql}");
    }
}
