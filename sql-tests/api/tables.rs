//! What can be done to a table in Rust does what its SQL does.

use std::time::Duration;

use atio::{
    AtioTable, CommitOptions, CreateOptions, ExpireOptions, HistoryOptions, OverwriteOptions,
    TagOptions, VersionRef, batches,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::util::pretty::pretty_format_batches;

use super::{append, content, frame, meanwhile, table};
use crate::query::{rows, texts};
use crate::session::{Place, on_every_place, run};

on_every_place!(
    every_version_is_read_by_number_tag_and_time,
    rows_are_found_by_name_and_missing_ones_are_null,
    commits_carry_what_they_are_given_and_tell_what_they_did,
    load_in_chunks_tells_its_last_version_and_goes_on_under_its_key,
    overwrite_with_other_columns_is_one_version_and_old_ones_keep_theirs,
    overwrite_with_other_columns_passes_over_a_tag_and_not_over_rows,
    columns_go_back_by_a_rollback_and_no_schema_has_the_id_of_another,
    functions_of_sql_give_the_rows_of_the_methods,
    dry_run_deletes_nothing_and_names_what_the_real_one_deletes,
);

async fn every_version_is_read_by_number_tag_and_time(place: Place) {
    let ctx = place.session();
    let table = table(&ctx, &place, &[&[1], &[2]]).await;
    let options = TagOptions {
        version: 1.into(),
        ..TagOptions::default()
    };
    table.tag("first", options).await.unwrap();
    append(&ctx, &table, &[3]).await;

    let history = table.history(HistoryOptions::default()).await.unwrap();
    assert_eq!(history.len(), 5);
    assert!(history.is_sorted_by(|newer, older| newer.version > older.version));
    let second = history.iter().find(|entry| entry.version.get() == 2);
    let second = second.unwrap().committed_at.unwrap();
    for (version, expected) in [
        (VersionRef::Newest, 3),
        (0.into(), 0),
        (1.into(), 1),
        ("first".into(), 1),
        (String::from("first").into(), 1),
        (second.into(), 2),
    ] {
        let old = table.at(version.clone()).await.unwrap();
        let held = content(&ctx, &old).await;
        assert_eq!(held.len(), expected, "{version:?}");
        // Whatever is committed later.
        append(&ctx, &table, &[]).await;
        assert_eq!(content(&ctx, &old).await, held);
    }
    assert_eq!(content(&ctx, &table).await, ["1", "2", "3"]);

    // Two versions in one query are two.
    let (one, two) = (table.at(1).await.unwrap(), table.at(2).await.unwrap());
    let both = one.read(&ctx).unwrap().union(two.read(&ctx).unwrap());
    let both = both.unwrap().collect().await.unwrap();
    assert_eq!(texts(&both), ["1", "1", "2"]);
}

async fn rows_are_found_by_name_and_missing_ones_are_null(place: Place) {
    let ctx = place.session();
    let location = format!("{}/t", place.root());
    let columns = Schema::new(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("b", DataType::Utf8, true),
        Field::new("c", DataType::Float64, true),
    ]);
    let options = CreateOptions::default();
    let table = AtioTable::create(&ctx, &location, &columns, options).await;
    let table = table.unwrap();

    let other_order = "SELECT 'y' AS b, CAST(2 AS INT) AS a";
    let rows = ctx.sql(other_order).await.unwrap();
    table.append(rows, CommitOptions::default()).await.unwrap();
    let float = ctx.sql("SELECT CAST(0.25 AS REAL) AS c, NULL AS b, 3 AS a");
    let float = float.await.unwrap();
    table.append(float, CommitOptions::default()).await.unwrap();
    assert_eq!(content(&ctx, &table).await, ["2|y|NULL", "3|NULL|0.25"]);
}

