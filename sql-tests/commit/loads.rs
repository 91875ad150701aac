//! Loads in chunks: each row once, whatever stops a load and whoever runs beside it.

#![cfg(test)]

use atio::{CommitOptions, Error, ErrorKind, with_commit};
use datafusion::prelude::SessionContext;

use crate::query::{row, rows};
use crate::session::{Place, on_every_place, run};

on_every_place!(
    load_that_stops_anywhere_goes_on_and_writes_each_row_once,
    loads_with_one_key_at_once_write_each_row_once,
    load_that_others_ended_meanwhile_writes_nothing,
    load_that_was_taken_back_begins_where_its_rows_end,
    load_that_an_overwrite_ended_says_so_and_goes_on_once_that_is_taken_back,
    load_that_an_overwrite_meets_at_its_commit_says_that_it_was_ended,
    loads_and_overwrites_at_once_write_each_row_once_or_say_that_one_was_ended,
    load_goes_on_between_appends_tags_and_an_expiry,
);

fn create(place: &Place) -> String {
    format!(
        "CREATE EXTERNAL TABLE t (a BIGINT) STORED AS ATIO LOCATION '{}/t'",
        place.root()
    )
}

async fn opened(place: &Place) -> SessionContext {
    let ctx = place.session();
    rows(&ctx, &create(place)).await;
    for setting in ["target_partitions = 1", "batch_size = 7"] {
        rows(&ctx, &format!("SET datafusion.execution.{setting}")).await;
    }
    ctx
}

fn load(ctx: &SessionContext, every: u64) -> SessionContext {
    let options = CommitOptions {
        idempotency_key: Some("load".to_owned()),
        commit_every_rows: Some(every),
        ..CommitOptions::default()
    };
    with_commit(ctx, options).unwrap()
}

/// A hundred rows; the one with this number fails.
fn insert(fails_at: Option<u64>) -> String {
    match fails_at {
        Some(row) => format!(
            "INSERT INTO t SELECT value + 1 / (5000 + 1000 / (value - {row})) FROM generate_series(1, 100)"
        ),
        None => "INSERT INTO t SELECT value FROM generate_series(1, 100)".to_owned(),
    }
}

async fn check_each_row_once(ctx: &SessionContext, what: &str) {
    let found = row(ctx, "SELECT count(*), count(DISTINCT a), sum(a) FROM t").await;
    assert_eq!(found, "100|100|5050", "{what}");
    let versions = "SELECT sum(rows_added), count(idempotency_key) FROM atio_history('t')";
    assert_eq!(row(ctx, versions).await, "100|1", "{what}");
    let sources = rows(ctx, "SELECT * FROM atio_sources('t')").await;
    assert_eq!(sources, [""; 0], "{what}");
}

/// The rows that are there are the first of the load, and what was added to those `before` are
/// whole chunks.
async fn check_beginning(ctx: &SessionContext, before: u64, every: u64) {
    let found = row(ctx, "SELECT count(*), coalesce(sum(a), 0) FROM t").await;
    let (count, sum) = found.split_once('|').unwrap();
    let (count, sum): (u64, u64) = (count.parse().unwrap(), sum.parse().unwrap());
    assert_eq!(sum, count * (count + 1) / 2, "{every}: {found}");
    assert!((count - before).is_multiple_of(every), "{every}: {found}");
}

