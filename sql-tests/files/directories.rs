//! Directories: replaced as a whole, and only where nothing of others is lost.

use super::*;
use crate::query::{failure, row};
use atio::Marker;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_is_replaced_as_a_whole_backed_up_and_restored() {
    for format in FORMATS {
        let place = Place::new();
        let ctx = session(4);
        let to = place.text("out");
        for (n, options) in [
            (MANY, ""),
            (10, "'atio.backup' 'true'"),
            (20, "'atio.backup' 'true'"),
        ] {
            assert_eq!(
                row(&ctx, &marked(&numbers(n), &to, format, options)).await,
                n.to_string()
            );
            assert_eq!(read(&format!("{to}/"), format).await, said(n));
            let marker = Marker::read(&to).unwrap().unwrap();
            assert_eq!((marker.kind.as_str(), marker.rows), ("directory", n as u64));
            let files: Vec<_> = marker.files.iter().map(|file| file.path.clone()).collect();
            assert_eq!(files, names(Path::new(&to)));
            for file in &marker.files {
                let path = place.path("out").join(&file.path);
                assert_eq!(file.hash, crc32c(&path));
                assert_eq!(file.size, std::fs::metadata(&path).unwrap().len());
            }
        }
        let all = ["._SUCCESS", ".atio-backup", ".atio-backup._SUCCESS"]
            .map(|name| format!(".out{name}"));
        assert_eq!(place.names()[..3], all);
        for n in [10, 20, 10] {
            assert_eq!(
                row(
                    &ctx,
                    &format!("SELECT has_backup FROM atio_restore('{to}')")
                )
                .await,
                "true"
            );
            assert_eq!(read(&format!("{to}/"), format).await, said(n));
            assert_eq!(Marker::read(&to).unwrap().unwrap().rows, n as u64);
        }
        assert_eq!(place.names().len(), 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_with_files_of_others_is_replaced_only_when_that_is_said() {
    let place = Place::new();
    let ctx = session(2);
    let to = place.text("out");
    let write = |n: i64| {
        let (ctx, to) = (ctx.clone(), to.clone());
        async move {
            let options = atio::WriteOptions {
                format: Some("csv".to_owned()),
                ..Default::default()
            };
            let df = ctx.sql(&numbers(n)).await.unwrap();
            atio::write(df, &to, options).await
        }
    };
    for n in [5, 6] {
        write(n).await.unwrap();
        assert_eq!(read(&format!("{to}/"), "csv").await, said(n));
    }
    std::fs::write(place.path("out/precious.txt"), "x").unwrap();
    let failed = write(7).await.unwrap_err().to_string();
    assert!(
        failed.contains("files in it that atio did not write"),
        "{failed}"
    );
    assert!(place.path("out/precious.txt").exists());
    rows(
        &ctx,
        &copy(&numbers(6), &to, "csv", "'atio.if_exists' 'replace'"),
    )
    .await;
    assert_eq!(read(&format!("{to}/"), "csv").await, said(6));
    assert!(!place.path("out/precious.txt").exists());
    // An empty one holds nothing of anybody.
    std::fs::create_dir(place.path("empty")).unwrap();
    rows(&ctx, &copy(&numbers(6), &place.text("empty"), "csv", "")).await;

    let table = place.text("table");
    rows(
        &ctx,
        &format!("CREATE EXTERNAL TABLE t (i INT) STORED AS ATIO LOCATION '{table}'"),
    )
    .await;
    let failed = failure(
        &ctx,
        &copy(&numbers(6), &table, "csv", "'atio.if_exists' 'replace'"),
    )
    .await;
    assert!(failed.contains("is a table of atio"), "{failed}");
    for inside in ["a.csv", "data/a.csv", "metadata/v9.metadata.json"] {
        let to = place.text(&format!("table/{inside}"));
        rows(&ctx, "INSERT INTO t VALUES (1)").await;
        let failed = failure(&ctx, &copy(&numbers(6), &to, "csv", "")).await;
        assert!(
            failed.contains("lies in the directory of a table"),
            "{failed}"
        );
        assert!(!Path::new(&to).exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitioned_by_makes_a_directory_for_each_value() {
    for format in FORMATS {
        let place = Place::new();
        let ctx = session(4);
        let to = place.text("out");
        let sql = |n: i64| {
            format!(
                "COPY (SELECT value AS i, {n} AS n, value % 3 AS m, 'a/b ' || (value % 2) AS s \
                 FROM generate_series(1, {n})) TO '{to}' STORED AS {format} PARTITIONED BY (m, s) \
                 OPTIONS ('atio.if_exists' 'replace', 'atio.marker' 'true')"
            )
        };
        for n in [300, 600] {
            assert_eq!(row(&ctx, &sql(n)).await, n.to_string());
            assert_eq!(names(&place.path("out")), ["m=0", "m=1", "m=2"]);
            assert_eq!(names(&place.path("out/m=1")).len(), 2);
            let read = SessionContext::new();
            let create = format!(
                "CREATE EXTERNAL TABLE r STORED AS {format} PARTITIONED BY (m, s) LOCATION '{to}/'"
            );
            rows(&read, &create).await;
            let count = format!("{}|{n}", n / 3);
            let grouped = rows(&read, "SELECT count(*), max(n) FROM r GROUP BY m").await;
            assert_eq!(grouped, [count.as_str(); 3]);
            let marker = Marker::read(&to).unwrap().unwrap();
            assert_eq!((marker.files.len(), marker.rows), (6, n as u64));
        }
        let nulls = format!(
            "COPY (SELECT 1 AS a, NULL::INT AS b) TO '{to}' STORED AS {format} PARTITIONED BY (b)"
        );
        let failed = failure(&ctx, &nulls).await;
        assert!(failed.contains("column 'b' holds NULL"), "{failed}");
        assert_eq!(names(&place.path("out")), ["m=0", "m=1", "m=2"]);
    }
}
