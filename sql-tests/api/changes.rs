//! DELETE, UPDATE and TRUNCATE by methods do what the statements do; and what holds for every change
//! of rows, a merge too.

use std::collections::BTreeMap;
use std::sync::Arc;

use atio::{AtioPolicy, AtioTable, CommitOptions, ErrorKind, HistoryOptions, RowsChanged};
use datafusion::prelude::{SessionConfig, SessionContext, col, in_subquery, lit};

use super::stock::{ROWS, commit, frame, refusal, stock};
use super::{content, sql};
use crate::objects::{assert_same, objects};
use crate::session::{Place, on_every_place};

on_every_place!(
    rows_change_by_methods_as_by_statements,
    rows_change_in_no_old_version_and_in_no_session_that_may_only_read,
    rows_change_in_a_session_without_atio_and_in_every_dialect,
    changes_carry_what_they_are_given_and_are_done_once,
);

async fn rows_change_by_methods_as_by_statements(place: Place) {
    let ctx = place.session();
    let (twin, table) = (
        stock(&ctx, &place, "a").await,
        stock(&ctx, &place, "b").await,
    );
    let same = async || {
        assert_eq!(content(&ctx, &table).await, content(&ctx, &twin).await);
        let newest = table.current_version().await.unwrap();
        assert_eq!(newest, twin.current_version().await.unwrap());
    };
    let counts = |changed: RowsChanged| (changed.inserted, changed.updated, changed.deleted);

    let count = sql(
        &ctx,
        "UPDATE a SET n = id + 0.0, v = v || '!' WHERE a.id < 3",
    )
    .await;
    let bang = datafusion::functions::string::expr_fn::concat(vec![col("v"), lit("!")]);
    let values = [("n", col("b.id") + lit(0.0)), ("v", bang)];
    let changed = table
        .update(&ctx, col("b.id").lt(lit(3)), values, commit())
        .await;
    let changed = changed.unwrap();
    assert_eq!((counts(changed), count), ((0, 2, 0), vec!["2".to_owned()]));
    assert_eq!(changed.version.unwrap().get(), 2);
    same().await;

    let none = table
        .delete(&ctx, col("id").gt(lit(99)), commit())
        .await
        .unwrap();
    assert_eq!(none, RowsChanged::default());
    sql(
        &ctx,
        "DELETE FROM a WHERE id = 3 OR v IN (SELECT v FROM a WHERE id = 1)",
    )
    .await;
    let first = table
        .read(&ctx)
        .unwrap()
        .filter(col("id").eq(lit(1)))
        .unwrap();
    let first = first
        .select_columns(&["v"])
        .unwrap()
        .into_unoptimized_plan();
    let of_first = in_subquery(col("v"), Arc::new(first));
    let changed = table
        .delete(&ctx, col("id").eq(lit(3)).or(of_first), commit())
        .await;
    assert_eq!(counts(changed.unwrap()), (0, 0, 2));
    same().await;

    sql(&ctx, "UPDATE a SET n = 1").await;
    let all = table
        .update(&ctx, lit(true), [("n", lit(1))], commit())
        .await;
    assert_eq!(counts(all.unwrap()), (0, 2, 0));
    same().await;
    sql(&ctx, "DELETE FROM a").await;
    let all = table.delete(&ctx, lit(true), commit()).await.unwrap();
    assert_eq!(counts(all), (0, 0, 2));
    same().await;
    assert_eq!(content(&ctx, &table).await, [""; 0]);

    table
        .append(frame(&ctx, ROWS).await, commit())
        .await
        .unwrap();
    let emptied = table.truncate(&ctx, commit()).await.unwrap();
    assert_eq!(counts(emptied), (0, 0, 4));
    assert_eq!(content(&ctx, &table).await, [""; 0]);
    let operations = table.history(HistoryOptions::default()).await.unwrap();
    let operations: Vec<_> = operations.iter().map(|entry| &*entry.operation).collect();
    let expected = [
        "truncate", "append", "delete", "update", "delete", "update", "append", "create",
    ];
    assert_eq!(operations, expected);
}