async fn load_that_stops_anywhere_goes_on_and_writes_each_row_once(place: Place) {
    // How large the chunks of each attempt are, and at which row it fails.
    let attempts: [&[(u64, u64)]; 5] = [
        &[(10, 1), (10, 10), (10, 11), (10, 55)],
        &[(10, 100), (100, 99)],
        &[(100, 50)],
        &[(7, 29), (3, 64), (50, 90)],
        &[(1, 5)],
    ];
    for attempts in attempts {
        let place = match place {
            Place::Memory(_) => Place::memory(),
            Place::Disk(_) => Place::disk(),
        };
        let ctx = opened(&place).await;
        let mut written = 0;
        for (every, fails_at) in attempts {
            let failed = run(&load(&ctx, *every), &insert(Some(*fails_at))).await;
            let error = failed.unwrap_err().to_string();
            assert!(error.contains("Divide by zero"), "{error}");
            let count: u64 = row(&ctx, "SELECT count(*) FROM t").await.parse().unwrap();
            assert!(
                count < *fails_at && count >= written,
                "{attempts:?}: {count}"
            );
            let kept = format!("the load into 't' stopped; {} row", count - written);
            assert_eq!(error.contains(&kept), count > written, "{error}");
            check_beginning(&ctx, written, *every).await;
            written = count;
        }
        let ended = row(&load(&ctx, 40), &insert(None)).await;
        assert_eq!(ended, (100 - written).to_string());
        check_each_row_once(&ctx, &format!("{attempts:?}")).await;
        assert_eq!(row(&load(&ctx, 40), &insert(None)).await, "0");
        check_each_row_once(&ctx, &format!("{attempts:?}, again")).await;
        assert_eq!(
            row(&ctx, "SELECT max(version) > 1 FROM atio_history('t')").await,
            "true"
        );
    }
}

async fn loads_with_one_key_at_once_write_each_row_once(place: Place) {
    let ctx = opened(&place).await;
    let sessions = [
        opened(&place).await,
        opened(&place).await,
        opened(&place).await,
    ];
    let mut conflicts = 0;
    loop {
        let loads = (sessions.iter().zip([9, 10, 100])).map(|(session, every)| {
            let session = load(session, every);
            tokio::spawn(async move { run(&session, &insert(None)).await.map(drop) })
        });
        let ended = futures::future::join_all(loads).await;
        let mut lost = 0;
        for ended in ended {
            if let Err(error) = ended.unwrap() {
                let ours = Error::find(&error).unwrap();
                assert_eq!(ours.kind(), ErrorKind::Conflict, "{error}");
                assert!(error.to_string().contains("run it again"), "{error}");
                lost += 1;
            }
        }
        if lost == 0 {
            break;
        }
        conflicts += lost;
        assert!(conflicts < 30, "they stop each other for ever");
    }
    println!("{conflicts} conflicts");
    check_each_row_once(&ctx, "three at once").await;
}

/// The whole load fits between the look at the key and the first commit.
async fn load_that_others_ended_meanwhile_writes_nothing(place: Place) {
    for every in [10, 100] {
        let place = match place {
            Place::Memory(_) => Place::memory(),
            Place::Disk(_) => Place::disk(),
        };
        let (ctx, other) = (opened(&place).await, opened(&place).await);
        let plan = load(&ctx, every).sql(&insert(None)).await.unwrap();
        let plan = plan.create_physical_plan().await.unwrap();
        // Its base is the version of the planning; what follows is met by the commit alone.
        run(&load(&other, 10), &insert(None)).await.unwrap();
        let session = load(&ctx, every);
        let written = datafusion::physical_plan::collect(plan, session.task_ctx()).await;
        let written = crate::query::texts(&written.unwrap());
        assert_eq!(written, ["0"]);
        check_each_row_once(&ctx, "ended meanwhile").await;
    }
}

/// What went with a rollback is written again; what stayed is not.
async fn load_that_was_taken_back_begins_where_its_rows_end(place: Place) {
    let (ctx, other) = (opened(&place).await, opened(&place).await);
    run(&load(&ctx, 10), &insert(Some(45))).await.unwrap_err();
    rows(&other, "SELECT * FROM atio_rollback('t', version => 2)").await;
    assert_eq!(row(&load(&ctx, 10), &insert(None)).await, "80");
    let found = row(&ctx, "SELECT count(*), count(DISTINCT a), sum(a) FROM t").await;
    assert_eq!(found, "100|100|5050");
}

/// That a load cannot go on, because `version` overwrote the table when `rows` were there.
fn ended_by(version: u64, rows: u64) -> String {
    format!(
        "cannot go on with the load with the key 'load' into 't': it stopped at row {rows}, and \
         version {version} overwrote the table, so atio cannot know which of its rows are there"
    )
}

