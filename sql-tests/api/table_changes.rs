//! What changed between versions, asked from Rust, and where versions do not fit together.

use std::sync::Arc;

use atio::{
    AtioTable, ChangesOptions, CommitOptions, CreateOptions, Error, ErrorKind, OverwriteOptions,
    TagOptions, VersionRef,
};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext, col, lit};

use super::{append, batch, frame, sql, table};
use crate::query::{row, rows, texts};
use crate::session::{Place, on_every_place};

on_every_place!(
    changes_go_from_one_version_to_another_whatever_names_them,
    changes_of_rows_with_other_columns_are_refused,
    marked_rows_with_other_columns_are_refused_whatever_version_is_asked_for,
    changes_of_a_table_that_was_made_again_begin_with_it,
    changes_of_a_statement_are_those_of_its_version,
);

/// What changed, or the kind of error and what it says.
async fn changed(
    ctx: &SessionContext,
    table: &AtioTable,
    options: ChangesOptions,
) -> Result<Vec<String>, (ErrorKind, String)> {
    let frame = table.changes(ctx, options).await;
    let frame = frame.map_err(|error| (error.kind(), error.to_string()))?;
    let frame = frame.select_columns(&["_version", "_change", "a"]);
    match frame.unwrap().collect().await {
        Ok(batches) => Ok(texts(&batches)),
        Err(error) => Err((kind(&error), error.to_string())),
    }
}

fn kind(error: &DataFusionError) -> ErrorKind {
    Error::find(error).unwrap().kind()
}

fn between(from: impl Into<VersionRef>, to: impl Into<VersionRef>) -> ChangesOptions {
    ChangesOptions {
        from: Some(from.into()),
        to: to.into(),
        ..ChangesOptions::default()
    }
}

async fn changes_go_from_one_version_to_another_whatever_names_them(place: Place) {
    let ctx = place.session();
    let table = table(&ctx, &place, &[&[1], &[2], &[3]]).await;
    let all = ["1|insert|1", "2|insert|2", "3|insert|3"];
    let options = ChangesOptions::default;
    assert_eq!(changed(&ctx, &table, options()).await.unwrap(), all);
    let second = changed(&ctx, &table, between(1, 2)).await.unwrap();
    assert_eq!(second, ["2|insert|2"]);

    let tag = TagOptions {
        version: 2.into(),
        ..TagOptions::default()
    };
    table.tag("best", tag).await.unwrap();
    let third = changed(&ctx, &table, between("best", VersionRef::Newest)).await;
    assert_eq!(third.unwrap(), ["3|insert|3"]);
    let history = table
        .history(atio::HistoryOptions::default())
        .await
        .unwrap();
    let of_first = history.iter().find(|entry| entry.version.get() == 1);
    let time = of_first.unwrap().committed_at.unwrap();
    let since = changed(&ctx, &table, between(time, "best")).await.unwrap();
    assert_eq!(since, ["2|insert|2"]);
    let held = table.at(2).await.unwrap();
    assert_eq!(changed(&ctx, &held, options()).await.unwrap(), all[..2]);

    let net = ChangesOptions {
        net: true,
        ..between(0, 2)
    };
    let net = changed(&ctx, &table, net).await.unwrap();
    assert_eq!(net, ["2|insert|1", "2|insert|2"]);
    for (options, kind) in [
        (between(3, 2), ErrorKind::InvalidInput),
        (between(1, 99), ErrorKind::VersionNotFound),
        (between("none", 3), ErrorKind::VersionNotFound),
        (between(99, VersionRef::Newest), ErrorKind::VersionNotFound),
    ] {
        let (found, error) = changed(&ctx, &table, options).await.unwrap_err();
        assert_eq!(found, kind, "{error}");
    }
}

