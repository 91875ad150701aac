//! Each format: new, replaced, refused, skipped, backed up; and its marker.

use super::*;
use crate::query::{failure, row};
use atio::Marker;

async fn check_format(format: &str) {
    let place = Place::new();
    let ctx = session(4);
    let (name, marker) = (format!("a.{format}"), format!(".a.{format}._SUCCESS"));
    let to = place.text(&name);
    let write = |n: i64, options: &str| marked(&numbers(n), &to, format, options);

    assert_eq!(row(&ctx, &write(MANY, "")).await, MANY.to_string());
    assert_eq!(place.names(), [marker.as_str(), name.as_str()]);
    assert_eq!(read(&to, format).await, said(MANY));

    let failed = failure(&ctx, &write(10, "'atio.if_exists' 'fail'")).await;
    assert!(failed.contains("is there already"), "{failed}");
    assert_eq!(row(&ctx, &write(10, "'atio.if_exists' 'skip'")).await, "0");
    assert_eq!(read(&to, format).await, said(MANY));

    assert_eq!(row(&ctx, &write(20, "'atio.backup' 'true'")).await, "20");
    assert_eq!(read(&to, format).await, said(20));
    assert_eq!(
        place.names(),
        [
            format!(".a.{format}._SUCCESS"),
            format!(".a.{format}.atio-backup"),
            format!(".a.{format}.atio-backup._SUCCESS"),
            name.clone()
        ]
    );
    assert_eq!(Marker::read(&to).unwrap().unwrap().rows, 20);
    for (n, now) in [(MANY, "true"), (20, "true"), (MANY, "true")] {
        let restored = row(
            &ctx,
            &format!("SELECT has_backup FROM atio_restore('{to}')"),
        )
        .await;
        assert_eq!(restored, now);
        assert_eq!(read(&to, format).await, said(n));
        assert_eq!(Marker::read(&to).unwrap().unwrap().rows, n as u64);
    }

    assert_eq!(row(&ctx, &copy(&numbers(30), &to, format, "")).await, "30");
    assert_eq!(read(&to, format).await, said(30));
    assert_eq!(Marker::read(&to).unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_format_replaces_fails_skips_backs_up_and_goes_back() {
    for format in WITH_XLSX {
        check_format(format).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_of_no_rows_is_a_valid_file_with_its_columns() {
    let place = Place::new();
    let ctx = session(4);
    for format in FORMATS {
        for name in [format!("a.{format}"), format!("folder-{format}")] {
            let to = place.text(&name);
            let query = format!("{} WHERE value < 0", numbers(5));
            assert_eq!(row(&ctx, &marked(&query, &to, format, "")).await, "0");
            if format == "json" {
                // No rows are no lines.
                let marker = Marker::read(&to).unwrap().unwrap();
                assert_eq!((marker.rows, marker.size), (0, 0), "{name}");
                assert!(Path::new(&to).exists());
                continue;
            }
            let read = SessionContext::new();
            let sql = format!("CREATE EXTERNAL TABLE r STORED AS {format} LOCATION '{to}'");
            rows(&read, &sql).await;
            assert_eq!(
                rows(&read, "SELECT i, n, s FROM r").await,
                Vec::<String>::new()
            );
            assert_eq!(row(&read, "SELECT count(*) FROM r").await, "0", "{name}");
            if ["parquet", "arrow"].contains(&format) {
                let found = read.table("r").await.unwrap();
                let types: Vec<_> = found
                    .schema()
                    .fields()
                    .iter()
                    .map(|f| f.data_type())
                    .collect();
                assert!(types[0].is_integer() && types[1].is_integer(), "{types:?}");
                assert!(types[2].is_string(), "{types:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marker_tells_size_rows_and_the_hash_that_sha256sum_finds() {
    let place = Place::new();
    let ctx = session(4);
    // In parts, and in one piece.
    rows(
        &ctx,
        "SET datafusion.execution.objectstore_writer_buffer_size = 10000",
    )
    .await;
    for format in FORMATS {
        for n in [3, MANY] {
            let to = place.text(&format!("{n}.{format}"));
            rows(&ctx, &marked(&numbers(n), &to, format, "hash 'sha256'")).await;
            let marker = Marker::read(&to).unwrap().unwrap();
            assert_eq!(marker.target, format!("{n}.{format}"));
            assert_eq!((marker.kind.as_str(), marker.rows), ("file", n as u64));
            assert_eq!(marker.size, std::fs::metadata(&to).unwrap().len());
            assert_eq!(marker.hash, format!("sha256:{}", sha256sum(Path::new(&to))));
            assert!(marker.files.is_empty());
            rows(&ctx, &marked(&numbers(n), &to, format, "")).await;
            let marker = Marker::read(&to).unwrap().unwrap();
            assert_eq!(marker.hash, crc32c(Path::new(&to)));
        }
    }
    let to = place.text("c.csv");
    rows(
        &ctx,
        &marked("SELECT 1 AS a", &to, "csv", "'atio.hash' 'crc32c'"),
    )
    .await;
    let marker = std::fs::read_to_string(place.path(".c.csv._SUCCESS")).unwrap();
    let value: serde_json::Value = serde_json::from_str(&marker).unwrap();
    let keys: Vec<_> = value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        [
            "hash",
            "kind",
            "rows",
            "size",
            "target",
            "writer",
            "written_at"
        ]
    );
    assert!(value["hash"].as_str().unwrap().starts_with("crc32c:"));
    let written_at = value["written_at"].as_str().unwrap();
    let sql = format!(
        "SELECT now() - '{written_at}'::TIMESTAMPTZ BETWEEN INTERVAL '0' AND INTERVAL '1 hour'"
    );
    assert_eq!(row(&ctx, &sql).await, "true", "{written_at}");
}

#[tokio::test]
async fn values_of_every_kind_come_back_from_every_format() {
    let place = Place::new();
    let ctx = session(2);
    let columns = [
        ("i", "BIGINT", "-9223372036854775808"),
        (
            "d",
            "DECIMAL(20, 2)",
            "arrow_cast('-123456789012345678.90', 'Decimal128(20, 2)')",
        ),
        ("x", "DOUBLE", "0.1"),
        ("t", "DATE", "DATE '1969-12-31'"),
        (
            "z",
            "TIMESTAMP",
            "arrow_cast(TIMESTAMP '2024-02-29 12:34:56.789', 'Timestamp(Millisecond, Some(\"UTC\"))')",
        ),
        ("b", "BOOLEAN", "true"),
        ("e", "BIGINT", "CAST(NULL AS BIGINT)"),
        ("s", "VARCHAR", "'grüße, \"世界\"' || chr(10) || 'a; b\\'"),
        ("o", "VARCHAR", "CAST(NULL AS VARCHAR)"),
    ];
    let list: Vec<_> = columns
        .iter()
        .map(|(name, _, value)| format!("{value} AS {name}"))
        .collect();
    let query = format!("SELECT {}", list.join(", "));
    let seen = "SELECT i, d, x, t, arrow_cast(z, 'Timestamp(Millisecond, None)'), b, e, s, o FROM";
    let expected = row(&ctx, &format!("{seen} ({query})")).await;
    assert!(
        expected.contains("-123456789012345678.90|0.1|1969-12-31|2024-02-29T12:34:56.789|true"),
        "{expected}"
    );
    for format in FORMATS {
        let to = place.text(&format!("a.{format}"));
        rows(&ctx, &copy(&query, &to, format, "")).await;
        let types: Vec<_> = columns
            .iter()
            .map(|(name, kind, _)| format!("{name} {kind}"))
            .collect();
        let (types, options) = match format {
            "csv" => (
                format!("({})", types.join(", ")),
                "OPTIONS ('format.newlines_in_values' 'true')",
            ),
            "json" => (format!("({})", types.join(", ")), ""),
            _ => (String::new(), ""),
        };
        let read = SessionContext::new();
        let sql =
            format!("CREATE EXTERNAL TABLE r {types} STORED AS {format} LOCATION '{to}' {options}");
        rows(&read, &sql).await;
        assert_eq!(row(&read, &format!("{seen} r")).await, expected, "{format}");
    }
    // JSON refuses what is no number.
    let odd = "SELECT arrow_cast('NaN', 'Float64') AS x, arrow_cast('-inf', 'Float64') AS y";
    for format in ["csv", "parquet", "arrow"] {
        let to = place.text(&format!("odd.{format}"));
        rows(&ctx, &copy(odd, &to, format, "")).await;
        let types = if format == "csv" {
            "(x DOUBLE, y DOUBLE)"
        } else {
            ""
        };
        let read = SessionContext::new();
        rows(
            &read,
            &format!("CREATE EXTERNAL TABLE r {types} STORED AS {format} LOCATION '{to}'"),
        )
        .await;
        assert_eq!(
            row(&read, "SELECT x, y FROM r").await,
            "NaN|-inf",
            "{format}"
        );
    }
    // Bytes are digits in pairs where there is text alone.
    let bytes = "SELECT X'00ff0a' AS x";
    for (format, expected) in [("csv", "x\n00ff0a\n"), ("json", "{\"x\":\"00ff0a\"}\n")] {
        let to = place.text(&format!("bytes.{format}"));
        rows(&ctx, &copy(bytes, &to, format, "")).await;
        assert_eq!(std::fs::read_to_string(&to).unwrap(), expected);
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replacement_keeps_the_permission_bits() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let ctx = session(2);
    let bits = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    for mode in [0o600, 0o640, 0o444, 0o666, 0o755] {
        for name in ["a.csv", "folder"] {
            // A directory must be writable for its old files to go.
            let mode = if name == "folder" { mode | 0o700 } else { mode };
            let to = place.text(name);
            rows(&ctx, &marked(&numbers(5), &to, "csv", "")).await;
            std::fs::set_permissions(&to, std::fs::Permissions::from_mode(mode)).unwrap();
            rows(&ctx, &marked(&numbers(6), &to, "csv", "")).await;
            assert_eq!(read(&to, "csv").await, said(6));
            assert_eq!(bits(Path::new(&to)), mode, "{name}");
        }
    }
    // A new one is what others that are made here are.
    std::fs::write(place.path("other"), "").unwrap();
    rows(&ctx, &copy(&numbers(6), &place.text("new.csv"), "csv", "")).await;
    assert_eq!(bits(&place.path("new.csv")), bits(&place.path("other")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_backup_is_not_restored() {
    let place = Place::new();
    let ctx = session(2);
    let to = place.text("a.csv");
    for n in [5, 6] {
        rows(
            &ctx,
            &marked(&numbers(n), &to, "csv", "'atio.backup' 'true'"),
        )
        .await;
    }
    std::fs::write(place.path(".a.csv.atio-backup"), "i,n,s\n").unwrap();
    let failed = failure(&ctx, &format!("SELECT * FROM atio_restore('{to}')")).await;
    assert!(
        failed.contains("is not what its marker says; nothing was changed"),
        "{failed}"
    );
    assert_eq!(read(&to, "csv").await, said(6));
    let failed = failure(
        &ctx,
        &format!("SELECT * FROM atio_restore('{}')", place.text("b.csv")),
    )
    .await;
    assert!(failed.contains("has no backup"), "{failed}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_in_the_place_of_a_backup_or_its_marker_is_not_restored() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    let ctx = session(2);
    let to = place.text("a.csv");
    let restore = format!("SELECT * FROM atio_restore('{to}')");
    std::fs::write(place.path("others"), "x").unwrap();
    rows(&ctx, &marked(&numbers(5), &to, "csv", "")).await;
    symlink(place.path("others"), place.path(".a.csv.atio-backup")).unwrap();
    let failed = failure(&ctx, &restore).await;
    assert!(
        failed.contains("is neither a file nor a directory"),
        "{failed}"
    );
    assert_eq!(read(&to, "csv").await, said(5));

    rows(
        &ctx,
        &marked(&numbers(6), &to, "csv", "'atio.backup' 'true'"),
    )
    .await;
    let marker = place.path(".a.csv.atio-backup._SUCCESS");
    std::fs::remove_file(&marker).unwrap();
    symlink(place.path(".a.csv._SUCCESS"), &marker).unwrap();
    let failed = failure(&ctx, &restore).await;
    assert!(
        failed.contains("is neither a file nor a directory"),
        "{failed}"
    );
    assert_eq!(read(&to, "csv").await, said(6));
    assert_eq!(Marker::read(&to).unwrap().unwrap().rows, 6);
}

#[tokio::test]
async fn a_name_that_tells_of_a_compression_gets_it() {
    let place = Place::new();
    let ctx = session(2);
    let magic: [(&str, &str, &[u8]); 4] = [
        ("gz", "gzip", b"\x1f\x8b"),
        ("bz2", "bzip2", b"BZh"),
        ("xz", "xz", b"\xfd7zXZ"),
        ("zst", "zstd", b"\x28\xb5\x2f\xfd"),
    ];
    for (ending, compression, magic) in magic {
        for format in ["csv", "json"] {
            let to = place.text(&format!("a.{format}.{ending}"));
            rows(&ctx, &copy(&numbers(6), &to, format, "")).await;
            assert!(std::fs::read(&to).unwrap().starts_with(magic), "{to}");
            let table = format!("{format}_{ending}");
            let create = format!(
                "CREATE EXTERNAL TABLE {table} STORED AS {format} LOCATION '{to}' \
                 OPTIONS ('format.compression' '{compression}')"
            );
            rows(&ctx, &create).await;
            assert_eq!(
                row(&ctx, &format!("SELECT count(*) FROM {table}")).await,
                "6"
            );
        }
    }
    // What is said counts more than the name.
    let to = place.text("b.csv.gz");
    rows(&ctx, &copy(&numbers(6), &to, "csv", "compression 'zstd'")).await;
    assert!(std::fs::read(&to).unwrap().starts_with(b"\x28\xb5\x2f\xfd"));
    let to = place.text("c.csv.gz");
    rows(
        &ctx,
        &copy(&numbers(6), &to, "csv", "compression 'uncompressed'"),
    )
    .await;
    assert_eq!(read(&to, "csv").await, said(6));
    // Other formats are compressed inside, if at all.
    let to = place.text("d.parquet.gz");
    rows(&ctx, &copy(&numbers(6), &to, "parquet", "")).await;
    assert!(std::fs::read(&to).unwrap().starts_with(b"PAR1"));
}

#[tokio::test]
async fn options_of_atio_need_no_prefix() {
    let place = Place::new();
    let ctx = session(2);
    let to = place.text("a.csv");
    rows(
        &ctx,
        &copy(&numbers(6), &to, "csv", "marker false, hash 'crc32c'"),
    )
    .await;
    assert_eq!(place.names(), ["a.csv"]);
    assert_eq!(
        row(&ctx, &copy(&numbers(7), &to, "csv", "if_exists 'skip'")).await,
        "0"
    );
    let failed = failure(&ctx, &copy(&numbers(7), &to, "csv", "if_exists 'other'")).await;
    assert!(
        failed.contains("'other' is not 'replace', 'append', 'fail' or 'skip'"),
        "{failed}"
    );
    let twice = copy(
        &numbers(7),
        &to,
        "csv",
        "if_exists 'fail', 'atio.if_exists' 'replace'",
    );
    let failed = failure(&ctx, &twice).await;
    assert!(
        failed.contains("option 'atio.if_exists' is given twice"),
        "{failed}"
    );
    rows(&ctx, &copy(&numbers(7), &to, "csv", "backup true")).await;
    assert_eq!(read(&to, "csv").await, said(7));
    assert!(place.path(".a.csv.atio-backup").exists());
}
