//! Writing from Rust: `atio::write`, and what `DataFrame` itself offers.

use super::*;
use atio::{Error, ErrorKind, Existing, Hash, Marker, WriteOptions};
use datafusion::common::config::{CsvOptions, JsonOptions};
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::error::DataFusionError;

fn kind(error: &DataFusionError) -> Option<ErrorKind> {
    Error::find(error).map(Error::kind)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_needs_no_registered_session_and_takes_the_format_from_the_name() {
    let place = Place::new();
    let ctx = SessionContext::new();
    for format in WITH_XLSX {
        let df = || async { ctx.sql(&numbers(9)).await.unwrap() };
        let to = place.text(&format!("a.{format}"));
        let fail = WriteOptions {
            if_exists: Some(Existing::Fail),
            hash: Hash::Sha256,
            ..WriteOptions::default()
        };
        assert_eq!(atio::write(df().await, &to, fail.clone()).await.unwrap(), 9);
        assert_eq!(read(&to, format).await, said(9));
        assert!(
            Marker::read(&to)
                .unwrap()
                .unwrap()
                .hash
                .starts_with("sha256:")
        );
        let error = atio::write(df().await, &to, fail).await.unwrap_err();
        assert_eq!(kind(&error), Some(ErrorKind::InvalidInput), "{error}");
        let folder = WriteOptions {
            format: Some(format.to_owned()),
            partition_by: vec!["n".to_owned()],
            marker: false,
            durable: false,
            ..WriteOptions::default()
        };
        let out = place.text(&format!("out-{format}"));
        assert_eq!(atio::write(df().await, &out, folder).await.unwrap(), 9);
        assert_eq!(names(Path::new(&out)), ["n=9"]);
        assert_eq!(Marker::read(&out).unwrap(), None);
    }
    let df = ctx.sql("SELECT 1 AS a").await.unwrap();
    let packed = place.text("a.csv.gz");
    atio::write(df.clone(), &packed, WriteOptions::default())
        .await
        .unwrap();
    assert!(std::fs::read(&packed).unwrap().starts_with(b"\x1f\x8b"));
    let error = atio::write(df.clone(), &place.text("a"), WriteOptions::default())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("its name has no ending"),
        "{error}"
    );
    let error = atio::write(df, &place.text("a.orc"), WriteOptions::default())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("there is no format ORC"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_puts_its_marker_beside_the_target_or_where_it_is_told() {
    let place = Place::new();
    let ctx = SessionContext::new();
    std::fs::create_dir(place.path("markers")).unwrap();
    for name in ["a.csv", "folder"] {
        let to = place.text(name);
        let at = place.path(&format!("markers/{name}.json"));
        for n in [3, 4] {
            let options = WriteOptions {
                format: Some("csv".to_owned()),
                if_exists: Some(Existing::Replace),
                marker_path: Some(at.clone()),
                ..WriteOptions::default()
            };
            let df = ctx.sql(&numbers(n)).await.unwrap();
            atio::write(df, &to, options).await.unwrap();
            assert_eq!(Marker::read(&to).unwrap(), None);
            let marker: serde_json::Value =
                serde_json::from_slice(&std::fs::read(&at).unwrap()).unwrap();
            assert_eq!(
                (&marker["rows"], &marker["target"]),
                (&n.into(), &name.into())
            );
        }
        // One beside it is the only one from then on that is true.
        let df = ctx.sql(&numbers(5)).await.unwrap();
        let options = WriteOptions {
            format: Some("csv".to_owned()),
            if_exists: Some(Existing::Replace),
            ..WriteOptions::default()
        };
        atio::write(df, &to, options).await.unwrap();
        assert_eq!(Marker::read(&to).unwrap().unwrap().rows, 5);
    }
    assert_eq!(names(&place.path("markers")), ["a.csv.json", "folder.json"]);
    for (path, said) in [
        (
            "folder/marker.json",
            "would lie in the directory that it is about",
        ),
        ("missing/marker.json", "the directory of the marker"),
    ] {
        let options = WriteOptions {
            format: Some("csv".to_owned()),
            if_exists: Some(Existing::Replace),
            marker_path: Some(place.path(path)),
            ..WriteOptions::default()
        };
        let df = ctx.sql(&numbers(6)).await.unwrap();
        let error = atio::write(df, &place.text("folder"), options)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(read(&place.text("folder"), "csv").await, super::said(5));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_methods_of_a_dataframe_are_atomic_in_a_registered_session() {
    let place = Place::new();
    let ctx = session(4);
    // The name tells of a compression, unless there are options that say otherwise.
    for (name, options, packed) in [
        ("none.csv.gz", None, true),
        ("some.csv.gz", Some(CsvOptions::default()), false),
    ] {
        let to = place.text(name);
        let df = ctx.sql("SELECT 1 AS a").await.unwrap();
        let written = df.write_csv(&to, DataFrameWriteOptions::new(), options);
        written.await.unwrap();
        let found = std::fs::read(&to).unwrap();
        assert_eq!(found.starts_with(b"\x1f\x8b"), packed, "{name}");
        std::fs::remove_file(&to).unwrap();
    }
    let to = place.text("some.json.gz");
    let df = ctx.sql("SELECT 1 AS a").await.unwrap();
    let written = df.write_json(
        &to,
        DataFrameWriteOptions::new(),
        Some(JsonOptions::default()),
    );
    written.await.unwrap();
    assert_eq!(std::fs::read_to_string(&to).unwrap(), "{\"a\":1}\n");
    std::fs::remove_file(&to).unwrap();
    let df = || async { ctx.sql(&numbers(9)).await.unwrap() };
    let bad = || async {
        ctx.sql(&format!(
            "SELECT 1 / (value - {MANY}) AS i FROM generate_series(1, {MANY})"
        ))
        .await
        .unwrap()
    };
    let options = DataFrameWriteOptions::new;
    for format in ["csv", "json", "parquet"] {
        let to = place.text(&format!("a.{format}"));
        for fails in [false, true] {
            let df = if fails { bad().await } else { df().await };
            let ended = match format {
                "csv" => df.write_csv(&to, options(), None).await,
                "json" => df.write_json(&to, options(), None).await,
                _ => df.write_parquet(&to, options(), None).await,
            };
            assert_eq!(ended.is_err(), fails);
            assert_eq!(read(&to, format).await, said(9));
        }
    }
    assert_eq!(place.names(), ["a.csv", "a.json", "a.parquet"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restore_and_clean_are_functions_too() {
    let place = Place::new();
    let ctx = session(2);
    let to = place.text("a.csv");
    for n in [5, 6] {
        rows(&ctx, &copy(&numbers(n), &to, "csv", "'atio.backup' 'true'")).await;
    }
    assert!(atio::restore(&ctx, &to).await.unwrap());
    assert_eq!(read(&to, "csv").await, said(5));
    let left = place.path(&format!(".b.csv.atio-{}.tmp", "0".repeat(32)));
    std::fs::write(&left, "half").unwrap();
    let folder = place.text("");
    assert_eq!(atio::clean(&folder).await.unwrap(), [left]);
    assert_eq!(atio::clean(&folder).await.unwrap().len(), 0);
    assert!(atio::clean("s3://bucket/x").await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_url_names_one_place_and_says_which() {
    let place = Place::new();
    let ctx = session(2);
    let path = place.text("");
    let path = path.trim_end_matches('/');
    rows(
        &ctx,
        &copy(&numbers(3), &format!("file:{path}/a.csv"), "csv", ""),
    )
    .await;
    rows(
        &ctx,
        &copy(&numbers(4), &format!("file://{path}/b%23c.csv"), "csv", ""),
    )
    .await;
    let what = copy(&numbers(5), &format!("file://{path}/a.csv#x"), "csv", "");
    let failed = crate::query::failure(&ctx, &what).await;
    assert!(
        failed.contains("must not have a query or a fragment"),
        "{failed}"
    );
    assert_eq!(read(&place.text("a.csv"), "csv").await, said(3));
    assert_eq!(place.names(), ["a.csv", "b#c.csv"]);
}
