//! One side: records of files, in a session with atio, without it, or with tables that are atio's.

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::prelude::SessionContext;
use datafusion_sqllogictest::{
    DataFusion, TestContext, df_value_validator, setup_scratch_dir, should_skip_record,
    value_normalizer,
};
use futures::{FutureExt, StreamExt};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use sqllogictest::{Record, parse_file, strict_column_validator};

use crate::files;
use crate::result::Result;

/// Files that are run at once.
const AT_ONCE: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Plain,
    Atio,
    /// What CREATE TABLE makes is an atio table.
    Tables,
}

impl Side {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Atio => "atio",
            Self::Tables => "tables",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Plain, Self::Atio, Self::Tables]
            .into_iter()
            .find(|side| side.name() == text)
    }
}

/// What became of a record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Its file and where it begins there.
    place: String,
    pub(crate) sql: String,
    /// None if it passed.
    pub(crate) failure: Option<String>,
}

/// What became of records, by their places.
pub(crate) type Outcomes = BTreeMap<String, Outcome>;

/// Runs these files, or all, and tells each record on standard output.
pub(crate) fn run(side: Side, only: &[String]) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let files = match only {
        [] => files::list()?,
        only => only.iter().map(PathBuf::from).collect(),
    };
    let runs = files.iter().map(|file| run_file(side, file));
    let outcomes = runtime.block_on(
        futures::stream::iter(runs)
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>(),
    );
    let mut out = std::io::stdout().lock();
    for outcome in outcomes.into_iter().flatten() {
        serde_json::to_writer(&mut out, &outcome)?;
        writeln!(out)?;
    }
    Ok(())
}

/// What a side told, by the places of the records.
pub(crate) fn parse(said: &[u8]) -> Result<Outcomes> {
    let lines = said
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let outcomes = lines.map(|line| {
        let outcome: Outcome = serde_json::from_slice(line)?;
        Ok((outcome.place.clone(), outcome))
    });
    outcomes.collect()
}

/// Makes the session of a side, whose tables are in `directory` where they are atio's.
fn prepare(side: Side, ctx: &SessionContext, directory: &Path) -> Result<()> {
    if side == Side::Plain {
        return Ok(());
    }
    atio::register(ctx)?;
    if side == Side::Tables {
        let directory = directory.to_str().ok_or("the path is no text")?;
        let catalog = atio::AtioCatalog::open(ctx, directory)?;
        // In the place of the engine's default catalog; it has a schema `public`, too.
        ctx.register_catalog("datafusion", Arc::new(catalog));
    }
    Ok(())
}

async fn run_file(side: Side, file: &Path) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let Some(context) = TestContext::try_new_for_test_file(file).await else {
        return outcomes;
    };
    let told = |failure: String| Outcome {
        place: format!("{}:0", file.display()),
        sql: String::new(),
        failure: Some(failure),
    };
    if let Err(error) = setup_scratch_dir(file) {
        return vec![told(error.to_string())];
    }
    let directory = match tempfile::tempdir() {
        Ok(directory) => directory,
        Err(error) => return vec![told(error.to_string())],
    };
    if let Err(error) = prepare(side, context.session_ctx(), directory.path()) {
        return vec![told(error.to_string())];
    }
    let mut runner = sqllogictest::Runner::new(|| async {
        let session = context.session_ctx().clone();
        Ok(DataFusion::new(
            session,
            file.to_owned(),
            ProgressBar::hidden(),
        ))
    });
    runner.add_label("Datafusion");
    runner.with_column_validator(strict_column_validator);
    runner.with_normalizer(value_normalizer);
    runner.with_validator(df_value_validator);
    let records = match parse_file(files::path(file)) {
        Ok(records) => records,
        Err(error) => return vec![told(error.to_string())],
    };
    for (number, record) in records.into_iter().enumerate() {
        let (sql, location) = match &record {
            Record::Halt { .. } => break,
            Record::Statement { sql, loc, .. } | Record::Query { sql, loc, .. } => {
                (sql.clone(), Some(loc.line()))
            }
            _ => (String::new(), None),
        };
        if should_skip_record::<DataFusion>(&record, &[]) {
            continue;
        }
        let ended = AssertUnwindSafe(runner.run_async(record))
            .catch_unwind()
            .await;
        let failure = match ended {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("it panicked".to_owned()),
        };
        // What only says how others are run passes on every side.
        if let Some(line) = location {
            outcomes.push(Outcome {
                // A file that others include has lines of its own.
                place: format!("{}:{line}#{number}", file.display()),
                sql,
                failure,
            });
        }
    }
    outcomes
}
