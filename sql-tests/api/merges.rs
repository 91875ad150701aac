//! MERGE by the builder does what the statement does, and upserts by a key.

use atio::{
    AtioTable, CommitOptions, CreateOptions, ErrorKind, HistoryOptions, Merge, RowsChanged,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::logical_expr::Expr;
use datafusion::prelude::{col, lit, when};

use super::stock::{commit, frame, refusal, stock};
use super::{content, refused, sql};
use crate::objects::{assert_same, objects};
use crate::session::{Place, on_every_place};

on_every_place!(
    clauses_of_a_merge_do_what_those_of_sql_do,
    upsert_that_runs_twice_gives_the_same_table,
    columns_that_a_source_has_not_stay_or_are_null,
    keys_that_come_twice_change_nothing_and_are_named,
    merge_that_cannot_be_is_refused_and_changes_nothing,
);

/// What a merge is to do.
type Built = fn(Merge) -> Merge;

async fn clauses_of_a_merge_do_what_those_of_sql_do(place: Place) {
    let ctx = place.session();
    let source = "SELECT * FROM (VALUES (2, 'zwei', 7), (3, 'drei', 0), (6, 'sechs', 6), \
                  (NULL, 'nichts', 9)) AS s(id, v, n)";
    let mixes: [(&str, Built, [u64; 3]); 8] = [
        (
            "WHEN MATCHED THEN UPDATE SET v = s.v, n = s.n \
             WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.v, s.n)",
            |merge| merge.update_all().insert_all(),
            [2, 2, 0],
        ),
        (
            "WHEN MATCHED AND s.n = 0 THEN DELETE \
             WHEN MATCHED THEN UPDATE SET n = t.n + s.n \
             WHEN NOT MATCHED AND s.id IS NOT NULL THEN INSERT (id, v) VALUES (s.id, upper(s.v)) \
             WHEN NOT MATCHED BY SOURCE AND t.n < 5 THEN DELETE \
             WHEN NOT MATCHED BY SOURCE THEN UPDATE SET v = 'gone'",
            |merge| {
                let upper = datafusion::functions::string::expr_fn::upper(col("source.v"));
                merge
                    .when_matched_delete(col("source.n").eq(lit(0)))
                    .when_matched_update(None, [("n", col("target.n") + col("source.n"))])
                    .when_not_matched_insert(
                        col("id").is_not_null(),
                        [("id", col("source.id")), ("v", upper)],
                    )
                    .when_not_matched_by_source_delete(col("n").lt(lit(5)))
                    .when_not_matched_by_source_update(None, [("v", lit("gone"))])
            },
            [1, 2, 2],
        ),
        (
            "WHEN MATCHED THEN DELETE",
            |merge| merge.when_matched_delete(None),
            [0, 0, 2],
        ),
        (
            "WHEN NOT MATCHED BY SOURCE THEN DELETE",
            |merge| merge.when_not_matched_by_source_delete(None),
            [0, 0, 2],
        ),
        (
            "WHEN NOT MATCHED AND s.n > 7 THEN INSERT (id, v, n) VALUES (s.id, s.v, s.n)",
            |merge| merge.when_not_matched_insert_all(col("source.n").gt(lit(7))),
            [1, 0, 0],
        ),
        (
            "WHEN MATCHED AND s.v > t.v THEN UPDATE SET v = s.v, n = s.n",
            |merge| merge.when_matched_update_all(col("source.v").gt(col("target.v"))),
            [0, 1, 0],
        ),
        (
            "WHEN MATCHED THEN UPDATE SET n = CASE WHEN s.n > 0 THEN 2.0 ELSE NULL END",
            |merge| {
                let two = when(col("source.n").gt(lit(0)), lit(2.0)).end().unwrap();
                merge.when_matched_update(None, [("n", two)])
            },
            [0, 2, 0],
        ),
        (
            "WHEN MATCHED AND s.n > 100 THEN DELETE",
            |merge| merge.when_matched_delete(col("source.n").gt(lit(100))),
            [0, 0, 0],
        ),
    ];
    for (at, (clauses, built, expected)) in mixes.into_iter().enumerate() {
        let (by_sql, by_method) = (format!("sql{at}"), format!("rust{at}"));
        let twin = stock(&ctx, &place, &by_sql).await;
        let table = stock(&ctx, &place, &by_method).await;
        let text =
            format!("MERGE INTO {by_sql} AS t USING ({source}) AS s ON t.id = s.id {clauses}");
        let count = sql(&ctx, &text).await;

        let merge = built(table.merge(frame(&ctx, source).await).on(["id"]));
        let changed = merge.execute(commit()).await.unwrap();
        assert_eq!(
            content(&ctx, &table).await,
            content(&ctx, &twin).await,
            "{clauses}"
        );
        let RowsChanged {
            inserted,
            updated,
            deleted,
            version,
            ..
        } = changed;
        assert_eq!([inserted, updated, deleted], expected, "{clauses}");
        assert_eq!(
            count,
            [(inserted + updated + deleted).to_string()],
            "{clauses}"
        );
        let made = expected != [0; 3];
        assert_eq!(version.map(|version| version.get()), made.then_some(2));
        assert_eq!(
            table.current_version().await.unwrap(),
            twin.current_version().await.unwrap()
        );
    }

    // A condition in place of keys, and the table itself as the source.
    let (by_sql, by_method) = (
        stock(&ctx, &place, "a").await,
        stock(&ctx, &place, "b").await,
    );
    let text = "MERGE INTO a USING (SELECT id, n FROM a) AS s ON a.id + 1 = s.id \
                WHEN MATCHED THEN UPDATE SET n = s.n WHEN NOT MATCHED THEN INSERT (n) VALUES (-s.n)";
    sql(&ctx, text).await;
    let itself = by_method
        .read(&ctx)
        .unwrap()
        .select_columns(&["id", "n"])
        .unwrap();
    let merge = by_method
        .merge(itself)
        .on_condition((col("target.id") + lit(1)).eq(col("source.id")))
        .when_matched_update(None, [("n", col("source.n"))])
        .when_not_matched_insert(None, [("n", -col("n"))]);
    let changed = merge.execute(commit()).await.unwrap();
    assert_eq!((changed.updated, changed.inserted), (2, 2));
    assert_eq!(
        content(&ctx, &by_method).await,
        content(&ctx, &by_sql).await
    );
    let last = by_method.history(HistoryOptions { limit: Some(1) }).await;
    assert_eq!(last.unwrap()[0].operation, "merge");
}

async fn upsert_that_runs_twice_gives_the_same_table(place: Place) {
    let ctx = place.session();
    let table = stock(&ctx, &place, "t").await;
    let source = "SELECT * FROM (VALUES ('zwei', 2, 7), ('sechs', 6, 6)) AS s(v, id, n)";
    let upsert = async || {
        let rows = frame(&ctx, source).await;
        let upsert = table.merge(rows).on(["id"]).update_all().insert_all();
        upsert.execute(commit()).await.unwrap()
    };
    let first = upsert().await;
    assert_eq!((first.updated, first.inserted), (1, 1));
    let after = content(&ctx, &table).await;
    assert_eq!(
        after,
        [
            "1|one|10",
            "2|zwei|7",
            "3|three|30",
            "6|sechs|6",
            "NULL|none|0"
        ]
    );
    let second = upsert().await;
    assert_eq!((second.updated, second.inserted), (2, 0));
    assert_eq!(content(&ctx, &table).await, after);

    let empty = frame(&ctx, &format!("{source} WHERE false")).await;
    let none = table.merge(empty).on(["id"]).update_all().insert_all();
    assert_eq!(
        none.execute(commit()).await.unwrap(),
        RowsChanged::default()
    );
    assert_eq!(table.current_version().await.unwrap().get(), 3);
}

async fn columns_that_a_source_has_not_stay_or_are_null(place: Place) {
    let ctx = place.session();
    let table = stock(&ctx, &place, "t").await;
    let rows = frame(&ctx, "SELECT * FROM (VALUES (8, 1), (9, 4)) AS s(n, id)").await;
    let upsert = table.merge(rows).on(["id"]).update_all().insert_all();
    upsert.execute(commit()).await.unwrap();
    let expected = [
        "1|one|8",
        "2|two|20",
        "3|three|30",
        "4|NULL|9",
        "NULL|none|0",
    ];
    assert_eq!(content(&ctx, &table).await, expected);

    // A source that has the keys alone, and NULL in one: it is the same as no other.
    let keys = frame(
        &ctx,
        "SELECT * FROM (VALUES (1), (5), (NULL), (NULL)) AS s(id)",
    )
    .await;
    let upsert = table.merge(keys).on(["id"]).update_all().insert_all();
    let changed = upsert.execute(commit()).await.unwrap();
    assert_eq!((changed.updated, changed.inserted), (1, 3));
    let found = content(&ctx, &table).await;
    assert_eq!(
        found.iter().filter(|row| *row == "NULL|NULL|NULL").count(),
        2
    );
    assert!(found.contains(&"1|one|8".to_owned()), "{found:?}");

    // NOT NULL matters where a row is inserted.
    let columns = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("needed", DataType::Int64, false),
        Field::new("n", DataType::Int64, true),
    ]);
    let location = format!("{}/strict", place.root());
    let strict = AtioTable::create(&ctx, &location, &columns, CreateOptions::default()).await;
    let strict = strict.unwrap();
    let row = frame(&ctx, "SELECT 1 AS id, 2 AS needed").await;
    strict.append(row, commit()).await.unwrap();
    let before = objects(&place).await;
    let new = frame(&ctx, "SELECT * FROM (VALUES (1, 5), (2, 6)) AS s(id, n)").await;
    let upsert = strict.merge(new).on(["id"]).update_all().insert_all();
    let (kind, text) = refusal(upsert.execute(commit()).await);
    assert_eq!(kind, ErrorKind::InvalidInput);
    assert!(text.contains("column 'needed' is NOT NULL"), "{text}");
    let null = [(
        "needed",
        Expr::Literal(datafusion::common::ScalarValue::Int64(None), None),
    )];
    let (_, text) = refusal(strict.update(&ctx, lit(true), null, commit()).await);
    assert!(text.contains("column 'needed' is NOT NULL"), "{text}");
    assert_same(&before, &objects(&place).await, "NULL in NOT NULL");
    let known = frame(&ctx, "SELECT 1 AS id, 5 AS n").await;
    let upsert = strict.merge(known).on(["id"]).update_all().insert_all();
    assert_eq!(upsert.execute(commit()).await.unwrap().updated, 1);
    assert_eq!(content(&ctx, &strict).await, ["1|2|5"]);
}

