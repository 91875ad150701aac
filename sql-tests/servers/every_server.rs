//! What a table does on every store.

use datafusion::object_store::{ObjectStoreExt, path::Path};
use datafusion::physical_plan::collect;
use tokio::task::JoinSet;

use super::place::Server;
use super::racing_conditions::winners;
use super::{assert_table, create, kind, on_every_server, refusal, session};
use crate::long_form::long;
use crate::query::{row, rows};
use crate::session::run;
use atio::ErrorKind;

on_every_server!(
    rows_come_back_as_written_and_every_version_stays_readable,
    expiry_deletes_what_it_said_and_leaves_tombstones,
    dropped_table_is_gone_and_can_be_created_again,
    appends_of_two_sessions_are_all_there_exactly_once,
    overwrite_planned_before_an_append_is_a_conflict,
    append_planned_before_an_overwrite_is_added_to_its_rows,
    creators_of_one_table_end_with_one_table,
    one_creator_of_a_table_wins_and_the_others_are_told,
    large_insert_goes_in_parts_and_leaves_no_upload,
    one_of_many_who_create_an_object_wins,
);

async fn rows_come_back_as_written_and_every_version_stays_readable(server: Server) {
    let ctx = server.session();
    let columns = "i BIGINT, s VARCHAR, d DOUBLE, c DECIMAL(20, 3), at TIMESTAMP, b BOOLEAN";
    create(&ctx, &server, columns, "").await;
    let query = |from: i64, to: i64| {
        format!(
            "SELECT value, CASE WHEN value % 7 = 0 THEN NULL ELSE 'ä''' || value END, \
             CAST(value AS DOUBLE) / 3, CAST(value * 100 AS DECIMAL(20, 3)), \
             CAST(value * 1000000 AS TIMESTAMP), value % 2 = 0 FROM generate_series({from}, {to})"
        )
    };
    assert_eq!(
        row(&ctx, &format!("INSERT INTO t {}", query(1, 1000))).await,
        "1000"
    );
    assert_eq!(
        row(&ctx, &format!("INSERT INTO t {}", query(1001, 1500))).await,
        "500"
    );
    assert_eq!(
        row(&ctx, &format!("INSERT OVERWRITE t {}", query(1, 10))).await,
        "10"
    );
    assert_eq!(
        row(&ctx, &format!("INSERT INTO t {}", query(11, 20))).await,
        "10"
    );

    let fresh = server.session();
    create(&fresh, &server, columns, "").await;
    for ctx in [&ctx, &fresh] {
        for (version, to) in [(1, 1000), (2, 1500), (3, 10), (4, 20)] {
            let read = format!("SELECT * FROM atio_table('t', version => {version})");
            assert_eq!(rows(ctx, &read).await, rows(ctx, &query(1, to)).await);
        }
        assert_eq!(
            rows(ctx, "SELECT * FROM t").await,
            rows(ctx, &query(1, 20)).await
        );
        assert_eq!(
            rows(ctx, "SELECT * FROM atio_table('t', version => 0)").await,
            Vec::<String>::new()
        );
        let filtered = "SELECT i FROM t WHERE i > 10 AND b AND s IS NOT NULL";
        assert_eq!(rows(ctx, filtered).await, ["12", "16", "18", "20"]);
    }
}