async fn load_that_an_overwrite_ended_says_so_and_goes_on_once_that_is_taken_back(place: Place) {
    for overwrite in [
        "INSERT OVERWRITE t SELECT * FROM t",
        "INSERT OVERWRITE t SELECT a FROM t WHERE a > 15",
        "INSERT OVERWRITE t SELECT 0",
        "INSERT OVERWRITE t SELECT a FROM t WHERE a < 0",
    ] {
        let place = match place {
            Place::Memory(_) => Place::memory(),
            Place::Disk(_) => Place::disk(),
        };
        let (ctx, other) = (opened(&place).await, opened(&place).await);
        let stopped = run(&load(&ctx, 10), &insert(Some(45))).await.unwrap_err();
        let advice = "unless an INSERT OVERWRITE comes first, which ends it";
        assert!(stopped.to_string().contains(advice), "{stopped}");
        rows(&other, overwrite).await;
        let before = rows(&ctx, "SELECT a FROM t ORDER BY a").await;
        // In chunks, in one piece, from another process, and as often as one likes.
        for session in [load(&ctx, 10), load(&other, 1000), load(&ctx, 10)] {
            let error = run(&session, &insert(None)).await.unwrap_err();
            assert_eq!(Error::find(&error).unwrap().kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(&ended_by(5, 40)), "{error}");
        }
        assert_eq!(rows(&ctx, "SELECT a FROM t ORDER BY a").await, before);
        assert_eq!(
            row(&ctx, "SELECT max(version) FROM atio_history('t')").await,
            "5"
        );
        rows(&other, "SELECT * FROM atio_rollback('t', version => 4)").await;
        assert_eq!(row(&load(&ctx, 30), &insert(None)).await, "60");
        let found = row(&ctx, "SELECT count(*), count(DISTINCT a), sum(a) FROM t").await;
        assert_eq!(found, "100|100|5050", "{overwrite}");
    }
}

async fn load_that_an_overwrite_meets_at_its_commit_says_that_it_was_ended(place: Place) {
    let (ctx, other) = (opened(&place).await, opened(&place).await);
    run(&load(&ctx, 10), &insert(Some(45))).await.unwrap_err();
    let plan = load(&ctx, 10).sql(&insert(None)).await.unwrap();
    let plan = plan.create_physical_plan().await.unwrap();
    // Its base is the version of the planning; what follows is met by the commit alone.
    rows(&other, "INSERT OVERWRITE t SELECT * FROM t").await;
    let session = load(&ctx, 10);
    let error = datafusion::physical_plan::collect(plan, session.task_ctx()).await;
    let error = error.unwrap_err();
    assert_eq!(Error::find(&error).unwrap().kind(), ErrorKind::InvalidInput);
    let said = error.to_string();
    assert!(said.contains(&ended_by(5, 40)), "{said}");
    assert!(!said.contains("are kept"), "{said}");
    let found = row(&ctx, "SELECT count(*), count(DISTINCT a), sum(a) FROM t").await;
    assert_eq!(found, "40|40|820");
}