async fn commits_carry_what_they_are_given_and_tell_what_they_did(place: Place) {
    let ctx = place.session();
    let table = table(&ctx, &place, &[]).await;
    let commit = CommitOptions {
        message: Some("why".into()),
        properties: [("model".into(), "7".into())].into(),
        idempotency_key: Some("k".into()),
        ..CommitOptions::default()
    };
    // What is SET in the session is for statements of the session.
    run(&ctx, "SET atio.message = 'for SQL'").await.unwrap();
    let written = table.append(frame(&ctx, &[1, 2]), commit.clone()).await;
    let written = written.unwrap();
    assert_eq!((written.rows, written.version.unwrap().get()), (2, 1));
    let again = table.append(frame(&ctx, &[1, 2]), commit).await.unwrap();
    assert_eq!((again.rows, again.version), (0, None));
    let none = table.append(frame(&ctx, &[]), CommitOptions::default());
    assert_eq!(none.await.unwrap().version, None);

    let emptied = table.overwrite(frame(&ctx, &[]), OverwriteOptions::default());
    let emptied = emptied.await.unwrap();
    assert_eq!((emptied.rows, emptied.version.unwrap().get()), (0, 2));
    let message = CommitOptions {
        message: Some("back".into()),
        ..CommitOptions::default()
    };
    let back = table.rollback(1, message).await.unwrap();
    assert_eq!(back.version.get(), 1);
    assert_eq!(back.committed.unwrap().get(), 3);
    let nothing = table.rollback(3, CommitOptions::default()).await.unwrap();
    assert_eq!(nothing.committed, None);

    let history = table.history(HistoryOptions { limit: Some(3) }).await;
    let history = history.unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|entry| {
            let rows = entry.totals.unwrap().rows;
            let message = entry.message.as_deref().unwrap_or("-");
            format!("{} {} {rows} {message}", entry.version, entry.operation)
        })
        .collect();
    assert_eq!(
        told,
        ["3 rollback 2 back", "2 overwrite 0 -", "1 append 2 why"]
    );
    assert_eq!(history[2].properties["model"], "7");
    assert_eq!(history[2].key.as_deref(), Some("k"));
    assert_eq!(table.current_version().await.unwrap().get(), 3);
    let left = rows(
        &ctx,
        "SELECT value FROM information_schema.df_settings WHERE name = 'atio.message'",
    );
    assert_eq!(left.await, ["for SQL"]);
}

async fn load_in_chunks_tells_its_last_version_and_goes_on_under_its_key(place: Place) {
    let ctx = place.session();
    let table = table(&ctx, &place, &[]).await;
    let commit = CommitOptions {
        idempotency_key: Some("load".into()),
        commit_every_rows: Some(2),
        ..CommitOptions::default()
    };
    let values = ctx.sql("SELECT a FROM (VALUES (1), (2), (3), (4), (5)) AS v(a)");
    let values = values.await.unwrap();
    let written = table.append(values, commit).await.unwrap();
    assert_eq!((written.rows, written.version.unwrap().get()), (5, 3));
    assert!(table.sources().await.unwrap().is_empty());
}