async fn expiry_deletes_what_it_said_and_leaves_tombstones(server: Server) {
    let ctx = session(&server).await;
    for sql in [
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t VALUES (2)",
        "INSERT OVERWRITE t VALUES (3)",
        "INSERT INTO t VALUES (4)",
    ] {
        rows(&ctx, sql).await;
    }
    super::pass_a_second().await;
    let before = server.names("t").await;
    let dry = "SELECT path FROM expire_snapshots('t', keep_for => INTERVAL '0 days')";
    let said = rows(&ctx, dry).await;
    assert_eq!(said.len(), 9, "{said:?}");
    assert_eq!(
        before,
        server.names("t").await,
        "a dry run changed something"
    );

    let expire = "SELECT path FROM expire_snapshots('t', keep_for => INTERVAL '0 days', \
                  dry_run => false) WHERE deleted";
    assert_eq!(rows(&ctx, expire).await, said);
    let after = server.names("t").await;
    for name in &before {
        assert_eq!(!said.contains(name), after.contains(name), "{name}");
    }
    for version in 0..4 {
        let key = format!("{}/t/metadata/v{version}.metadata.json", server.folder);
        let found = server.client().get(&Path::from(key)).await.unwrap();
        let found = String::from_utf8(found.bytes().await.unwrap().to_vec()).unwrap();
        let tombstone: serde_json::Value = serde_json::from_str(&found).unwrap();
        assert_eq!(tombstone["tombstone"], "expired", "{found}");
    }

    let fresh = session(&server).await;
    for ctx in [&ctx, &fresh] {
        assert_eq!(rows(ctx, "SELECT a FROM t").await, ["3", "4"]);
        let old = "SELECT a FROM atio_table('t', version => 2)";
        let (kind, error) = refusal(ctx, old).await;
        assert_eq!(kind, Some(ErrorKind::VersionExpired), "{error}");
    }
    rows(&fresh, "INSERT INTO t VALUES (5)").await;
    assert_table(&server, &[3, 4, 5], 6).await;
}

async fn dropped_table_is_gone_and_can_be_created_again(server: Server) {
    let ctx = server.session();
    rows(&ctx, "CREATE TABLE w.public.t (a BIGINT)").await;
    rows(&ctx, "INSERT INTO w.public.t VALUES (1), (2)").await;
    rows(&ctx, "DROP TABLE w.public.t").await;
    let left = server.names("warehouse/public/t").await;
    assert!(
        left.iter().all(|name| !name.starts_with("data/")),
        "{left:?}"
    );
    let fresh = server.session();
    for ctx in [&ctx, &fresh] {
        let error = run(ctx, "SELECT * FROM w.public.t").await.unwrap_err();
        assert!(error.to_string().contains("not found"), "{error}");
    }
    rows(&fresh, "CREATE TABLE w.public.t (b VARCHAR)").await;
    rows(&fresh, "INSERT INTO w.public.t VALUES ('new')").await;
    for ctx in [&ctx, &fresh, &server.session()] {
        assert_eq!(rows(ctx, "SELECT * FROM w.public.t").await, ["new"]);
    }
}

async fn appends_of_two_sessions_are_all_there_exactly_once(server: Server) {
    let each = if long() { 25 } else { 4 };
    let mut tasks = JoinSet::new();
    for number in 0..2 {
        let ctx = session(&server).await;
        // Two tasks a session: they share its handle on the table.
        for half in 0..2 {
            let ctx = ctx.clone();
            tasks.spawn(async move {
                let first = (number * 2 + half) * each;
                for a in first..first + each {
                    assert_eq!(row(&ctx, &format!("INSERT INTO t VALUES ({a})")).await, "1");
                    let own = row(&ctx, &format!("SELECT count(*) FROM t WHERE a = {a}")).await;
                    assert_eq!(own, "1", "the session does not see its own row");
                }
            });
        }
    }
    tasks.join_all().await;
    let all: Vec<_> = (0..4 * each).collect();
    assert_table(&server, &all, all.len() as u64).await;
}

async fn overwrite_planned_before_an_append_is_a_conflict(server: Server) {
    let (one, two) = (session(&server).await, session(&server).await);
    rows(&one, "INSERT INTO t VALUES (1), (2)").await;
    let planned = one
        .sql("INSERT OVERWRITE t SELECT a FROM t WHERE a > 1")
        .await;
    let plan = planned.unwrap().create_physical_plan().await.unwrap();
    rows(&two, "INSERT INTO t VALUES (3)").await;
    let before = server.names("t").await;

    let error = collect(plan, one.task_ctx()).await.unwrap_err();
    assert_eq!(kind(&error), Some(ErrorKind::Conflict), "{error}");
    assert_eq!(
        before,
        server.names("t").await,
        "the conflict left something"
    );
    assert_table(&server, &[1, 2, 3], 2).await;
    rows(&one, "INSERT OVERWRITE t SELECT a FROM t WHERE a > 1").await;
    assert_table(&server, &[2, 3], 3).await;
}

