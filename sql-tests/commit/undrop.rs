//! Tables that are dropped and brought back or purged, by one and by several at once.

#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use atio::{
    AtioCatalog, AtioTable, CreateOptions, Dropped, ErrorKind, PurgeOptions, UndropOptions,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::prelude::SessionContext;
use tokio::sync::Barrier;

use crate::long_form::long;
use crate::query::{failure, row, rows};
use crate::session::{Place, run, session_at};

const KEPT: &str = ".atio-dropped-";

/// A catalog over the warehouse of `place`, which lives as long as its session.
fn catalog(place: &Place) -> (SessionContext, AtioCatalog) {
    let ctx = SessionContext::new();
    atio::register(&ctx).unwrap();
    let catalog = AtioCatalog::register(&ctx, "w", &format!("{}/warehouse", place.root()));
    (ctx, catalog.unwrap())
}

async fn dropped(place: &Place) -> SessionContext {
    let ctx = place.session();
    rows(&ctx, "CREATE TABLE w.public.t AS SELECT 1 AS a").await;
    rows(&ctx, "DROP TABLE w.public.t").await;
    ctx
}

/// The hidden directories of `schema`.
fn kept(schema: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(schema).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let ours = |path: &PathBuf| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with(KEPT)
    };
    paths.filter(ours).collect()
}