async fn overwrite_with_other_columns_is_one_version_and_old_ones_keep_theirs(place: Place) {
    let ctx = place.session();
    let table = table(&ctx, &place, &[&[1, 2]]).await;
    let location = table.location().to_owned();
    let other = place.session();
    let seen_before = AtioTable::open(&other, &location).await.unwrap();

    let named = table.read(&ctx).unwrap();
    let named = named.select_exprs(&["'x' AS b", "a + 1 AS a"]).unwrap();
    let options = OverwriteOptions {
        replace_columns: true,
        ..OverwriteOptions::default()
    };
    let written = table.overwrite(named, options.clone()).await.unwrap();
    assert_eq!((written.rows, written.version.unwrap().get()), (2, 2));

    for ctx in [&ctx, &other] {
        let table = AtioTable::open(ctx, &location).await.unwrap();
        assert_eq!(content(ctx, &table).await, ["x|2", "x|3"]);
        let old = table.at(1).await.unwrap();
        assert_eq!(content(ctx, &old).await, ["1", "2"]);
    }
    // A column of the old name is another one: nothing of it is read from old files, and what was
    // planned before says so.
    let stale = seen_before.read(&other).unwrap().collect().await;
    let stale = stale.unwrap_err().to_string();
    assert!(
        stale.contains("was changed after this statement"),
        "{stale}"
    );
    let table = AtioTable::open(&ctx, &location).await.unwrap();
    let one = table.read(&ctx).unwrap();
    let filtered = one.filter(datafusion::prelude::col("a").gt(datafusion::prelude::lit(2)));
    assert_eq!(filtered.unwrap().count().await.unwrap(), 1);
    append(&ctx, &table, &[9]).await;
    assert_eq!(content(&ctx, &table).await, ["NULL|9", "x|2", "x|3"]);

    // With the same columns nothing of them changes.
    let same = table.read(&ctx).unwrap();
    let before = table.history(HistoryOptions::default()).await.unwrap();
    table.overwrite(same, options).await.unwrap();
    let table = AtioTable::open(&ctx, &location).await.unwrap();
    assert_eq!(content(&ctx, &table).await, ["NULL|9", "x|2", "x|3"]);
    let after = table.history(HistoryOptions::default()).await.unwrap();
    assert_eq!(after.len(), before.len() + 1);
    assert_eq!(after[0].removed.unwrap().rows, 3);
}

async fn overwrite_with_other_columns_passes_over_a_tag_and_not_over_rows(place: Place) {
    let ctx = place.session();
    let table = table(&ctx, &place, &[&[1]]).await;
    let location = table.location().to_owned();
    let other = place.session();
    let theirs = AtioTable::open(&other, &location).await.unwrap();
    let options = OverwriteOptions {
        replace_columns: true,
        ..OverwriteOptions::default()
    };
    // While the query runs, another session names the version that it was planned on.
    let tag = format!("SELECT * FROM atio_tag('{location}', tag => 'kept')");
    ctx.register_udf(meanwhile(place.session(), tag));
    let source = ctx.sql("SELECT CAST(meanwhile(7) AS VARCHAR) AS b").await;
    let written = table.overwrite(source.unwrap(), options.clone()).await;
    assert_eq!(written.unwrap().version.unwrap().get(), 3);
    let table = AtioTable::open(&ctx, &location).await.unwrap();
    assert_eq!(content(&ctx, &table).await, ["7"]);
    assert_eq!(table.tags().await.unwrap()[0].version.get(), 1);
    assert_eq!(content(&ctx, &table.at("kept").await.unwrap()).await, ["1"]);

    // An append that was planned with the old columns does not land.
    let late = theirs.append(frame(&other, &[5]), CommitOptions::default());
    let late = late.await.unwrap_err();
    assert_eq!(late.kind(), atio::ErrorKind::SchemaChanged, "{late}");

    // Rows that come meanwhile stand against it.
    let table = AtioTable::open(&ctx, &location).await.unwrap();
    let late = place.session();
    let there = AtioTable::open(&late, &location).await.unwrap();
    late.register_table("other", std::sync::Arc::new(there))
        .unwrap();
    ctx.register_udf(meanwhile(late, "INSERT INTO other VALUES ('late')"));
    let source = ctx.sql("SELECT meanwhile(7) AS c").await.unwrap();
    let lost = table.overwrite(source, options).await.unwrap_err();
    assert_eq!(lost.kind(), atio::ErrorKind::Conflict, "{lost}");
    assert_eq!(content(&ctx, &table).await, ["7", "late"]);
}

