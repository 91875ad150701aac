//! Expiry where clocks are wrong, names are odd, or readers too slow.

#![cfg(test)]

use std::fs;

use atio::{Error, ErrorKind};
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use serde_json::json;

use crate::damage::broken_table::{Broken, NEWEST, ROWS, record};
use crate::query::{row, rows};
use crate::session::{Place, run};

const YEAR_US: i64 = 365 * 24 * 3600 * 1_000_000;

/// Somebody whose clock was a year ahead made the newest version.
#[tokio::test]
async fn clock_that_is_a_year_off_keeps_times_increasing_and_expires_less() {
    let table = Broken::fresh().await;
    let mut newest = table.record(NEWEST);
    let ahead = newest["committed_at_us"].as_i64().unwrap() + YEAR_US;
    newest["committed_at_us"] = json!(ahead);
    table.seal(&record(NEWEST), newest);

    table.append().await.unwrap();
    let next = table.record(NEWEST + 1)["committed_at_us"]
        .as_i64()
        .unwrap();
    assert_eq!(next, ahead + 1, "not younger than the version below");

    // What was committed ahead of this moment can be asked for, and nothing behind it.
    let as_of = |at: i64| {
        let at = format!("arrow_cast({at}, 'Timestamp(Microsecond, None)')");
        format!("SELECT count(*) FROM atio_table('{{t}}', as_of => {at})")
    };
    for (at, version) in [(ahead - 1, NEWEST - 1), (ahead, NEWEST), (next, NEWEST + 1)] {
        let found = table.run(&as_of(at)).await.unwrap();
        let wanted = format!("SELECT count(*) FROM atio_table('{{t}}', version => {version})");
        assert_eq!(found, table.run(&wanted).await.unwrap());
    }
    let error = table.run(&as_of(next + 1)).await.unwrap_err();
    assert!(error.contains("is in the future"), "{error}");

    // Version 3 was superseded a year from now, so by no clock is it a day old.
    let expired = table
        .run(
            "SELECT path FROM expire_snapshots('{t}', keep_for => INTERVAL '1 day', \
             orphan_age => INTERVAL '1 day', dry_run => false)",
        )
        .await
        .unwrap();
    assert!(expired.is_empty(), "{expired:?}");
    // Without any retention what was superseded before this moment goes, and nothing else.
    table.expire().await.unwrap();
    table
        .assert_version(NEWEST, "its end is in the future")
        .await;
}

/// People and programs leave strange things in a table's directory.
#[cfg(unix)]
#[tokio::test]
async fn odd_names_below_a_table_stop_expiry_at_most_and_nothing_else() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    let table = Broken::fresh().await;
    let data = table.path("data");
    symlink(&data, data.join("loop")).unwrap();
    fs::write(data.join("a\u{1}b\n.parquet"), "odd").unwrap();
    fs::create_dir_all(data.join("deep/deeper")).unwrap();
    fs::write(data.join("deep/deeper/x"), "odd").unwrap();
    let unreadable = data.join(OsStr::from_bytes(b"caf\xe9"));
    fs::write(&unreadable, "odd").unwrap();

    assert_eq!(table.newest().await.unwrap(), ROWS[NEWEST]);
    table.append().await.unwrap();
    let error = table.expire().await.unwrap_err();
    assert!(error.contains("is not UTF-8"), "{error}");
    table
        .assert_version(1, "after an expiry that stopped")
        .await;

    fs::remove_file(&unreadable).unwrap();
    let gone = table.expire().await.unwrap();
    assert!(!gone.is_empty());
    assert!(
        gone.iter()
            .all(|path| !path.contains("deep") && !path.contains("loop"))
    );
    for kept in ["a\u{1}b\n.parquet", "deep/deeper/x", "loop"] {
        assert!(fs::symlink_metadata(data.join(kept)).is_ok(), "{kept:?}");
    }
    assert_eq!(table.newest().await.unwrap().len(), ROWS[NEWEST].len() + 1);
}

/// The files of a version go while it is being read.
#[tokio::test]
async fn reader_whose_version_expires_gets_all_rows_or_is_told() {
    let place = Place::memory();
    let ctx = place.session();
    table_of_files(&ctx, &place).await;
    let sql = format!(
        "SELECT a FROM atio_table('{}/t', version => 20)",
        place.root()
    );
    let frame = ctx.sql(&sql).await.unwrap();
    let mut stream = frame.execute_stream().await.unwrap();
    let mut read = stream.next().await.unwrap().unwrap().num_rows();

    rows(&ctx, "INSERT OVERWRITE t VALUES (0)").await;
    let expire = "SELECT count(*) FROM expire_snapshots('t', keep_for => INTERVAL '0 days', dry_run => false)";
    assert_ne!(row(&place.session_with_t().await, expire).await, "0");

    let error = loop {
        match stream.next().await {
            Some(Ok(batch)) => read += batch.num_rows(),
            Some(Err(error)) => break error,
            None => panic!("{read} of 20 rows, and no error"),
        }
    };
    assert!(read < 20);
    let error = Error::find(&error).unwrap();
    assert_eq!(error.kind(), ErrorKind::VersionExpired, "{error}");
    assert!(
        error.to_string().contains("version 20 of 't' has expired"),
        "{error}"
    );
}

async fn table_of_files(ctx: &SessionContext, place: &Place) {
    let create = format!(
        "CREATE EXTERNAL TABLE t (a BIGINT) STORED AS ATIO LOCATION '{}/t'",
        place.root()
    );
    rows(ctx, &create).await;
    for a in 1..=20 {
        rows(ctx, &format!("INSERT INTO t VALUES ({a})")).await;
    }
}

impl Place {
    /// Another session, in which the table is called `t`.
    async fn session_with_t(&self) -> SessionContext {
        let ctx = self.session();
        let open = format!(
            "CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{}/t'",
            self.root()
        );
        run(&ctx, &open).await.unwrap();
        ctx
    }
}