/// Makes a kept table as if it had been dropped so long ago.
fn age(kept: &Path, ago: Duration) -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let millis = (now - ago).as_millis();
    let name = kept.file_name().unwrap().to_str().unwrap();
    let (head, rest) = name.split_at(KEPT.len());
    let older = kept.with_file_name(format!("{head}{millis:012x}{}", &rest[12..]));
    fs::rename(kept, &older).unwrap();
    older
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_comes_back_by_the_rust_interface_and_says_what_became_of_it() {
    let place = Place::disk();
    let ctx = dropped(&place).await;
    let (_session, catalog) = catalog(&place);
    let tables = catalog.dropped_tables().await.unwrap();
    assert_eq!(tables.len(), 1);
    assert_eq!((&*tables[0].schema, &*tables[0].table), ("public", "t"));
    assert_eq!(
        tables[0].kept_until - tables[0].dropped_at,
        chrono::TimeDelta::days(7)
    );
    let options = UndropOptions {
        id: Some(tables[0].id.clone()),
        new_name: Some("new".to_owned()),
    };
    let back = catalog.undrop_table("public", "t", &options).await.unwrap();
    assert_eq!(back, tables[0]);
    assert_eq!(row(&ctx, "SELECT a FROM w.public.new").await, "1");
    let again = catalog.undrop_table("public", "t", &options).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::TableNotFound);

    let Dropped::Kept(kept) = catalog.drop_table("public", "new").await.unwrap() else {
        panic!("it is not kept");
    };
    let tables = catalog.dropped_tables().await.unwrap();
    assert_eq!(tables, std::slice::from_ref(&kept));
    let dry = PurgeOptions::default();
    let purged = catalog.purge_table("public", "new", &dry).await.unwrap();
    assert_eq!(purged[0].table, kept);
    assert!(purged[0].bytes > 1000 && !purged[0].deleted);
    assert_eq!(catalog.dropped_tables().await.unwrap(), tables);
    let real = PurgeOptions {
        dry_run: false,
        ..dry
    };
    let purged = catalog.purge_table("public", "new", &real).await.unwrap();
    assert!(purged[0].deleted);
    assert!(catalog.dropped_tables().await.unwrap().is_empty());
    let again = catalog.purge_table("public", "new", &real).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::TableNotFound);
    let names = fs::read_dir(place.path().join("warehouse/public")).unwrap();
    assert_eq!(names.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drop_on_an_object_store_is_final_and_says_so() {
    let place = Place::memory();
    let ctx = place.session();
    rows(&ctx, "CREATE TABLE w.public.t AS SELECT 1 AS a").await;
    let url = format!("{}/warehouse", place.root());
    let catalog = AtioCatalog::open(&ctx, &url).unwrap();
    let dropped = catalog.drop_table("public", "t").await.unwrap();
    assert_eq!(dropped, Dropped::ForGood);
    assert!(catalog.dropped_tables().await.unwrap().is_empty());
    let options = UndropOptions::default();
    let error = catalog.undrop_table("public", "t", &options).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("a DROP is final"), "{error}");
    let options = PurgeOptions::default();
    let error = catalog.purge_table("public", "t", &options).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn name_of_the_session_alone_is_forgotten_and_not_kept() {
    let place = Place::disk();
    let ctx = place.session();
    let root = place.root();
    let create =
        format!("CREATE EXTERNAL TABLE w.public.e (a INT) STORED AS ATIO LOCATION '{root}/e'");
    let catalog = AtioCatalog::register(&ctx, "w", &format!("{root}/warehouse")).unwrap();
    rows(&ctx, &create).await;
    let dropped = catalog.drop_table("public", "e").await.unwrap();
    assert_eq!(dropped, Dropped::Forgotten);
    assert!(catalog.dropped_tables().await.unwrap().is_empty());
    assert!(place.path().join("e/metadata").is_dir());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_drop_of_a_name_has_an_id_by_which_it_comes_back_or_goes() {
    let place = Place::disk();
    let ctx = place.session();
    for a in 1..=3 {
        rows(&ctx, &format!("CREATE TABLE w.public.t AS SELECT {a} AS a")).await;
        rows(&ctx, "DROP TABLE w.public.t").await;
    }
    let (_session, catalog) = catalog(&place);
    let tables = catalog.dropped_tables().await.unwrap();
    assert_eq!(tables.len(), 3);
    let times: Vec<_> = tables.iter().map(|table| table.dropped_at).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    let undrop = |id: &str, name: &str| {
        format!("SELECT id FROM atio_undrop('w.public.t', id => '{id}', new_name => '{name}')")
    };
    // The one that was dropped first, also as UUIDs are mostly written.
    let id = uuid::Uuid::parse_str(&tables[2].id).unwrap();
    let hyphens = id.hyphenated().to_string();
    assert_eq!(
        rows(&ctx, &undrop(&hyphens, "first")).await,
        [tables[2].id.clone()]
    );
    assert_eq!(row(&ctx, "SELECT a FROM w.public.first").await, "1");
    let again = failure(&ctx, &undrop(&tables[2].id, "again")).await;
    let others = format!("that are kept are {}, {}", tables[0].id, tables[1].id);
    assert!(again.contains(&others), "{again}");
    // One of two, and then all that are left.
    let purge = |id: &str| {
        format!("SELECT id, deleted FROM atio_purge('w.public.t', dry_run => false{id})")
    };
    let by_id = format!(", id => '{}'", tables[0].id);
    assert_eq!(
        rows(&ctx, &purge(&by_id)).await,
        [format!("{}|true", tables[0].id)]
    );
    rows(&ctx, "SELECT * FROM atio_undrop('w.public.t')").await;
    assert_eq!(row(&ctx, "SELECT a FROM w.public.t").await, "2");
    for _ in 0..2 {
        rows(&ctx, "DROP TABLE w.public.t").await;
        rows(&ctx, "CREATE TABLE w.public.t (a INT)").await;
    }
    assert_eq!(rows(&ctx, &purge("")).await.len(), 2);
    assert_eq!(rows(&ctx, "SELECT id FROM atio_dropped()").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drop_by_a_handle_deletes_what_is_old_in_its_own_directory() {
    let place = Place::disk();
    let ctx = place.session();
    let mut aged = Vec::new();
    for folder in ["here", "there"] {
        let location = format!("{}/{folder}/t", place.root());
        for _ in 0..2 {
            let create =
                format!("CREATE EXTERNAL TABLE t (a INT) STORED AS ATIO LOCATION '{location}'");
            rows(&ctx, &create).await;
            rows(&ctx, "DROP TABLE t").await;
            let table = AtioTable::open(&ctx, &location).await.unwrap();
            let dropped = table.drop_table(&ctx).await.unwrap();
            assert!(matches!(dropped, Dropped::Kept(_)), "{dropped:?}");
        }
        let two = kept(&place.path().join(folder));
        assert_eq!(two.len(), 2, "what is young stays");
        aged.push(age(&two[0], Duration::from_secs(7 * 86_400 + 60)));
    }
    let location = format!("{}/here/t", place.root());
    let columns = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
    let table = AtioTable::create(&ctx, &location, &columns, CreateOptions::default());
    table.await.unwrap().drop_table(&ctx).await.unwrap();
    assert!(!aged[0].exists() && aged[1].exists(), "{aged:?}");
    assert_eq!(kept(&place.path().join("here")).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_dropped_seven_days_ago_goes_with_the_next_drop() {
    let place = Place::disk();
    let ctx = dropped(&place).await;
    rows(&ctx, "CREATE SCHEMA w.gone").await;
    rows(&ctx, "CREATE TABLE w.gone.t AS SELECT 1 AS a").await;
    rows(&ctx, "DROP SCHEMA w.gone CASCADE").await;
    for name in ["young", "foreign"] {
        rows(
            &ctx,
            &format!("CREATE TABLE w.public.{name} AS SELECT 1 AS a"),
        )
        .await;
        rows(&ctx, &format!("DROP TABLE w.public.{name}")).await;
    }
    let warehouse = place.path().join("warehouse");
    let (public, of_gone) = (
        warehouse.join("public"),
        warehouse.join(".atio-dropped-schema-gone"),
    );
    let week = Duration::from_secs(7 * 86_400);
    for path in [kept(&public), kept(&of_gone)].concat() {
        let young = path.to_str().unwrap().ends_with("-young");
        let minute = Duration::from_secs(60);
        let older = age(&path, if young { week - minute } else { week });
        if older.to_str().unwrap().ends_with("-foreign") {
            fs::write(older.join("notes.txt"), "mine").unwrap();
        }
    }
    assert_eq!(rows(&ctx, "SELECT id FROM atio_dropped()").await.len(), 4);
    rows(&ctx, "CREATE TABLE w.public.another AS SELECT 1 AS a").await;
    assert_eq!(rows(&ctx, "SELECT id FROM atio_dropped()").await.len(), 4);

    rows(&ctx, "DROP TABLE w.public.another").await;
    let left = rows(&ctx, "SELECT table_name FROM atio_dropped()").await;
    // What holds a file of somebody else's is never deleted.
    assert_eq!(left, ["another", "foreign", "young"]);
    assert_eq!(kept(&public).len(), 3);
    assert!(!of_gone.exists());
    let refused = failure(
        &ctx,
        "SELECT * FROM atio_purge('w.public.foreign', dry_run => false)",
    );
    let refused = refused.await;
    assert!(
        refused.contains("is not purged") && refused.contains("notes.txt"),
        "{refused}"
    );
    let back = "SELECT count(*) FROM atio_undrop('w.public.young')";
    assert_eq!(row(&ctx, back).await, "1");
    assert_eq!(row(&ctx, "SELECT a FROM w.public.young").await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_know_a_table_go_on_with_it_when_it_comes_back() {
    let place = Place::disk();
    let (ctx, other) = (place.session(), place.session());
    rows(&ctx, "CREATE TABLE w.public.t AS SELECT 1 AS a").await;
    rows(&other, "INSERT INTO w.public.t VALUES (2)").await;
    let frame = other.table("w.public.t").await.unwrap();
    rows(&ctx, "DROP TABLE w.public.t").await;
    let gone = failure(&other, "INSERT INTO w.public.t VALUES (3)").await;
    assert!(gone.contains("not found"), "{gone}");
    let gone = frame.clone().count().await.unwrap_err().to_string();
    assert!(gone.contains("there is no atio table at"), "{gone}");
    rows(&ctx, "CREATE TABLE w.public.t AS SELECT 'x' AS a").await;
    assert_eq!(row(&other, "SELECT a FROM w.public.t").await, "x");
    rows(&ctx, "DROP TABLE w.public.t").await;
    let undrop = "SELECT * FROM atio_undrop('w.public.t', new_name => 'x')";
    rows(&ctx, undrop).await;
    rows(&ctx, "SELECT * FROM atio_undrop('w.public.t')").await;
    rows(&other, "INSERT INTO w.public.t VALUES (3)").await;
    assert_eq!(
        rows(&ctx, "SELECT a FROM w.public.t").await,
        ["1", "2", "3"]
    );
    assert_eq!(frame.count().await.unwrap(), 3);
    assert_eq!(row(&ctx, "SELECT a FROM w.public.x").await, "x");
    let versions = "SELECT version FROM atio_history('w.public.t')";
    assert_eq!(rows(&ctx, versions).await, ["0", "1", "2", "3"]);
}

/// Runs all of `statements` at once, each in a session of its own, the first a moment later; gives
/// what failed.
async fn at_once(place: &Place, later: Duration, statements: &[&str]) -> Vec<(String, String)> {
    let barrier = Arc::new(Barrier::new(statements.len()));
    let running = statements.iter().enumerate().map(|(at, sql)| {
        let (sql, barrier) = (sql.to_string(), Arc::clone(&barrier));
        let ctx = session_at(place.path());
        tokio::spawn(async move {
            barrier.wait().await;
            if at == 0 {
                tokio::time::sleep(later).await;
            }
            let ended = run(&ctx, &sql).await;
            ended.err().map(|error| (sql, error.strip_backtrace()))
        })
    });
    let running: Vec<_> = running.collect();
    let mut failed = Vec::new();
    for task in running {
        failed.extend(task.await.unwrap());
    }
    failed
}

fn rounds() -> usize {
    if long() { 200 } else { 25 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_several_undrops_at_once_one_brings_the_table_back() {
    let undrop = "SELECT * FROM atio_undrop('w.public.t')";
    for _ in 0..rounds() {
        let place = Place::disk();
        let ctx = dropped(&place).await;
        let failed = at_once(&place, Duration::ZERO, &[undrop; 4]).await;
        assert_eq!(failed.len(), 3, "{failed:?}");
        for (_, error) in &failed {
            let told = [
                "there is a table 't'",
                "no dropped table 't'",
                "somebody else has brought it back",
            ];
            assert!(told.iter().any(|words| error.contains(words)), "{error}");
        }
        assert_eq!(row(&ctx, "SELECT a FROM w.public.t").await, "1");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_an_undrop_and_a_purge_at_once_one_wins_and_no_table_is_half_there() {
    let undrop = "SELECT * FROM atio_undrop('w.public.t')";
    let purge = "SELECT * FROM atio_purge('w.public.t', dry_run => false)";
    for _ in 0..rounds() {
        let place = Place::disk();
        let ctx = dropped(&place).await;
        let failed = at_once(&place, Duration::ZERO, &[undrop, purge]).await;
        let [(sql, error)] = failed.as_slice() else {
            panic!("{failed:?}");
        };
        let told = ["no dropped table 't'", "somebody else has brought it back"];
        assert!(told.iter().any(|words| error.contains(words)), "{error}");
        match sql == undrop {
            true => drop(failure(&ctx, "SELECT a FROM w.public.t").await),
            false => assert_eq!(row(&ctx, "SELECT a FROM w.public.t").await, "1"),
        }
        assert_eq!(rows(&ctx, "SELECT id FROM atio_dropped()").await, [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_an_undrop_and_a_create_at_once_one_has_the_name_and_nothing_is_lost() {
    let undrop = "SELECT * FROM atio_undrop('w.public.t')";
    let create = "CREATE TABLE w.public.t AS SELECT 2 AS a";
    for round in 0..rounds() {
        // The other takes some milliseconds, and makes its table at the end.
        let moment = Duration::from_millis(round as u64 % 25);
        let place = Place::disk();
        let ctx = dropped(&place).await;
        let failed = at_once(&place, moment, &[undrop, create]).await;
        let [(sql, error)] = failed.as_slice() else {
            panic!("{failed:?}");
        };
        assert!(error.contains("already"), "{error}");
        let expected = if sql == undrop { "2" } else { "1" };
        assert_eq!(row(&ctx, "SELECT a FROM w.public.t").await, expected);
        let kept = rows(&ctx, "SELECT id FROM atio_dropped()").await;
        assert_eq!(kept.len(), usize::from(sql == undrop));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_several_drops_at_once_one_sets_the_table_aside() {
    for _ in 0..rounds() {
        let place = Place::disk();
        let ctx = place.session();
        rows(&ctx, "CREATE TABLE w.public.t AS SELECT 1 AS a").await;
        let barrier = Arc::new(Barrier::new(4));
        let running: Vec<_> = (0..4)
            .map(|_| {
                let ((session, catalog), barrier) = (catalog(&place), Arc::clone(&barrier));
                tokio::spawn(async move {
                    barrier.wait().await;
                    let dropped = catalog.drop_table("public", "t").await;
                    drop(session);
                    dropped
                })
            })
            .collect();
        let mut dropped = 0;
        for task in running {
            match task.await.unwrap() {
                Ok(_) => dropped += 1,
                Err(error) => assert_eq!(error.kind(), ErrorKind::TableNotFound, "{error}"),
            }
        }
        assert_eq!(dropped, 1);
        assert_eq!(rows(&ctx, "SELECT id FROM atio_dropped()").await.len(), 1);
        rows(&ctx, "SELECT * FROM atio_undrop('w.public.t')").await;
        assert_eq!(row(&ctx, "SELECT a FROM w.public.t").await, "1");
    }
}

/// Two tables of one name go and come back without a pause, and somebody writes to whichever is
/// there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rows_that_are_acknowledged_while_tables_change_places_are_in_one_of_them() {
    let place = Place::disk();
    let ctx = place.session();
    rows(
        &ctx,
        "CREATE TABLE w.public.t AS SELECT arrow_cast(-1, 'Int64') AS a",
    )
    .await;
    rows(&ctx, "DROP TABLE w.public.t").await;
    rows(
        &ctx,
        "CREATE TABLE w.public.t AS SELECT arrow_cast(-2, 'Int64') AS a",
    )
    .await;
    let swaps = rounds() * 2;
    let changing = tokio::spawn({
        let place = place.clone();
        async move {
            let (_session, catalog) = catalog(&place);
            for _ in 0..swaps {
                let all = catalog.dropped_tables().await.unwrap();
                let id = Some(all[0].id.clone());
                catalog.drop_table("public", "t").await.unwrap();
                let options = UndropOptions { id, new_name: None };
                catalog.undrop_table("public", "t", &options).await.unwrap();
            }
        }
    });
    let writers: Vec<_> = (0..3_i64)
        .map(|writer| {
            let ctx = session_at(place.path());
            let running = changing.abort_handle();
            tokio::spawn(async move {
                let (mut acked, mut failed) = (Vec::new(), 0);
                for n in 0.. {
                    if running.is_finished() {
                        break;
                    }
                    let a = writer * 1_000_000 + n;
                    match run(&ctx, &format!("INSERT INTO w.public.t VALUES ({a})")).await {
                        Ok(_) => acked.push(a),
                        Err(_) => failed += 1,
                    }
                }
                (acked, failed)
            })
        })
        .collect();
    changing.await.unwrap();
    let (mut acked, mut failed) = (Vec::new(), 0);
    for writer in writers {
        let (done, not) = writer.await.unwrap();
        acked.extend(done);
        failed += not;
    }
    rows(
        &ctx,
        "SELECT * FROM atio_undrop('w.public.t', new_name => 'u')",
    )
    .await;
    let all = "SELECT a FROM w.public.t UNION ALL SELECT a FROM w.public.u";
    let found = rows(&ctx, all).await;
    let mut found: Vec<i64> = found.iter().map(|a| a.parse().unwrap()).collect();
    found.sort_unstable();
    acked.extend([-1, -2]);
    acked.sort_unstable();
    println!("{} acknowledged, {failed} failed", acked.len());
    // Who is told that it failed may run it again: so it is not there either.
    assert_eq!(found, acked);
    for name in ["t", "u"] {
        let first = format!("SELECT count(*) FROM w.public.{name} WHERE a < 0");
        assert_eq!(row(&ctx, &first).await, "1");
        let damage =
            format!("SELECT count(*) FROM atio_history('w.public.{name}') WHERE NOT readable");
        assert_eq!(row(&ctx, &damage).await, "0");
    }
}