async fn rows_change_in_no_old_version_and_in_no_session_that_may_only_read(place: Place) {
    let owner = place.session();
    let table = stock(&owner, &place, "t").await;
    table
        .delete(&owner, col("id").eq(lit(3)), commit())
        .await
        .unwrap();
    let before = objects(&place).await;
    let old = table.at(1).await.unwrap();
    let runtime = place.session().runtime_env();
    let reader = SessionContext::new_with_config_rt(SessionConfig::new(), runtime);
    atio::register_with(&reader, AtioPolicy::default().with_write(false)).unwrap();
    let theirs = AtioTable::open(&reader, table.location()).await.unwrap();
    for (ctx, table, kind, words) in [
        (
            &owner,
            old,
            ErrorKind::InvalidInput,
            "cannot write to version 1 of 't'",
        ),
        (
            &reader,
            theirs,
            ErrorKind::NotAllowed,
            "may read and not write",
        ),
    ] {
        let rows = frame(ctx, "SELECT 1 AS id").await;
        let merge = table.merge(rows).on(["id"]).update_all().insert_all();
        for refused in [
            merge.execute(commit()).await,
            table.delete(ctx, lit(true), commit()).await,
            table
                .update(ctx, lit(true), [("n", lit(1))], commit())
                .await,
            table.truncate(ctx, commit()).await,
        ] {
            let (found, text) = refusal(refused);
            assert_eq!(found, kind, "{text}");
            assert!(text.contains(words), "{text}");
        }
    }
    assert_same(&before, &objects(&place).await, "what may not be written");
}

async fn rows_change_in_a_session_without_atio_and_in_every_dialect(place: Place) {
    let owner = place.session();
    let location = stock(&owner, &place, "t").await.location().to_owned();
    let runtime = place.session().runtime_env();
    let config = SessionConfig::new().set_str("datafusion.sql_parser.dialect", "databricks");
    let ctx = SessionContext::new_with_config_rt(config, runtime);
    let table = AtioTable::open(&ctx, &location).await.unwrap();
    let rows = frame(&ctx, "SELECT 1 AS id, 'eins' AS v").await;
    let upsert = table.merge(rows).on(["id"]).update_all().insert_all();
    assert_eq!(upsert.execute(commit()).await.unwrap().updated, 1);
    table
        .delete(&ctx, col("id").gt(lit(1)), commit())
        .await
        .unwrap();
    table
        .update(&ctx, lit(true), [("n", lit(5))], commit())
        .await
        .unwrap();
    assert_eq!(content(&ctx, &table).await, ["1|eins|5", "NULL|none|5"]);
    atio::register(&ctx).unwrap();
    table
        .delete(&ctx, col("id").is_null(), commit())
        .await
        .unwrap();
    assert_eq!(content(&ctx, &table).await, ["1|eins|5"]);
}

async fn changes_carry_what_they_are_given_and_are_done_once(place: Place) {
    let ctx = place.session();
    let table = stock(&ctx, &place, "t").await;
    let given = CommitOptions {
        message: Some("counted".into()),
        properties: BTreeMap::from([("by".into(), "Ada".into())]),
        idempotency_key: Some("k".into()),
        ..commit()
    };
    let upsert = async || {
        let rows = frame(&ctx, "SELECT NULL AS id, 'new' AS v").await;
        let upsert = table.merge(rows).on(["id"]).update_all().insert_all();
        upsert.execute(given.clone()).await.unwrap()
    };
    let first = upsert().await;
    assert_eq!((first.inserted, first.version.unwrap().get()), (1, 2));
    assert_eq!(upsert().await, RowsChanged::default());
    let last = table
        .history(HistoryOptions { limit: Some(1) })
        .await
        .unwrap();
    assert_eq!(last[0].version.get(), 2);
    assert_eq!(last[0].message.as_deref(), Some("counted"));
    assert_eq!(last[0].properties["by"], "Ada");
}