async fn keys_that_come_twice_change_nothing_and_are_named(place: Place) {
    let ctx = place.session();
    let table = stock(&ctx, &place, "t").await;
    let before = objects(&place).await;
    let several = "SELECT value + 100 AS id, 'x' AS v FROM generate_series(1, 20000) \
                   UNION ALL SELECT 19999, 'y'";
    for (source, words) in [
        (
            "SELECT * FROM (VALUES (2, 'a'), (2, 'b')) AS s(id, v)",
            "match one row of the table (id = 2)",
        ),
        (
            "SELECT * FROM (VALUES (9, 'a'), (9, 'a')) AS s(id, v)",
            "one key (id = 9)",
        ),
        (several, "one key (id = 19999)"),
    ] {
        let rows = frame(&ctx, source).await;
        let upsert = table.merge(rows).on(["id"]).update_all().insert_all();
        let (kind, text) = refusal(upsert.execute(commit()).await);
        assert_eq!(kind, ErrorKind::InvalidInput);
        assert!(
            text.contains(words) && text.contains("nothing was written"),
            "{text}"
        );
        assert!(text.starts_with("MERGE INTO 't': "), "{text}");
    }
    let rows = frame(
        &ctx,
        "SELECT * FROM (VALUES (9, 'a', 1), (9, 'b', 1), (9, 'a', 1)) AS s(id, v, n)",
    );
    let upsert = table
        .merge(rows.await)
        .on(["v", "id"])
        .update_all()
        .insert_all();
    let (_, text) = refusal(upsert.execute(commit()).await);
    assert!(text.contains("one key (v = a, id = 9)"), "{text}");
    assert_same(&before, &objects(&place).await, "keys that come twice");

    // Rows that are not inserted may be alike, and so may those of a condition, as in SQL.
    let twice = || {
        frame(
            &ctx,
            "SELECT * FROM (VALUES (9, 'a'), (9, 'b')) AS s(id, v)",
        )
    };
    let one = table.merge(twice().await).on(["id"]);
    let one = one.when_not_matched_insert_all(col("source.v").eq(lit("a")));
    assert_eq!(one.execute(commit()).await.unwrap().inserted, 1);
    let both = table.merge(twice().await);
    let both = both
        .on_condition(col("target.n").eq(col("source.id")))
        .insert_all();
    assert_eq!(both.execute(commit()).await.unwrap().inserted, 2);

    // 0.0 is -0.0.
    let columns = Schema::new(vec![Field::new("x", DataType::Float64, true)]);
    let location = format!("{}/floats", place.root());
    let floats = AtioTable::create(&ctx, &location, &columns, CreateOptions::default()).await;
    let zeros = frame(&ctx, "SELECT * FROM (VALUES (0.0), (-0.0::DOUBLE)) AS s(x)").await;
    let upsert = floats.unwrap().merge(zeros).on(["x"]).insert_all();
    let (_, text) = refusal(upsert.execute(commit()).await);
    assert!(text.contains("one key (x = 0.0)"), "{text}");
}

