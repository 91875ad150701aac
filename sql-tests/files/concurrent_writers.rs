//! Many writers of one target: it is always one of theirs, and its marker is its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::query::row;
use atio::Marker;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_of_one_file_leave_one_of_theirs_and_readers_never_see_less() {
    for name in ["a.csv", "folder"] {
        let place = Arc::new(Place::new());
        let to = place.text(name);
        rows(&session(2), &marked(&numbers(100), &to, "csv", "")).await;
        let over = Arc::new(AtomicBool::new(false));
        let reader = (name == "a.csv").then(|| {
            let (over, to) = (Arc::clone(&over), to.clone());
            tokio::spawn(async move {
                let mut reads = 0;
                while !over.load(Ordering::Relaxed) {
                    let text = tokio::fs::read_to_string(&to).await.unwrap();
                    let n: usize = text
                        .lines()
                        .nth(1)
                        .unwrap()
                        .split(',')
                        .nth(1)
                        .unwrap()
                        .parse()
                        .unwrap();
                    assert_eq!(text.lines().count(), n + 1);
                    reads += 1;
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
                reads
            })
        });
        let mut writers = JoinSet::new();
        for writer in 1..=6_i64 {
            let to = to.clone();
            writers.spawn(async move {
                let ctx = session(2);
                for round in 0..5 {
                    let n = 100 * writer + round;
                    assert_eq!(
                        row(&ctx, &marked(&numbers(n), &to, "csv", "")).await,
                        n.to_string()
                    );
                }
            });
        }
        while let Some(ended) = writers.join_next().await {
            ended.unwrap();
        }
        over.store(true, Ordering::Relaxed);
        if let Some(reader) = reader {
            assert!(reader.await.unwrap() > 0);
        }
        let marker = Marker::read(&to).unwrap().unwrap();
        assert_eq!(read(&to, "csv").await, said(marker.rows as i64));
        if name == "a.csv" {
            assert_eq!(marker.hash, crc32c(Path::new(&to)));
        }
        assert_eq!(
            place.names(),
            [format!(".{name}._SUCCESS"), name.to_owned()]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_writers_who_must_not_replace_one_wins() {
    for (name, option) in [
        ("a.csv", "fail"),
        ("a.parquet", "skip"),
        ("folder", "fail"),
        ("other", "skip"),
    ] {
        let place = Arc::new(Place::new());
        let format = if name == "a.parquet" {
            "parquet"
        } else {
            "csv"
        };
        let mut writers = JoinSet::new();
        for writer in 1..=6_i64 {
            let sql = copy(
                &numbers(writer),
                &place.text(name),
                format,
                &format!("'atio.if_exists' '{option}'"),
            );
            writers.spawn(async move {
                let ended = crate::session::run(&session(2), &sql).await;
                ended
                    .ok()
                    .map(|batches| crate::query::texts(&batches).join(""))
            });
        }
        let ended = writers.join_all().await;
        let won: Vec<_> = ended
            .iter()
            .flatten()
            .filter(|count| *count != "0")
            .collect();
        assert_eq!(won.len(), 1, "{ended:?}");
        assert_eq!(
            ended.iter().flatten().count(),
            if option == "skip" { 6 } else { 1 }
        );
        assert_eq!(
            read(&place.text(name), format).await,
            said(won[0].parse().unwrap())
        );
        assert_eq!(place.names().len(), 1);
    }
}

/// Each statement has all its rows or none, and the one that replaced others has its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn files_are_added_whole_to_a_directory_that_another_writer_replaces_meanwhile() {
    let mut kept = 0;
    for _ in 0..20 {
        let place = Place::new();
        let to = place.text("out");
        let sql = |writer: i64, options: &str| {
            let from = 1000 * writer;
            add_to_directory::dealt_to(20, from, from + 39, &to, "csv", options)
        };
        rows(&session(2), &sql(1, "")).await;
        let mut writers = JoinSet::new();
        for writer in 2..=5 {
            let replaces = if writer == 5 {
                "'atio.if_exists' 'replace'"
            } else {
                ""
            };
            let sql = sql(writer, replaces);
            writers.spawn(async move { assert_eq!(row(&session(2), &sql).await, "40") });
        }
        writers.join_all().await;
        let ctx = SessionContext::new();
        let create = format!("CREATE EXTERNAL TABLE r STORED AS csv LOCATION '{to}/'");
        rows(&ctx, &create).await;
        let by_writer = "SELECT i / 1000, count(*), count(DISTINCT i) FROM r GROUP BY 1 ORDER BY 1";
        let found = rows(&ctx, by_writer).await;
        let whole = |row: &String| row.ends_with("|40|40") && !row.starts_with("1|");
        assert!(found.iter().all(whole), "{found:?}");
        assert_eq!(found.last().map(String::as_str), Some("5|40|40"));
        kept += found.len() - 1;
        assert_eq!(place.names(), ["out"]);
    }
    println!("{kept} of 60 statements came after the replacement");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn files_of_a_program_that_keeps_making_them_in_the_directory_stay() {
    let place = Arc::new(Place::new());
    let to = place.text("out");
    rows(&session(2), &add_to_directory::dealt(1, 10, &to, "csv", "")).await;
    let over = Arc::new(AtomicBool::new(false));
    let others = {
        let (over, place) = (Arc::clone(&over), Arc::clone(&place));
        tokio::task::spawn_blocking(move || {
            let mut made = 0;
            while !over.load(Ordering::Relaxed) || made == 0 {
                // Also in the directories of values, and where the next are to be.
                let name = format!("out/m={}/other-{made}.csv", made % 3);
                std::fs::write(place.path(&name), format!("i\n{}\n", -1 - made)).unwrap();
                made += 1;
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            made
        })
    };
    let ctx = session(2);
    for round in 1..=20 {
        let added = add_to_directory::dealt(10 * round + 1, 10 * round + 10, &to, "csv", "");
        assert_eq!(row(&ctx, &added).await, "10");
        let fails = format!(
            "COPY (SELECT 1 / (value - 3000) AS i, value % 3 AS m FROM generate_series(1, 3000)) \
             TO '{to}' STORED AS csv PARTITIONED BY (m)"
        );
        crate::query::failure(&ctx, &fails).await;
    }
    over.store(true, Ordering::Relaxed);
    let made = others.await.unwrap();
    let all = 210 + made;
    assert_eq!(
        add_to_directory::counted(&to, "csv").await,
        format!("{all}|{all}")
    );
    assert_eq!(place.names(), ["out"]);
}
