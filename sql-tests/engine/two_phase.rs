//! Writes that tasks of another engine prepare, each in a session of its own, and one commits.

use atio::{AtioPolicy, AtioTable, CommitOptions, Committed, ErrorKind, Result, Ticket};
use datafusion::logical_expr::dml::InsertOp;
use datafusion::prelude::SessionContext;

use crate::query::{open, row, rows};
use crate::session::{Place, on_every_place};

on_every_place!(
    parts_of_several_tasks_become_one_version,
    ticket_is_committed_once_however_often_it_is_tried,
    part_that_fails_leaves_nothing,
    bytes_that_are_not_as_they_were_given_are_refused,
    part_that_an_expiry_removed_cannot_be_committed,
);

/// The table `t` of `place`, in a session of its own, as a task has it.
async fn task(place: &Place) -> (SessionContext, AtioTable) {
    let ctx = place.session();
    open(&ctx, place, "t").await;
    let table = AtioTable::open(&ctx, &format!("{}/t", place.root())).await;
    (ctx, table.unwrap())
}

async fn begin(place: &Place, op: InsertOp) -> Vec<u8> {
    let (ctx, table) = task(place).await;
    table.begin(&ctx, op).await.unwrap().to_bytes().unwrap()
}

async fn prepare(place: &Place, ticket: &[u8], query: &str) -> Result<Vec<u8>> {
    let (ctx, table) = task(place).await;
    let rows = ctx.sql(query).await.unwrap().execute_stream().await;
    let ticket = Ticket::from_bytes(ticket)?;
    table.prepare(&ctx, &ticket, rows.unwrap()).await
}

async fn commit(
    place: &Place,
    ticket: &[u8],
    parts: &[Vec<u8>],
    key: Option<&str>,
) -> Result<Committed> {
    let (ctx, table) = task(place).await;
    let options = CommitOptions {
        idempotency_key: key.map(str::to_owned),
        ..CommitOptions::default()
    };
    let ticket = Ticket::from_bytes(ticket)?;
    table.commit(&ctx, &ticket, parts, options).await
}

async fn content(place: &Place) -> String {
    let (ctx, _) = task(place).await;
    row(&ctx, "SELECT count(*), sum(a) FROM t").await
}

/// The data files that are there, of versions and of none.
async fn data_files(place: &Place) -> usize {
    let store = place.session();
    let url = format!("{}/", place.root());
    let url = datafusion::datasource::listing::ListingTableUrl::parse(url).unwrap();
    let store = store.runtime_env().object_store(&url).unwrap();
    let listed = store.list(Some(url.prefix()));
    let listed: Vec<_> = futures::TryStreamExt::try_collect(listed).await.unwrap();
    let names = listed.iter().map(|meta| meta.location.as_ref());
    names.filter(|name| name.ends_with(".parquet")).count()
}