async fn changes_of_rows_with_other_columns_are_refused(place: Place) {
    let ctx = place.session();
    let table = table(&ctx, &place, &[&[1], &[2]]).await;
    let wider = frame(&ctx, &[7])
        .select_exprs(&["a", "a + 1 AS b"])
        .unwrap();
    let options = OverwriteOptions {
        replace_columns: true,
        ..OverwriteOptions::default()
    };
    table.overwrite(wider, options).await.unwrap();
    let more = frame(&ctx, &[8])
        .select_exprs(&["a", "a + 1 AS b"])
        .unwrap();
    table.append(more, CommitOptions::default()).await.unwrap();

    let before = changed(&ctx, &table, between(0, 2)).await.unwrap();
    assert_eq!(before, ["1|insert|1", "2|insert|2"]);
    let after = changed(&ctx, &table, between(3, 4)).await.unwrap();
    assert_eq!(after, ["4|insert|8"]);
    let net = ChangesOptions {
        net: true,
        ..between(0, 4)
    };
    // No row of the old columns is in either.
    let net = changed(&ctx, &table, net).await.unwrap();
    assert_eq!(net, ["4|insert|7", "4|insert|8"]);
    let net_of_old = ChangesOptions {
        net: true,
        ..between(2, 4)
    };
    let replaced = "version 3 replaced it: ask for the changes with to => 2, and for the later ones with from => 3; net => true without from gives all rows of version";
    for (options, version) in [(between(2, 3), 3), (between(0, 4), 1), (net_of_old, 4)] {
        let (kind, error) = changed(&ctx, &table, options).await.unwrap_err();
        assert_eq!(kind, ErrorKind::InvalidInput, "{error}");
        let says = format!(
            "rows that version {version} of 't' changed have a column 'a' which is another column in version"
        );
        assert!(error.contains(&says), "{error}");
        assert!(error.contains(replaced), "{error}");
    }
}

/// The version with which the last of these rows went need not be one of those that are read.
async fn marked_rows_with_other_columns_are_refused_whatever_version_is_asked_for(place: Place) {
    let ctx = place.session();
    let table = table(&ctx, &place, &[&[1, 2, 3, 4, 5, 6, 7, 8]]).await;
    let location = format!("{}/t", place.root());
    let open = format!("CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{location}'");
    sql(&ctx, &open).await;
    rows(&ctx, "DELETE FROM t WHERE a = 3").await;
    let deleted = changed(&ctx, &table, between(1, 2)).await.unwrap();
    assert_eq!(deleted, ["2|delete|3"]);
    let options = OverwriteOptions {
        replace_columns: true,
        ..OverwriteOptions::default()
    };
    let other = frame(&ctx, &[7]).select_exprs(&["a + 1 AS b"]).unwrap();
    table.overwrite(other, options).await.unwrap();
    let changes = table.changes(&ctx, between(1, 3)).await.unwrap();
    let deleted = changes.filter(col("_version").eq(lit(2_i64))).unwrap();
    let error = deleted.collect().await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::InvalidInput, "{error}");
    let says =
        "'a' which is not in version 3; version 3 replaced it: ask for the changes with to => 2,";
    assert!(error.to_string().contains(says), "{error}");
}

async fn changes_of_a_table_that_was_made_again_begin_with_it(place: Place) {
    let ctx = place.session();
    // Whose name a catalog could have, as it drops tables of a disk.
    let location = format!("{}/lake/t", place.root());
    let columns = batch(&[]).schema();
    let create = || AtioTable::create(&ctx, &location, &columns, CreateOptions::default());
    let old = create().await.unwrap();
    append(&ctx, &old, &[1]).await;
    append(&ctx, &old, &[2]).await;
    let kept = old.changes(&ctx, ChangesOptions::default()).await.unwrap();
    old.drop_table(&ctx).await.unwrap();
    let new = create().await.unwrap();
    append(&ctx, &new, &[5]).await;
    let version = new.current_version().await.unwrap();
    let expected = [format!("{version}|insert|5")];
    let options = ChangesOptions::default();
    assert_eq!(changed(&ctx, &new, options).await.unwrap(), expected);
    // What was planned on the old one finds the new one, or says so; never a mixture.
    match kept
        .select_columns(&["_version", "_change", "a"])
        .unwrap()
        .collect()
        .await
    {
        Ok(batches) => assert_eq!(texts(&batches), expected),
        Err(error) => assert_eq!(kind(&error), ErrorKind::SchemaChanged, "{error}"),
    }
    if let Some(first) = version.previous().and_then(|created| created.previous()) {
        let failed = changed(&ctx, &new, between(first, version)).await;
        let (kind, error) = failed.unwrap_err();
        assert_eq!(kind, ErrorKind::VersionExpired, "{error}");
    }
}