async fn merge_that_cannot_be_is_refused_and_changes_nothing(place: Place) {
    let ctx = place.session();
    let table = stock(&ctx, &place, "t").await;
    let before = objects(&place).await;
    let cases: [(&str, Built, &str); 20] = [
        (
            "1 AS id",
            |m| m.on(["x"]).insert_all(),
            "no column 'x'; its columns are id, v, n",
        ),
        (
            "1 AS n",
            |m| m.on(["id"]).insert_all(),
            "the rows have no column 'id', which is a key; their columns are n",
        ),
        (
            "1 AS id",
            |m| m.on(["id", "id"]).insert_all(),
            "the key 'id' is given twice",
        ),
        (
            "1 AS id",
            |m| m.on::<String>([]).insert_all(),
            "no key is given",
        ),
        ("1 AS id", |m| m.insert_all(), "say once which rows match"),
        (
            "1 AS id",
            |m| m.on(["id"]).on(["v"]).insert_all(),
            "say once which rows match",
        ),
        ("1 AS id", |m| m.on(["id"]), "say what becomes of the rows"),
        (
            "1 AS id, 2 AS z",
            |m| m.on(["id"]).insert_all(),
            "the table has no column 'z'; its columns are id, v, n",
        ),
        (
            "'x' AS id",
            |m| m.on(["id"]).insert_all(),
            "column 'id' is of type Int32, and in the rows of type Utf8",
        ),
        (
            "1 AS id, 1.5 AS n",
            |m| m.on(["id"]).update_all(),
            "cast it first",
        ),
        (
            "1 AS id",
            |m| m.on(["id"]).update_all().when_matched_delete(None),
            "a clause WHEN MATCHED follows one without a condition",
        ),
        (
            "1 AS id",
            |m| {
                m.on(["id"])
                    .insert_all()
                    .when_not_matched_insert_all(col("id").gt(lit(1)))
            },
            "a clause WHEN NOT MATCHED follows one without a condition",
        ),
        (
            "1 AS id",
            |m| {
                m.on(["id"])
                    .when_matched_update(None, [("n", lit(1)), ("n", lit(2))])
            },
            "column 'n' is given two values",
        ),
        (
            "1 AS id",
            |m| {
                m.on(["id"])
                    .when_not_matched_insert(None, [("id", lit(1)), ("id", lit(2))])
            },
            "column 'id' is given two values",
        ),
        (
            "1 AS id",
            |m| m.on(["id"]).when_matched_update::<String>(None, []),
            "no column is given a value",
        ),
        (
            "1 AS id",
            |m| m.on(["id"]).when_matched_update(None, [("z", lit(1))]),
            "no column 'z'",
        ),
        (
            "1 AS id",
            |m| m.on(["id"]).when_matched_update(None, [("n", col("id"))]),
            "Ambiguous reference to unqualified field id",
        ),
        (
            "1 AS id",
            |m| {
                m.on(["id"])
                    .when_not_matched_insert(None, [("id", col("target.id"))])
            },
            "WHEN NOT MATCHED has no row of the table, and reads its column 'id'",
        ),
        (
            "1 AS id",
            |m| {
                m.on(["id"])
                    .when_not_matched_by_source_delete(col("source.id").gt(lit(1)))
            },
            "has no row of the source, and reads its column 'id'",
        ),
        (
            "l.a AS id, r.a AS id",
            |m| m.on(["id"]).insert_all(),
            "two columns 'id'",
        ),
    ];
    for (columns, built, words) in cases {
        let rows = match columns.contains("l.a") {
            true => "SELECT l.id, r.id FROM (SELECT 1 AS id) l, (SELECT 2 AS id) r".to_owned(),
            false => format!("SELECT {columns}"),
        };
        let merge = built(table.merge(frame(&ctx, &rows).await));
        let (kind, text) = refusal(merge.execute(commit()).await);
        assert_eq!(kind, ErrorKind::InvalidInput, "{text}");
        assert!(text.contains(words), "{words}: {text}");
    }
    let twice = [("n", lit(1)), ("n", lit(2))];
    let (_, text) = refusal(table.update(&ctx, lit(true), twice, commit()).await);
    assert!(text.contains("column 'n' is given two values"), "{text}");
    let text = refused(&ctx, "UPDATE t SET n = 1, v = 'x', n = 2").await;
    assert!(text.contains("column 'n' is given two values"), "{text}");
    let (_, text) = refusal(
        table
            .update(&ctx, lit(true), [("z", lit(1))], commit())
            .await,
    );
    assert!(text.contains("no column 'z'"), "{text}");
    let (_, text) = refusal(table.delete(&ctx, col("z").gt(lit(1)), commit()).await);
    assert!(text.contains("No field named z"), "{text}");
    let chunks = CommitOptions {
        commit_every_rows: Some(1),
        ..commit()
    };
    let rows = frame(&ctx, "SELECT 1 AS id").await;
    let upsert = table.merge(rows).on(["id"]).insert_all().update_all();
    let (_, text) = refusal(upsert.execute(chunks).await);
    assert!(text.contains("MERGE is one version"), "{text}");
    let rows = frame(&ctx, "SELECT 1 / (id - id) AS id FROM t").await;
    let failing = table.merge(rows).on(["id"]).insert_all();
    let (_, text) = refusal(failing.execute(commit()).await);
    assert!(text.contains("Divide by zero"), "{text}");
    assert_same(&before, &objects(&place).await, "a merge that cannot be");
}
