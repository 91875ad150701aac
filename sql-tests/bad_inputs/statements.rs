//! Lines 77 to 87: statements that cannot be carried out, on a table that is whole.

use std::sync::Arc;
use std::time::Duration;

use atio::ErrorKind;
use datafusion::object_store::memory::InMemory;
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use url::Url;

use super::{Bad, Bench, EXPIRE, Failure, refuse_on_broken};
use crate::damage::broken_table::Broken;
use crate::objects::assert_same;
use crate::query::{open, row, rows};
use crate::session::Place;
use crate::stores::racing::Racing;

use ErrorKind::{Conflict, Damaged, InvalidInput, TableNotFound, VersionNotFound};

#[tokio::test]
async fn rows_that_do_not_fit_make_no_version() {
    let bench = Bench::new().await;
    let many = |expression: &str| {
        format!("INSERT INTO t SELECT {expression} FROM generate_series(1, 30000)")
    };
    bench
        .refuse(&[
            Bad(77, "INSERT INTO t VALUES (1)", None, &["values"]),
            Bad(77, "INSERT INTO t VALUES (1, 'x', 2)", None, &["values"]),
            Bad(77, "INSERT INTO t (a, c) VALUES (1, 'x')", None, &["c"]),
            Bad(77, "INSERT INTO t VALUES ('x', 'y')", None, &["'x'"]),
            Bad(
                78,
                &many("CASE value WHEN 30000 THEN NULL ELSE value END, 'x'"),
                Some(InvalidInput),
                &["column 'a' is NOT NULL"],
            ),
            Bad(
                78,
                "INSERT OVERWRITE t VALUES (1, 'x'), (NULL, 'y')",
                Some(InvalidInput),
                &["column 'a' is NOT NULL"],
            ),
            Bad(
                79,
                &many("CAST(CASE value WHEN 29999 THEN 'x' ELSE '1' END AS BIGINT), 'x'"),
                None,
                &["'x'"],
            ),
            Bad(
                79,
                &many("10 / (value - 29999), 'x'"),
                None,
                &["Divide by zero"],
            ),
            Bad(
                79,
                "INSERT OVERWRITE t SELECT 10 / (a - 1), b FROM t",
                None,
                &["Divide by zero"],
            ),
        ])
        .await;
}

#[tokio::test]
async fn version_or_time_that_is_none_is_refused() {
    let bench = Bench::new().await;
    let whole = "version must be a whole number from 0";
    let time = "as_of must be a time such as";
    bench
        .refuse(&[
            Bad(
                81,
                "SELECT * FROM atio_table('t', version => -1)",
                Some(InvalidInput),
                &[whole, "-1"],
            ),
            Bad(
                81,
                "SELECT * FROM atio_table('t', version => 'abc')",
                Some(InvalidInput),
                &[whole, "'abc'"],
            ),
            Bad(
                81,
                "SELECT * FROM atio_table('t', version => 99999999999999999999)",
                Some(InvalidInput),
                &[whole],
            ),
            Bad(
                81,
                "SELECT * FROM atio_table('t', version => NULL)",
                Some(InvalidInput),
                &[whole, "NULL"],
            ),
            Bad(
                81,
                "SELECT * FROM atio_table('t', version => 2)",
                Some(VersionNotFound),
                &["no version 2", "newest version is 1"],
            ),
            Bad(
                82,
                "SELECT * FROM atio_table('t', as_of => 'not a time')",
                Some(InvalidInput),
                &[time, "'not a time'"],
            ),
            Bad(
                82,
                "SELECT * FROM atio_table('t', as_of => TIMESTAMP '2001-01-01')",
                Some(VersionNotFound),
                &[
                    "did not exist at that time",
                    "first version was committed at 20",
                ],
            ),
            Bad(
                82,
                "SELECT * FROM atio_table('t', as_of => TIMESTAMP '99999-01-01T00:00:00')",
                Some(InvalidInput),
                &["as_of", "99999"],
            ),
            Bad(
                82,
                "SELECT * FROM atio_table('t', as_of => TIMESTAMP '2200-01-01')",
                Some(InvalidInput),
                &["as_of 2200-01-01T00:00:00.000000Z of 't' is in the future"],
            ),
        ])
        .await;
    // Version 0 is the empty table, and this moment is the newest version.
    let found = super::attempt(&bench.ctx, "SELECT * FROM atio_table('t', version => 0)").await;
    assert!(found.unwrap().is_empty());
    let found = "SELECT b FROM atio_table('t', as_of => now())";
    assert_eq!(super::attempt(&bench.ctx, found).await.unwrap(), ["one"]);
}