/// The newest version is the one that the statement reads in all other places, too.
async fn changes_of_a_statement_are_those_of_its_version(place: Place) {
    let ctx = place.session();
    table(&ctx, &place, &[&[1], &[2]]).await;
    let location = format!("{}/t", place.root());
    let open = format!("CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{location}'");
    sql(&ctx, &open).await;
    let both = "SELECT count(*) AS n, (SELECT count(*) FROM t) AS m FROM atio_changes('t')";
    let frame = ctx.sql(both).await.unwrap();
    rows(&ctx, "INSERT INTO t VALUES (3)").await;
    assert_eq!(texts(&frame.clone().collect().await.unwrap()), ["3|3"]);
    rows(&ctx, "INSERT INTO t VALUES (4)").await;
    assert_eq!(texts(&frame.collect().await.unwrap()), ["4|4"]);
    // Of a statement that writes, the version on which it writes.
    rows(
        &ctx,
        "INSERT INTO t SELECT a + 10 FROM atio_changes('t', from => 3)",
    )
    .await;
    assert_eq!(row(&ctx, "SELECT max(a) FROM t").await, "14");
}

/// What is compared is sorted on the disk where it does not fit.
#[tokio::test]
async fn rows_of_a_large_file_that_only_moved_need_little_memory() {
    let place = Place::disk();
    let writer = place.session();
    let location = format!("{}/t", place.root());
    let create = format!(
        "CREATE EXTERNAL TABLE t (id BIGINT, s VARCHAR) STORED AS ATIO LOCATION '{location}'"
    );
    rows(&writer, &create).await;
    let insert =
        "INSERT INTO t SELECT value, repeat(CAST(value AS VARCHAR), 20) FROM range(0, 200000)";
    rows(&writer, insert).await;
    rows(&writer, "SET atio.delete_mode = 'rewrite'").await;
    rows(&writer, "DELETE FROM t WHERE id = 77").await;

    let memory = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(24 << 20)))
        .build_arc()
        .unwrap();
    let config = SessionConfig::new()
        .with_target_partitions(1)
        .with_sort_spill_reservation_bytes(2 << 20);
    let reader = SessionContext::new_with_config_rt(config, memory);
    atio::register(&reader).unwrap();
    let changes = format!("SELECT _change, id FROM atio_changes('{location}', from => 1)");
    assert_eq!(rows(&reader, &changes).await, ["delete|77"]);
}

/// Several sorts share a limited memory, and none takes all of it.
#[tokio::test]
async fn rows_of_several_partitions_are_compared_in_little_memory() {
    let place = Place::disk();
    let writer = place.session();
    let location = format!("{}/t", place.root());
    let create = format!(
        "CREATE EXTERNAL TABLE t (id BIGINT, x BIGINT) STORED AS ATIO LOCATION '{location}'"
    );
    rows(&writer, &create).await;
    let insert = "INSERT INTO t SELECT value, value % 7 FROM range(0, 600000)";
    rows(&writer, insert).await;
    rows(&writer, "SET atio.delete_mode = 'rewrite'").await;
    rows(&writer, "UPDATE t SET x = 8 WHERE id = 77").await;

    let memory = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(20 << 20)))
        .build_arc()
        .unwrap();
    let config = SessionConfig::new().with_target_partitions(2);
    let reader = SessionContext::new_with_config_rt(config, memory);
    atio::register(&reader).unwrap();
    for net in [true, false] {
        let changes = format!(
            "SELECT _change, id, x FROM atio_changes('{location}', from => 1, key => 'id', net => {net})"
        );
        assert_eq!(
            rows(&reader, &changes).await,
            ["update_after|77|8", "update_before|77|0"]
        );
    }
}
