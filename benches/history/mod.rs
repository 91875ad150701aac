//! A table whose every version is one appended row.

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use datafusion::prelude::SessionContext;
use tokio::runtime::Runtime;

const CREATE: &str = "id BIGINT, at TIMESTAMP, day DATE, store VARCHAR, item VARCHAR, \
                      quantity INT, price DECIMAL(12, 2), discount DOUBLE, paid BOOLEAN, note VARCHAR";

/// The table, in a temporary directory and with a session of its own.
pub(crate) struct History {
    directory: tempfile::TempDir,
    runtime: Runtime,
    ctx: SessionContext,
    versions: usize,
}

impl History {
    /// Makes a table and appends until it has this many versions.
    pub(crate) fn of(versions: usize) -> Result<Self, Box<dyn Error>> {
        let directory = tempfile::tempdir()?;
        let runtime = Runtime::new()?;
        let ctx = SessionContext::new();
        atio::register(&ctx)?;
        let location = directory.path().join("t");
        let create = format!(
            "CREATE EXTERNAL TABLE t ({CREATE}) STORED AS ATIO LOCATION '{}'",
            location.display()
        );
        runtime.block_on(async { ctx.sql(&create).await?.collect().await })?;
        let mut history = Self {
            directory,
            runtime,
            ctx,
            versions: 0,
        };
        while history.versions < versions {
            history.append()?;
        }
        Ok(history)
    }

    pub(crate) fn versions(&self) -> usize {
        self.versions
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("t")
    }

    /// Appends one row and returns how long that took.
    pub(crate) fn append(&mut self) -> Result<Duration, Box<dyn Error>> {
        let n = self.versions;
        let insert = format!(
            "INSERT INTO t VALUES ({n}, TIMESTAMP '2026-01-01T00:00:00' + INTERVAL '{n} seconds', \
             DATE '2026-01-01' + INTERVAL '{} days', 'store {}', 'item {}', {}, {}.99, {}, {}, 'note {n}')",
            n / 100,
            n % 10,
            n % 1_000,
            n % 7,
            n % 500,
            (n % 4) as f64 / 4.0,
            n.is_multiple_of(3),
        );
        let start = Instant::now();
        self.runtime
            .block_on(async { self.ctx.sql(&insert).await?.collect().await })?;
        let took = start.elapsed();
        self.versions += 1;
        Ok(took)
    }
}