#[tokio::test]
async fn old_version_cannot_be_written() {
    let bench = Bench::new().await;
    let view = "CREATE VIEW old AS SELECT * FROM atio_table('t', version => 1)";
    super::attempt(&bench.ctx, view).await.unwrap();
    let fixed = "SELECT * FROM atio_table('t', version => 1)";
    let frame = bench.ctx.sql(fixed).await.unwrap();
    bench.ctx.register_table("one", frame.into_view()).unwrap();
    bench
        .refuse(&[
            Bad(
                80,
                "INSERT INTO atio_table('t', version => 1) VALUES (2, 'x')",
                None,
                &["Expected"],
            ),
            Bad(80, "INSERT INTO old VALUES (2, 'x')", None, &["nsert"]),
            Bad(80, "INSERT OVERWRITE old VALUES (2, 'x')", None, &["nsert"]),
            Bad(80, "INSERT INTO one VALUES (2, 'x')", None, &["nsert"]),
        ])
        .await;
}

#[tokio::test]
async fn expiry_of_what_is_no_table_or_by_an_argument_that_is_none_is_refused() {
    let bench = Bench::new().await;
    super::attempt(&bench.ctx, "CREATE TABLE plain AS SELECT 1 AS x")
        .await
        .unwrap();
    bench
        .refuse(&[
            Bad(
                83,
                "SELECT * FROM expire_snapshots('{root}/missing', dry_run => false)",
                Some(TableNotFound),
                &["no atio table at", "/missing"],
            ),
            Bad(
                83,
                "SELECT * FROM expire_snapshots('missing', dry_run => false)",
                Some(InvalidInput),
                &["no table 'missing' in this session"],
            ),
            Bad(
                83,
                "SELECT * FROM expire_snapshots('{root}/foreign', dry_run => false)",
                Some(TableNotFound),
                &["no atio table at", "/foreign"],
            ),
            Bad(
                83,
                "SELECT * FROM expire_snapshots('plain', dry_run => false)",
                Some(InvalidInput),
                &["'plain' is not an atio table"],
            ),
            Bad(
                83,
                "SELECT * FROM expire_snapshots('t', older_than => INTERVAL '1 day', dry_run => false)",
                Some(InvalidInput),
                &["no argument 'older_than'", "keep_for"],
            ),
        ])
        .await;
}

#[tokio::test]
async fn expiry_refuses_what_it_cannot_read_with_the_kind_of_damage() {
    let template = Broken::fresh().await;
    let retained = [template.last_manifest(), template.snapshot_path(3)];
    for name in retained {
        let table = template.copy();
        std::fs::write(table.path(&name), "garbage").unwrap();
        let before = crate::objects::files(&table.root());
        let failure = super::on_broken(&table, EXPIRE).await.unwrap_err();
        let says = [
            "refusing to expire",
            "cannot be read",
            "nothing was deleted",
            &name,
        ];
        failure.assert(84, &name, Some(Damaged), &says);
        assert_same(&before, &crate::objects::files(&table.root()), &name);
    }
    let table = template.copy();
    std::fs::remove_file(table.path(&table.last_manifest())).unwrap();
    let says = ["refusing to expire", "nothing was deleted", "is missing"];
    refuse_on_broken(&table, 84, "missing", &[EXPIRE], Damaged, &says).await;
}

#[tokio::test]
async fn overwrite_that_comes_too_late_is_a_conflict() {
    let bench = Bench::new().await;
    let frame = bench
        .ctx
        .sql("INSERT OVERWRITE t SELECT a + 1, b FROM t")
        .await;
    let plan = frame.unwrap().create_physical_plan().await.unwrap();
    rows(&bench.ctx, "INSERT INTO t VALUES (2, 'two')").await;
    let before = bench.files();
    let error = collect(plan, bench.ctx.task_ctx()).await.unwrap_err();
    let says = ["version 2", "append"];
    Failure::from(error).assert(85, "overwrite", Some(Conflict), &says);
    assert_same(&before, &bench.files(), "a conflict");
    assert_eq!(rows(&bench.ctx, "SELECT b FROM t").await, ["one", "two"]);
}

/// Whatever number it tries, somebody has just taken it. The clock runs while nothing does.
#[tokio::test(start_paused = true)]
async fn append_that_always_comes_too_late_gives_up() {
    let place = Place::memory();
    let writer = place.session();
    open(&writer, &place, "t").await;
    rows(&writer, "INSERT INTO t VALUES (1)").await;
    let Place::Memory(store) = &place else {
        unreachable!()
    };
    let store: Arc<InMemory> = Arc::clone(store);
    let (racing, store) = Racing::store(store, writer.clone());
    let late = SessionContext::new();
    let url = Url::parse("memory://test/").unwrap();
    late.register_object_store(&url, store);
    atio::register(&late).unwrap();
    open(&late, &place, "t").await;

    racing.takes(Duration::from_secs(1));
    racing.arm(true);
    let failure = super::attempt(&late, "INSERT INTO t VALUES (0)").await;
    racing.arm(false);
    let says = ["gave up after", "other writers", "nothing was written"];
    failure
        .unwrap_err()
        .assert(86, "append", Some(Conflict), &says);
    let expected = (racing.commits() + 1).to_string();
    assert_eq!(
        row(&writer, "SELECT count(*) FROM t WHERE a > 0").await,
        expected
    );
    assert_eq!(
        row(&writer, "SELECT count(*) FROM t WHERE a = 0").await,
        "0"
    );
}
