//! A process loses its database in the middle of a write.

use super::*;
use crate::databases::on_every_database;
use crate::databases::site::{Kind, Site};

on_every_database!(process_that_loses_its_database_in_the_middle_of_a_write_leaves_nothing);

/// What goes away.
#[derive(Debug, Clone, Copy)]
enum Lost {
    /// The server ends the connection.
    Connection,
    /// The process that writes is killed.
    Process,
}

/// True once a transaction has put many rows into the database.
async fn is_written(site: &Site) -> bool {
    let sql = match &site.kind {
        Kind::Sqlite(_) => {
            // What a transaction writes before its commit is in the log or in the database.
            let log = site.file().with_extension("db-wal");
            let files = [site.file(), log].into_iter();
            let sizes = files.filter_map(|file| Some(file.metadata().ok()?.len()));
            return sizes.sum::<u64>() > 1_000_000;
        }
        Kind::Postgres(_, _) => {
            "SELECT count(*) FROM pg_stat_progress_copy WHERE datname = current_database() AND tuples_processed > 10000"
        }
        Kind::MariaDb(_, _) => {
            "SELECT count(*) FROM information_schema.innodb_trx JOIN information_schema.processlist ON id = trx_mysql_thread_id \
             WHERE db = database() AND trx_rows_modified > 10000"
        }
    };
    site.ask(sql).await == ["1"]
}

async fn process_that_loses_its_database_in_the_middle_of_a_write_leaves_nothing(site: Site) {
    let directory = tempfile::tempdir().unwrap();
    if matches!(site.kind, Kind::Sqlite(_)) {
        // Without a log nothing is written before the commit.
        assert_eq!(site.ask("PRAGMA journal_mode = WAL").await, ["wal"]);
    }
    site.ask("CREATE TABLE t (a BIGINT)").await;
    site.ask("INSERT INTO t VALUES (7)").await;
    let job = |rows: i64, if_exists: &str| {
        let stored_as = site.stored_as();
        let sql = format!(
            "COPY (SELECT value AS a FROM generate_series(1, {rows})) TO 'env:SCENARIO_DATABASE/t' \
             STORED AS {stored_as} OPTIONS (if_exists '{if_exists}')"
        );
        let mut job = Job::new(directory.path(), vec![sql]);
        job.environment = vec![("SCENARIO_DATABASE".to_owned(), site.url())];
        job
    };
    for if_exists in ["append", "replace"] {
        for lost in [Lost::Connection, Lost::Process] {
            // SQLite is in the process.
            if matches!((lost, &site.kind), (Lost::Connection, Kind::Sqlite(_))) {
                continue;
            }
            let what = format!("{if_exists}, {lost:?}");
            let mut child = job(2_000_000_000, if_exists).start();
            let begun = Instant::now();
            while !is_written(&site).await {
                assert!(begun.elapsed() < Duration::from_secs(120), "{what}");
                if child.has_ended() {
                    panic!("{what}: it ended: {:?}", end(child).await.said);
                }
                // MariaDB looks at its transactions anew only if nobody asked for a tenth of a
                // second.
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            match lost {
                Lost::Connection => site.end_connections().await,
                Lost::Process => child.kill(),
            }
            let ended = end(child).await;
            match lost {
                Lost::Connection => {
                    let failure = ended.failure(0);
                    let table = "cannot write table 't' of ";
                    assert!(failure.starts_with("Storage: "), "{what}: {failure}");
                    assert!(failure.contains(table), "{what}: {failure}");
                    assert!(!failure.contains("SECRET"), "{what}: {failure}");
                    println!("{failure}");
                }
                Lost::Process => assert!(ended.killed && !ended.done(0), "{what}"),
            }
            // A server notices late that a client is gone, and takes its time to roll back.
            site.alone().await;
            let found = site.ask("SELECT a FROM t").await;
            assert_eq!(found, ["7"], "{what}");
        }
    }
    // Done again, it is there once.
    for (if_exists, expected) in [("append", 4), ("replace", 3)] {
        assert!(job(3, if_exists).run().await.done(0));
        let count = site.ask("SELECT count(*) FROM t").await;
        assert_eq!(count, [expected.to_string()], "{if_exists}");
    }
}
