//! The invariants of a table, as a session that knows nothing of its past finds it.

#![cfg(test)]

use std::collections::BTreeMap;
use std::sync::Arc;

use atio::{Error, ErrorKind};
use datafusion::error::DataFusionError;
use datafusion::object_store::ObjectStore;
use datafusion::prelude::{SessionConfig, SessionContext};
use url::Url;

use super::raw_log::Log;
use crate::query::texts;
use crate::session::run;

/// What a check says: that something is wrong, and what.
pub(super) type Verdict<T> = Result<T, String>;

/// Removes everything that is not needed, and names it.
pub(super) const EXPIRE_ALL: &str = "SELECT path FROM expire_snapshots('t', keep_for => INTERVAL '0 days', \
     retain_last => 1, orphan_age => INTERVAL '0 days', dry_run => false) WHERE kind <> 'tagged version'";
/// The row that a check adds.
const NEXT: &str = "-1";

/// A session of its own on `store`, with a catalog `w`.
pub(super) fn session(store: Arc<dyn ObjectStore>) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(1);
    let ctx = SessionContext::new_with_config(config);
    ctx.register_object_store(&Url::parse("memory://test/").unwrap(), store);
    atio::register(&ctx).unwrap();
    let catalog = atio::AtioCatalog::open(&ctx, "memory://test/base/warehouse").unwrap();
    ctx.register_catalog("w", Arc::new(catalog));
    ctx
}

/// Opens the table whose keys begin with `root` as `t`.
pub(super) fn open(root: &str) -> String {
    format!("CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION 'memory://test/{root}'")
}

/// The kind of atio's error in one of DataFusion's; None if it is somebody else's.
pub(super) fn kind(error: &DataFusionError) -> Option<ErrorKind> {
    let mut error: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(found) = error {
        if let Some(ours) = found.downcast_ref::<Error>() {
            return Some(ours.kind());
        }
        error = match found.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(source)) => Some(source.as_ref()),
            Some(DataFusionError::Shared(source)) => Some(source.as_ref()),
            Some(DataFusionError::Context(_, source)) => Some(source.as_ref()),
            _ => found.source(),
        };
    }
    None
}

/// The rows of a statement that must succeed.
pub(super) async fn query(ctx: &SessionContext, sql: &str) -> Verdict<Vec<String>> {
    match run(ctx, sql).await {
        Ok(batches) => Ok(texts(&batches)),
        Err(error) => Err(format!("{sql}: {}", error.strip_backtrace())),
    }
}

/// Checks the table below `root`; gives the rows of its newest version, None if there is no
/// table.
pub(super) async fn verify(
    store: &Arc<dyn ObjectStore>,
    root: &str,
) -> Verdict<Option<Vec<String>>> {
    let log = Log::read(store.as_ref(), root).await?;
    log.check()?;
    let ctx = session(Arc::clone(store));
    match run(&ctx, &open(root)).await {
        Ok(_) => {}
        Err(error) if kind(&error) == Some(ErrorKind::TableNotFound) => {
            return match log.readable().as_slice() {
                [] => Ok(None),
                readable => Err(format!("no table is found, but versions {readable:?}")),
            };
        }
        Err(error) => return Err(format!("it cannot be opened: {error}")),
    }
    verify_versions(&ctx, &log).await.map(Some)
}

/// One line of the history.
struct Recorded {
    operation: String,
    rows: Option<usize>,
    added: Option<usize>,
}

async fn history(ctx: &SessionContext) -> Verdict<BTreeMap<u64, Recorded>> {
    let sql = "SELECT version, operation, rows, rows_added FROM atio_history('t') WHERE readable";
    let lines = query(ctx, sql).await?;
    let lines = lines.iter().map(|line| {
        let words: Vec<_> = line.split('|').collect();
        let recorded = Recorded {
            operation: words[1].to_owned(),
            rows: words[2].parse().ok(),
            added: words[3].parse().ok(),
        };
        (words[0].parse().unwrap(), recorded)
    });
    Ok(lines.collect())
}