async fn columns_go_back_by_a_rollback_and_no_schema_has_the_id_of_another(place: Place) {
    let ctx = place.session();
    let table = table(&ctx, &place, &[&[1]]).await;
    let location = table.location().to_owned();
    let options = OverwriteOptions {
        replace_columns: true,
        ..OverwriteOptions::default()
    };
    for (round, text) in ["SELECT 'b' AS b", "SELECT 'c' AS c, 1 AS d"]
        .into_iter()
        .enumerate()
    {
        let table = AtioTable::open(&ctx, &location).await.unwrap();
        let rows = ctx.sql(text).await.unwrap();
        table.overwrite(rows, options.clone()).await.unwrap();
        let table = AtioTable::open(&ctx, &location).await.unwrap();
        table.rollback(1, CommitOptions::default()).await.unwrap();
        let table = AtioTable::open(&ctx, &location).await.unwrap();
        assert_eq!(content(&ctx, &table).await, ["1"], "{round}");
        append(&ctx, &table, &[]).await;
    }
    let table = AtioTable::open(&place.session(), &location).await.unwrap();
    for (version, expected) in [(1, "1"), (2, "b"), (3, "1"), (4, "c|1"), (5, "1")] {
        let old = table.at(version).await.unwrap();
        assert_eq!(content(&ctx, &old).await, [expected], "{version}");
    }
    let ids = crate::objects::objects(&place).await;
    let ids = ids
        .iter()
        .filter(|(name, _)| name.contains("metadata/schema-"));
    let mut ids: Vec<_> = ids
        .map(|(_, bytes)| {
            let schema: serde_json::Value = serde_json::from_slice(bytes).unwrap();
            schema["id"].as_u64().unwrap()
        })
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3]);
}

async fn functions_of_sql_give_the_rows_of_the_methods(place: Place) {
    let ctx = place.session();
    let table = table(&ctx, &place, &[&[1], &[2, 3]]).await;
    let options = TagOptions {
        message: Some("m".into()),
        ..TagOptions::default()
    };
    table.tag("best", options).await.unwrap();
    let location = table.location();
    let function = async |call: &str| {
        let sql = format!("SELECT * FROM {call}('{location}')");
        pretty_format_batches(&run(&ctx, &sql).await.unwrap())
            .unwrap()
            .to_string()
    };
    let shown = |batch| pretty_format_batches(&[batch]).unwrap().to_string();

    let mut history = table.history(HistoryOptions::default()).await.unwrap();
    history.reverse();
    let history = batches::history(&history).unwrap();
    assert_eq!(function("atio_history").await, shown(history));
    let files = table.files(VersionRef::Newest).await.unwrap();
    assert_eq!(files.iter().filter_map(|file| file.rows).sum::<u64>(), 3);
    let files = batches::files(&files).unwrap();
    assert_eq!(function("atio_files").await, shown(files));
    let tags = batches::tags(&table.tags().await.unwrap()).unwrap();
    assert_eq!(function("atio_tags").await, shown(tags));
    let found = table.expire(ExpireOptions::default()).await.unwrap();
    let found = batches::expired(&found).unwrap();
    assert_eq!(function("expire_snapshots").await, shown(found));
}

async fn dry_run_deletes_nothing_and_names_what_the_real_one_deletes(place: Place) {
    let ctx = place.session();
    let table = table(&ctx, &place, &[&[1]]).await;
    let replaced = table.overwrite(frame(&ctx, &[2]), OverwriteOptions::default());
    replaced.await.unwrap();
    let mut options = ExpireOptions {
        keep_for: Duration::ZERO,
        ..ExpireOptions::default()
    };
    let before = crate::objects::objects(&place).await;
    let found = table.expire(options.clone()).await.unwrap();
    let after = crate::objects::objects(&place).await;
    crate::objects::assert_same(&before, &after, "a dry run");
    assert!(found.files() > 0 && found.bytes() > 0);
    assert_eq!((found.deleted(), found.deleted_bytes()), (0, 0));

    options.dry_run = false;
    let expired = table.expire(options).await.unwrap();
    assert_eq!(expired.files(), expired.deleted());
    let paths = |expired: &atio::Expired| -> Vec<_> {
        expired.rows.iter().map(|row| row.path.clone()).collect()
    };
    assert_eq!(paths(&found), paths(&expired));
    assert_eq!(content(&ctx, &table).await, ["2"]);
}