async fn parts_of_several_tasks_become_one_version(place: Place) {
    let ticket = begin(&place, InsertOp::Append).await;
    let first = "SELECT CAST(value AS INT) AS a FROM generate_series(1, 1000)";
    let parts = [
        prepare(&place, &ticket, first).await.unwrap(),
        prepare(&place, &ticket, "SELECT 5 AS a WHERE false")
            .await
            .unwrap(),
        prepare(&place, &ticket, "SELECT CAST(-1 AS BIGINT) AS a")
            .await
            .unwrap(),
    ];
    let (ctx, _) = task(&place).await;
    rows(&ctx, "INSERT INTO t VALUES (7)").await;
    assert_eq!(content(&place).await, "1|7", "nobody sees what is prepared");
    let committed = commit(&place, &ticket, &parts, None).await;
    assert_eq!(committed.unwrap().version().get(), 2);
    assert_eq!(content(&place).await, "1002|500506");

    // In place of all rows, with statistics that count.
    let ticket = begin(&place, InsertOp::Overwrite).await;
    let part = prepare(&place, &ticket, "SELECT 3 AS a").await.unwrap();
    let committed = commit(&place, &ticket, &[part], None).await.unwrap();
    assert!(matches!(committed, Committed::As(_)), "{committed:?}");
    assert_eq!(content(&place).await, "1|3");
    let ticket = begin(&place, InsertOp::Overwrite).await;
    rows(&ctx, "INSERT INTO t VALUES (8)").await;
    let error = commit(&place, &ticket, &[], None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(content(&place).await, "2|11");
}

async fn ticket_is_committed_once_however_often_it_is_tried(place: Place) {
    let ticket = begin(&place, InsertOp::Append).await;
    let one = prepare(&place, &ticket, "SELECT 1 AS a").await.unwrap();
    // A task that was run twice.
    let again = prepare(&place, &ticket, "SELECT 1 AS a").await.unwrap();
    let parts = [one.clone()];
    let first = commit(&place, &ticket, &parts, Some("job")).await.unwrap();
    let second = commit(&place, &ticket, &parts, Some("job")).await.unwrap();
    assert_eq!(first.version(), second.version());
    assert_eq!(second, Committed::Before(first.version()));
    let keyless = commit(&place, &ticket, &parts, None).await.unwrap();
    assert_eq!(keyless, second);

    for parts in [vec![again.clone()], vec![one, again], Vec::new()] {
        let error = commit(&place, &ticket, &parts, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.message().contains("with other parts"), "{error}");
    }
    // The whole job again, under its key.
    let ticket = begin(&place, InsertOp::Append).await;
    let part = prepare(&place, &ticket, "SELECT 1 AS a").await.unwrap();
    let third = commit(&place, &ticket, &[part], Some("job")).await;
    assert_eq!(third.unwrap(), second);
    assert_eq!(content(&place).await, "1|1");

    // A ticket without rows makes its version, too.
    let ticket = begin(&place, InsertOp::Append).await;
    let empty = commit(&place, &ticket, &[], None).await.unwrap();
    let repeated = commit(&place, &ticket, &[], None).await.unwrap();
    assert_eq!(repeated, Committed::Before(empty.version()));
    assert_eq!(content(&place).await, "1|1");
}

async fn part_that_fails_leaves_nothing(place: Place) {
    let ticket = begin(&place, InsertOp::Append).await;
    let fails = "SELECT 1 / (value - 5000) AS a FROM generate_series(1, 100000)";
    let error = prepare(&place, &ticket, fails).await.unwrap_err();
    assert!(error.to_string().contains("Divide by zero"), "{error}");
    for (query, says) in [
        ("SELECT 1 AS b", "do not fit the table"),
        ("SELECT 1 AS a, 2 AS b", "do not fit the table"),
        ("SELECT 'x' AS a", "Cannot cast string 'x'"),
    ] {
        let error = prepare(&place, &ticket, query).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    assert_eq!(data_files(&place).await, 0);

    let (ctx, table) = task(&place).await;
    let sql = format!(
        "CREATE EXTERNAL TABLE n (a BIGINT NOT NULL) STORED AS ATIO LOCATION '{}/n'",
        place.root()
    );
    rows(&ctx, &sql).await;
    let strict = AtioTable::open(&ctx, &format!("{}/n", place.root())).await;
    let strict = strict.unwrap();
    let of_strict = strict.begin(&ctx, InsertOp::Append).await.unwrap();
    let null = ctx.sql("SELECT CAST(NULL AS BIGINT) AS a").await.unwrap();
    let null = null.execute_stream().await.unwrap();
    strict.prepare(&ctx, &of_strict, null).await.unwrap_err();
    assert_eq!(data_files(&place).await, 0);

    // Of another table.
    let error = prepare(&place, &of_strict.to_bytes().unwrap(), "SELECT 1 AS a").await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.message().contains("another table"), "{error}");
    let error = table
        .commit(&ctx, &of_strict, &[] as &[&[u8]], CommitOptions::default())
        .await
        .unwrap_err();
    assert!(error.message().contains("another table"), "{error}");
    assert_eq!(content(&place).await, "0|NULL");
}

async fn bytes_that_are_not_as_they_were_given_are_refused(place: Place) {
    let ticket = begin(&place, InsertOp::Append).await;
    let part = prepare(&place, &ticket, "SELECT 1 AS a").await.unwrap();
    let middle = part.len() / 2;
    let mut changed = part.clone();
    changed[middle] ^= 4;
    let other = begin(&place, InsertOp::Append).await;
    let others = prepare(&place, &other, "SELECT 1 AS a").await.unwrap();
    for (parts, says) in [
        (vec![part[..middle].to_vec()], "was cut"),
        (vec![changed], "part 0 of the write"),
        (vec![Vec::new()], "was cut"),
        (vec![part.clone(), others], "part 1 of the write"),
        (vec![part.clone(), part.clone()], "comes twice"),
        (vec![ticket.clone()], "part 0 of the write"),
    ] {
        let error = commit(&place, &ticket, &parts, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.message().contains(says), "{says}: {error}");
    }
    for ticket in [&ticket[..middle], &part, b""] {
        let error = Ticket::from_bytes(ticket).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    assert_eq!(content(&place).await, "0|NULL");
    // None of it has harmed the part.
    commit(&place, &ticket, &[part], None).await.unwrap();
    assert_eq!(content(&place).await, "1|1");
}

async fn part_that_an_expiry_removed_cannot_be_committed(place: Place) {
    let ticket = begin(&place, InsertOp::Append).await;
    let part = prepare(&place, &ticket, "SELECT 1 AS a").await.unwrap();
    let (ctx, _) = task(&place).await;
    let expire =
        "SELECT * FROM expire_snapshots('t', orphan_age => INTERVAL '0' SECOND, dry_run => false)";
    rows(&ctx, expire).await;
    assert_eq!(data_files(&place).await, 0);
    let error = commit(&place, &ticket, &[part], None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Revoked, "{error}");
    assert_eq!(content(&place).await, "0|NULL");
}

#[tokio::test]
async fn ticket_that_nobody_commits_is_swept_like_a_dead_transaction() {
    let place = Place::disk();
    let ticket = begin(&place, InsertOp::Append).await;
    prepare(&place, &ticket, "SELECT 1 AS a").await.unwrap();
    assert_eq!(data_files(&place).await, 1);
    let (ctx, _) = task(&place).await;
    let expire = |age: &str| {
        format!(
            "SELECT * FROM expire_snapshots('t', orphan_age => INTERVAL '{age}', dry_run => false)"
        )
    };
    rows(&ctx, &expire("1 day")).await;
    assert_eq!(data_files(&place).await, 1);
    rows(&ctx, &expire("0 second")).await;
    assert_eq!(data_files(&place).await, 0);
}

#[tokio::test]
async fn what_may_not_be_written_is_refused_before_anything_is_prepared() {
    let place = Place::disk();
    let (ctx, table) = task(&place).await;
    let error = table.begin(&ctx, InsertOp::Replace).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");

    let ticket = table.begin(&ctx, InsertOp::Append).await.unwrap();
    let read_only = SessionContext::new();
    atio::register_with(&read_only, AtioPolicy::default().with_write(false)).unwrap();
    let rows = || async {
        let one = read_only.sql("SELECT 1 AS a").await.unwrap();
        one.execute_stream().await.unwrap()
    };
    let refused = [
        table.begin(&read_only, InsertOp::Append).await.err(),
        { table.prepare(&read_only, &ticket, rows().await).await }.err(),
        table
            .commit(
                &read_only,
                &ticket,
                &[] as &[&[u8]],
                CommitOptions::default(),
            )
            .await
            .err(),
    ];
    for error in refused.map(Option::unwrap) {
        assert_eq!(error.kind(), ErrorKind::NotAllowed, "{error}");
    }
    let chunks = CommitOptions {
        commit_every_rows: Some(5),
        ..CommitOptions::default()
    };
    let error = table.commit(&ctx, &ticket, &[] as &[&[u8]], chunks).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
}