/// Compactions that meet a load at any moment.
async fn loads_and_overwrites_at_once_write_each_row_once_or_say_that_one_was_ended(place: Place) {
    let (mut whole, mut ended) = (0, 0);
    for round in 0..12_u64 {
        let place = match place {
            Place::Memory(_) => Place::memory(),
            Place::Disk(_) => Place::disk(),
        };
        let (ctx, other) = (opened(&place).await, opened(&place).await);
        // In every fourth round one overwrite comes for certain while the load has stopped.
        let certain = round % 4 == 3;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (replace, replaced) = tokio::sync::oneshot::channel();
        let loader = tokio::spawn(async move {
            let mut certain = certain.then_some((stop, replaced));
            for fails_at in [Some(20 + 5 * round), None, None, None, None, None] {
                match run(&load(&ctx, 9 + round), &insert(fails_at)).await {
                    Ok(_) => return Ok(()),
                    Err(error) if error.to_string().contains("so atio cannot know") => {
                        return Err(error);
                    }
                    Err(_) => {}
                }
                if let Some((stop, replaced)) = certain.take() {
                    stop.send(()).unwrap();
                    replaced.await.unwrap();
                }
            }
            panic!("it neither ends nor says why");
        });
        let overwriter = tokio::spawn(async move {
            let overwrite = "INSERT OVERWRITE t SELECT * FROM t";
            for _ in 0..round % 4 * 5 {
                // It may lose against the load.
                let _ = run(&other, overwrite).await;
            }
            // A load that was ended meanwhile waits no more.
            if certain && stopped.await.is_ok() {
                run(&other, overwrite).await.unwrap();
                replace.send(()).unwrap();
            }
        });
        let (loaded, overwritten) = (loader.await.unwrap(), overwriter.await);
        overwritten.unwrap();
        let ctx = opened(&place).await;
        if let Err(error) = loaded {
            ended += 1;
            let found = row(&ctx, "SELECT count(*) - count(DISTINCT a) FROM t").await;
            assert_eq!(found, "0", "round {round}: {error}");
            // What the error says to do.
            let said = error.to_string();
            let (_, version) = said.split_once("version => ").unwrap();
            let (version, _) = version.split_once(')').unwrap();
            let back = format!("SELECT * FROM atio_rollback('t', version => {version})");
            rows(&ctx, &back).await;
            rows(&load(&ctx, 10), &insert(None)).await;
        } else {
            whole += 1;
        }
        let found = row(&ctx, "SELECT count(*), count(DISTINCT a), sum(a) FROM t").await;
        assert_eq!(found, "100|100|5050", "round {round}");
    }
    println!("{whole} loads were written, {ended} were ended");
    assert!(whole > 0 && ended > 0, "{whole} {ended}");
}

async fn load_goes_on_between_appends_tags_and_an_expiry(place: Place) {
    let (ctx, other) = (opened(&place).await, opened(&place).await);
    run(&load(&ctx, 10), &insert(Some(45))).await.unwrap_err();
    for sql in [
        "INSERT INTO t VALUES (1000)",
        "SELECT * FROM atio_tag('t', tag => 'x')",
        "SELECT count(*) FROM expire_snapshots('t', keep_for => INTERVAL '0 days', dry_run => false)",
    ] {
        rows(&other, sql).await;
    }
    assert_eq!(row(&load(&ctx, 30), &insert(None)).await, "60");
    let found = row(&ctx, "SELECT count(*), count(DISTINCT a) FROM t").await;
    assert_eq!(found, "101|101");
}

/// Its own first chunks would be among the rows of the query when it goes on.
#[tokio::test]
async fn load_that_reads_its_own_table_can_only_go_on_if_it_reads_a_fixed_version() {
    let place = Place::memory();
    let ctx = opened(&place).await;
    run(&ctx, &insert(None)).await.unwrap();
    for query in [
        "SELECT a + 100 FROM t",
        "SELECT value FROM generate_series(1, 9) WHERE value IN (SELECT a FROM t)",
    ] {
        let error = run(&load(&ctx, 10), &format!("INSERT INTO t {query}")).await;
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("cannot read the newest version of 't'"),
            "{error}"
        );
    }
    assert_eq!(row(&ctx, "SELECT count(*) FROM t").await, "100");
    let fixed = "INSERT INTO t SELECT a + 100 FROM atio_table('t', version => 1)";
    assert_eq!(row(&load(&ctx, 10), fixed).await, "100");
    // In one piece it is as atomic as ever.
    let options = CommitOptions {
        idempotency_key: Some("one".to_owned()),
        ..CommitOptions::default()
    };
    let one = with_commit(&ctx, options).unwrap();
    assert_eq!(
        row(&one, "INSERT INTO t SELECT a + 200 FROM t").await,
        "200"
    );
}