/// Reads every version that has not expired, and asks for one that has.
async fn verify_versions(ctx: &SessionContext, log: &Log) -> Verdict<Vec<String>> {
    let readable = log.readable();
    let history = history(ctx).await?;
    let told: Vec<_> = history.keys().copied().collect();
    if told != readable {
        return Err(format!(
            "the history calls {told:?} readable, not {readable:?}"
        ));
    }
    let mut last: Option<(u64, Vec<String>)> = None;
    for version in readable {
        let sql = format!("SELECT a FROM atio_table('t', version => {version})");
        let rows = query(ctx, &sql).await?;
        let recorded = &history[&version];
        if recorded.rows != Some(rows.len()) {
            return Err(format!(
                "version {version} should have {:?} rows and has {rows:?}",
                recorded.rows
            ));
        }
        if let Some((below, before)) = last.filter(|(below, _)| below + 1 == version) {
            let added = match recorded.operation.as_str() {
                "overwrite" | "rollback" | "delete" | "update" | "merge" | "truncate" => None,
                "compact" => Some(0),
                _ => recorded.added,
            };
            let kept = without(&rows, &before);
            if added.is_some_and(|added| kept != Some(added)) {
                return Err(format!(
                    "version {version} has {rows:?}, version {below} had {before:?}"
                ));
            }
        }
        last = Some((version, rows));
    }
    if let Some(expired) = log.unreadable().last() {
        let sql = format!("SELECT a FROM atio_table('t', version => {expired})");
        let error = match run(ctx, &sql).await {
            Ok(batches) => return Err(format!("{sql} gives {:?}", texts(&batches))),
            Err(error) => error,
        };
        if kind(&error) != Some(ErrorKind::VersionExpired) {
            return Err(format!("{sql}: {error}"));
        }
    }
    let (newest, rows) = last.ok_or("no version is readable")?;
    let found = query(ctx, "SELECT a FROM t").await?;
    match found == rows {
        true => Ok(rows),
        false => Err(format!("version {newest} is {rows:?}, the table {found:?}")),
    }
}

/// How many rows are left once those of `before` are taken out; None if one is not there.
fn without(rows: &[String], before: &[String]) -> Option<usize> {
    let mut left = rows.to_vec();
    for row in before {
        let at = left.iter().position(|left| left == row)?;
        left.swap_remove(at);
    }
    Some(left.len())
}

/// Checks that life goes on below `root` where `rows` are there, None if there is no table:
/// the next writes work, and an expiry leaves nothing that no version needs.
pub(super) async fn verify_next(
    store: &Arc<dyn ObjectStore>,
    root: &str,
    rows: Option<Vec<String>>,
) -> Verdict<()> {
    let ctx = session(Arc::clone(store));
    let open = open(root);
    let open = match rows {
        Some(_) => open,
        None => open.replace("TABLE t", "TABLE t (a BIGINT)"),
    };
    query(&ctx, &open).await?;
    let mut rows = rows.unwrap_or_default();
    query(&ctx, &format!("INSERT INTO t VALUES ({NEXT})")).await?;
    rows.push(NEXT.to_owned());
    query(&ctx, EXPIRE_ALL).await?;
    let again = query(&ctx, EXPIRE_ALL).await?;
    if !again.is_empty() {
        return Err(format!("an expiry right after another finds {again:?}"));
    }
    let found = query(&ctx, "SELECT a FROM t").await?;
    if found != sorted(&rows) {
        return Err(format!(
            "after the next statements: {found:?}, not {rows:?}"
        ));
    }
    let log = Log::read(store.as_ref(), root).await?;
    log.check()?;
    let (left, unburied) = (log.leftovers()?, log.unburied());
    match left.is_empty() && unburied.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "expiry leaves {left:?} and the records {unburied:?}"
        )),
    }
}

pub(super) fn sorted(rows: &[String]) -> Vec<String> {
    let mut rows = rows.to_vec();
    rows.sort_unstable();
    rows
}
