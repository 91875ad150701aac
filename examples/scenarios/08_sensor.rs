//! A process that records a sensor is killed again and again. Each time it goes on behind the
//! last reading that is committed: there is no gap, and no duplicate.

use std::sync::Arc;
use std::time::Duration;

use atio::{StreamOptions, StreamWriter};
use datafusion::arrow::array::{Float64Array, Int64Array, RecordBatch};
use datafusion::error::Result;
use datafusion::prelude::SessionContext;

use crate::process::Process;
use crate::session::session;
use crate::story::{ask, ensure, show};

/// The argument of a process that records.
pub(crate) const RECORD: &str = "record";

const READINGS: u64 = 400;
/// Behind this one it is left alone.
const LAST_KILL: u64 = 300;

pub(crate) async fn run() -> Result<()> {
    let ctx = session()?;
    show(
        &ctx,
        "CREATE TABLE readings (number BIGINT, celsius DOUBLE)",
    )
    .await?;
    println!("\n  Another process records {READINGS} readings, ten in a version:");
    let mut kills = 0;
    loop {
        let before = recorded(&ctx).await?;
        let mut recorder = Process::start(&[], &[RECORD])?;
        while before < LAST_KILL && recorder.is_running()? && recorded(&ctx).await? < before + 80 {}
        // It may have come to its end since.
        if before >= LAST_KILL || !recorder.is_running()? {
            recorder.succeed()?;
            break;
        }
        recorder.kill()?;
        kills += 1;
        println!(
            "  killed with {} readings in the table, and started again",
            recorded(&ctx).await?
        );
    }
    ensure(kills > 1, "it was killed more than once")?;

    let readings = "SELECT count(*) AS readings, count(DISTINCT number) AS different,
      min(number) AS first, max(number) AS last FROM readings";
    let readings = show(&ctx, readings).await?;
    readings.must_be(0, "readings", READINGS)?;
    readings.must_be(0, "different", READINGS)?;
    readings.must_be(0, "first", 1)?;
    readings.must_be(0, "last", READINGS)?;
    let source = "SELECT source, position FROM atio_sources('readings')";
    show(&ctx, source).await?.must_be(0, "position", READINGS)
}

async fn recorded(ctx: &SessionContext) -> Result<u64> {
    let count = ask(ctx, "SELECT count(*) AS readings FROM readings").await?;
    Ok(count.number(0, "readings")? as u64)
}

/// What the other process does; it knows nothing of those before it.
pub(crate) async fn record() -> Result<()> {
    let ctx = session()?;
    let options = StreamOptions {
        source: Some("sensor-7".into()),
        commit_rows: 10,
        ..Default::default()
    };
    let mut writer = StreamWriter::open(&ctx, "readings", options).await?;
    let next = writer.position().map_or(1, |position| position + 1);
    for number in next..=READINGS {
        writer.push(reading(number)?, number).await?;
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    writer.close().await?;
    Ok(())
}

fn reading(number: u64) -> Result<RecordBatch> {
    let celsius = 20.0 + (number as f64 / 10.0).sin();
    Ok(RecordBatch::try_from_iter([
        (
            "number",
            Arc::new(Int64Array::from(vec![number as i64])) as _,
        ),
        ("celsius", Arc::new(Float64Array::from(vec![celsius])) as _),
    ])?)
}