#[tokio::test]
async fn load_is_committed_every_so_many_bytes_and_goes_on_behind_them() {
    let place = Place::memory();
    let ctx = opened(&place).await;
    for setting in [
        "batch_size = 100",
        "objectstore_writer_buffer_size = 100000",
    ] {
        rows(&ctx, &format!("SET datafusion.execution.{setting}")).await;
    }
    let create = format!(
        "CREATE EXTERNAL TABLE wide (a BIGINT, s VARCHAR) STORED AS ATIO LOCATION '{}/wide' \
         OPTIONS ('atio.compression' 'uncompressed', 'atio.max_row_group_rows' '500')",
        place.root()
    );
    rows(&ctx, &create).await;
    let load = || {
        let options = CommitOptions {
            idempotency_key: Some("wide".to_owned()),
            commit_every_bytes: Some(1_200_000),
            ..CommitOptions::default()
        };
        with_commit(&ctx, options).unwrap()
    };
    // About 300 bytes each, of which the encoder gives a megabyte at a time.
    let insert = |fails_at: i64| {
        format!(
            "INSERT INTO wide SELECT value, repeat(CAST(10000 + value + 1 / (5000 + 1000 / (value - {fails_at})) AS VARCHAR), 60) \
             FROM generate_series(1, 20000)"
        )
    };
    let versions = "SELECT count(*), count(*) FILTER (WHERE rows_added = 0) \
                    FROM atio_history('wide') WHERE version > 0";
    run(&load(), &insert(15_000)).await.unwrap_err();
    let kept = row(&ctx, "SELECT count(*), count(DISTINCT a), max(a) FROM wide").await;
    let kept: Vec<u64> = kept.split('|').map(|n| n.parse().unwrap()).collect();
    assert!(
        kept.iter().all(|n| *n == kept[0]) && (4000..15_000).contains(&kept[0]),
        "{kept:?}"
    );
    let told = row(&ctx, versions).await;
    let (made, rest) = told.split_once('|').unwrap();
    let made: u64 = made.parse().unwrap();
    assert!((1..=4).contains(&made) && rest == "0", "{told}");
    assert_eq!(
        row(&load(), &insert(-5000)).await,
        (20_000 - kept[0]).to_string()
    );
    let found = "SELECT count(*), count(DISTINCT a), sum(a), min(length(s)) FROM wide";
    assert_eq!(row(&ctx, found).await, "20000|20000|200010000|300");
}

#[tokio::test]
async fn load_without_a_key_says_what_is_kept_and_that_it_would_come_twice() {
    let place = Place::memory();
    let ctx = opened(&place).await;
    let options = CommitOptions {
        commit_every_rows: Some(10),
        ..CommitOptions::default()
    };
    let session = with_commit(&ctx, options).unwrap();
    let error = run(&session, &insert(Some(25))).await.unwrap_err();
    assert_eq!(Error::find(&error).unwrap().kind(), ErrorKind::InvalidInput);
    let said = "the load into 't' stopped; 20 rows in versions 1 to 2 are kept: run again it would \
                write them twice, for it has no idempotency key (atio_rollback takes them back); of the rows behind them: ";
    assert!(error.to_string().contains(said), "{error}");
    assert_eq!(row(&ctx, "SELECT count(*) FROM t").await, "20");
}

#[tokio::test]
async fn progress_of_a_load_in_chunks_counts_all_of_its_rows() {
    let place = Place::memory();
    let ctx = opened(&place).await;
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let into = std::sync::Arc::clone(&seen);
    atio::on_progress(&ctx, move |now| {
        into.lock().unwrap().push((now.step, now.done))
    });
    run(&load(&ctx, 50), &insert(Some(60))).await.unwrap_err();
    seen.lock().unwrap().clear();
    rows(&load(&ctx, 30), &insert(None)).await;
    let seen = seen.lock().unwrap();
    let commits = seen.iter().filter(|(step, _)| *step == atio::Step::Commit);
    let commits: Vec<_> = commits.map(|(_, done)| *done).collect();
    assert_eq!(commits, [80, 100]);
    assert_eq!(seen.last(), Some(&(atio::Step::End, 100)));
}