async fn append_planned_before_an_overwrite_is_added_to_its_rows(server: Server) {
    let (one, two) = (session(&server).await, session(&server).await);
    rows(&one, "INSERT INTO t VALUES (1), (2)").await;
    let planned = one.sql("INSERT INTO t VALUES (3)").await;
    let plan = planned.unwrap().create_physical_plan().await.unwrap();
    rows(&two, "INSERT OVERWRITE t VALUES (10)").await;

    collect(plan, one.task_ctx()).await.unwrap();
    assert_table(&server, &[3, 10], 3).await;
}

async fn creators_of_one_table_end_with_one_table(server: Server) {
    let location = server.location("t");
    let mut tasks = JoinSet::new();
    for n in 0..4 {
        let ctx = server.session();
        let create =
            format!("CREATE EXTERNAL TABLE t (a BIGINT) STORED AS ATIO LOCATION '{location}'");
        tasks.spawn(async move {
            rows(&ctx, &create).await;
            rows(&ctx, &format!("INSERT INTO t VALUES ({n})")).await;
        });
    }
    tasks.join_all().await;
    assert_table(&server, &[0, 1, 2, 3], 4).await;
    // Nothing of those who came too late is left over.
    let ctx = session(&server).await;
    let dry = "SELECT path FROM expire_snapshots('t', keep_for => INTERVAL '1 day', \
               orphan_age => INTERVAL '0 days')";
    assert_eq!(rows(&ctx, dry).await, Vec::<String>::new());
}

async fn one_creator_of_a_table_wins_and_the_others_are_told(server: Server) {
    let mut tasks = JoinSet::new();
    for n in 0..4 {
        let ctx = server.session();
        let create = format!("CREATE TABLE w.public.t AS SELECT CAST({n} AS BIGINT) AS a");
        tasks.spawn(async move { (n, run(&ctx, &create).await) });
    }
    let ended = tasks.join_all().await;
    let mut winners = Vec::new();
    for (n, ended) in &ended {
        match ended {
            Ok(_) => winners.push(n.to_string()),
            Err(error) => assert!(error.to_string().contains("already"), "{error}"),
        }
    }
    assert_eq!(winners.len(), 1, "{ended:?}");
    let ctx = server.session();
    assert_eq!(rows(&ctx, "SELECT a FROM w.public.t").await, winners);
}

async fn large_insert_goes_in_parts_and_leaves_no_upload(server: Server) {
    let ctx = server.session();
    let options = "OPTIONS ('atio.compression' 'uncompressed', 'atio.max_row_group_rows' '4')";
    create(&ctx, &server, "a BIGINT, s VARCHAR", options).await;
    // The smallest part that S3 takes.
    let part = "SET datafusion.execution.objectstore_writer_buffer_size = 5242880";
    rows(&ctx, part).await;
    let text = "SELECT value, repeat(md5(CAST(value AS VARCHAR)), 32768) FROM generate_series";
    assert_eq!(
        row(&ctx, &format!("INSERT INTO t {text}(1, 12)")).await,
        "12"
    );
    assert_eq!(server.uploads().await, Vec::<String>::new());
    let size = "SELECT count(*), sum(bytes) > 12000000 FROM atio_files('t')";
    assert_eq!(row(&ctx, size).await, "1|true");

    let fresh = server.session();
    create(&fresh, &server, "a BIGINT, s VARCHAR", "").await;
    let same = format!("SELECT count(*) FROM t JOIN ({text}(1, 12)) AS x(n, y) ON a = n AND s = y");
    assert_eq!(row(&fresh, &same).await, "12");
}

async fn one_of_many_who_create_an_object_wins(server: Server) {
    let rounds = if long() { 200 } else { 20 };
    assert_eq!(winners(&server, 8, rounds).await, vec![1; rounds]);
}
