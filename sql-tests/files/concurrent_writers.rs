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
