//! Lines 1 to 15: places that are no tables.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use atio::{AtioCatalog, AtioTable, ErrorKind};

use super::{Bad, Bench};

use ErrorKind::{InvalidInput, TableNotFound};

#[tokio::test]
async fn place_that_is_no_table_is_told_and_left_as_it_is() {
    let bench = Bench::new().await;
    bench
        .refuse(&[
            Bad(
                1,
                "CREATE EXTERNAL TABLE x STORED AS ATIO LOCATION '{root}/missing'",
                Some(TableNotFound),
                &["no atio table at", "/missing", "name its columns"],
            ),
            Bad(
                1,
                "SELECT * FROM atio_table('{root}/missing')",
                Some(TableNotFound),
                &["no atio table at", "/missing"],
            ),
            Bad(
                1,
                "SELECT * FROM atio_history('{root}/missing')",
                Some(TableNotFound),
                &["no atio table at"],
            ),
            Bad(
                1,
                "SELECT * FROM atio_files('{root}/missing')",
                Some(TableNotFound),
                &["no atio table at"],
            ),
            Bad(
                2,
                "CREATE EXTERNAL TABLE x (a INT) STORED AS ATIO LOCATION '{root}/foreign'",
                Some(InvalidInput),
                &["not empty", "x.csv", "/foreign", "new or empty"],
            ),
            Bad(
                3,
                "CREATE EXTERNAL TABLE x (a INT) STORED AS ATIO LOCATION '{root}/file'",
                Some(InvalidInput),
                &["/file is a file", "needs a directory"],
            ),
            Bad(
                3,
                "SELECT * FROM atio_table('{root}/file', version => 0)",
                Some(InvalidInput),
                &["/file is a file"],
            ),
        ])
        .await;
    assert!(!bench.place.path().join("missing").exists());
}

#[tokio::test]
async fn location_that_says_no_place_is_refused_without_repeating_a_secret() {
    let bench = Bench::new().await;
    bench
        .refuse(&[
            Bad(
                4,
                "CREATE EXTERNAL TABLE x (a INT) STORED AS ATIO LOCATION 'ftp://host/x'",
                Some(InvalidInput),
                &["ftp"],
            ),
            Bad(
                5,
                "CREATE EXTERNAL TABLE x (a INT) STORED AS ATIO LOCATION 's3://key:SECRET@b/p'",
                Some(InvalidInput),
                &["credentials", "left out of this message"],
            ),
            Bad(
                5,
                "SELECT * FROM atio_table('s3://SECRET@b/p')",
                Some(InvalidInput),
                &["credentials"],
            ),
            Bad(
                6,
                "CREATE EXTERNAL TABLE x (a INT) STORED AS ATIO LOCATION 's3://b/p?x=SECRET'",
                Some(InvalidInput),
                &["query"],
            ),
            Bad(
                6,
                "CREATE EXTERNAL TABLE x (a INT) STORED AS ATIO LOCATION 's3://b/p#SECRET'",
                Some(InvalidInput),
                &["fragment"],
            ),
            Bad(
                7,
                "CREATE EXTERNAL TABLE x (a INT) STORED AS ATIO LOCATION ''",
                Some(InvalidInput),
                &["location is empty"],
            ),
            Bad(
                7,
                "CREATE EXTERNAL TABLE x (a INT) STORED AS ATIO LOCATION '   '",
                Some(InvalidInput),
                &["location is empty"],
            ),
            Bad(
                11,
                "CREATE EXTERNAL TABLE x (a INT) STORED AS ATIO LOCATION '{root}/a\0b'",
                Some(InvalidInput),
                &["control character", "u{0}"],
            ),
            Bad(
                11,
                "SELECT * FROM atio_table('{root}/a\nb')",
                Some(InvalidInput),
                &["control character", "\\n"],
            ),
        ])
        .await;
    for location in ["", "s3://k:SECRET@b/p", "s3://b/p?SECRET", "/a\0b"] {
        for error in [
            AtioTable::open(&bench.ctx, location).await.unwrap_err(),
            AtioCatalog::open(&bench.ctx, location).unwrap_err(),
        ] {
            assert_eq!(error.kind(), InvalidInput, "{location:?}: {error}");
            assert!(!error.to_string().contains("SECRET"), "{error}");
        }
    }
}

/// SQL is UTF-8; a link in it can still lead to a name that is not.
#[tokio::test]
async fn directory_whose_name_is_not_utf_8_is_refused() {
    let bench = Bench::new().await;
    let strange = bench
        .place
        .path()
        .join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    if fs::create_dir(&strange).is_err() {
        println!("skipped: this file system takes UTF-8 alone");
        return;
    }
    symlink(&strange, bench.place.path().join("link")).unwrap();
    bench
        .refuse(&[
            Bad(
                12,
                "CREATE EXTERNAL TABLE x (a INT) STORED AS ATIO LOCATION '{root}/link/x'",
                Some(InvalidInput),
                &["is not UTF-8", "caf"],
            ),
            Bad(
                12,
                "SELECT * FROM atio_table('{root}/link/x')",
                Some(InvalidInput),
                &["is not UTF-8"],
            ),
        ])
        .await;
    assert!(fs::read_dir(&strange).unwrap().next().is_none());
}

#[tokio::test]
async fn name_that_no_disk_and_key_that_no_store_takes_is_refused() {
    let bench = Bench::new().await;
    let create = |location: &str| {
        format!("CREATE EXTERNAL TABLE x (a INT) STORED AS ATIO LOCATION '{location}'")
    };
    let name = format!("{{root}}/{}/x", "n".repeat(256));
    let key = format!("memory://b/{}", "kk/".repeat(342));
    let long_path = format!("{{root}}/{}", "directory/".repeat(500));
    bench
        .refuse(&[
            Bad(
                13,
                &create(&name),
                Some(InvalidInput),
                &["too long", "256 bytes, limit 255"],
            ),
            Bad(
                13,
                &create(&key),
                Some(InvalidInput),
                &["too long", "1025 bytes"],
            ),
            Bad(
                13,
                &create(&long_path),
                Some(ErrorKind::Storage),
                &["name too long"],
            ),
        ])
        .await;
    // What just fits is a table.
    let fits = create(&format!("{}/{}", bench.place.root(), "n".repeat(255)));
    super::attempt(&bench.ctx, &fits).await.unwrap();
}
