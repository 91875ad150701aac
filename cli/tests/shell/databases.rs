//! Databases whose URL is in the environment.

use crate::{atio, stderr, stdout};

#[test]
fn database_is_named_by_an_environment_variable() {
    let directory = tempfile::tempdir().unwrap();
    let copy = "COPY (SELECT 41 + 1 AS answer) TO 'env:APP_DB/t' STORED AS SQLITE";
    let open = "CREATE EXTERNAL TABLE t STORED AS SQLITE LOCATION 'env:APP_DB/t'";
    let output = atio(directory.path())
        .env("APP_DB", "sqlite:app.db")
        .args(["-q", "-c", copy, "-c", open, "-c", "SELECT * FROM t"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("42"), "{}", stdout(&output));
    assert!(directory.path().join("app.db").exists());
}

#[test]
fn url_in_the_environment_is_never_shown() {
    let directory = tempfile::tempdir().unwrap();
    let open = "CREATE EXTERNAL TABLE t STORED AS POSTGRES LOCATION 'env:APP_DB/t'";
    for url in [
        "postgres://u:SECRET@127.0.0.1:1/d",
        "postgres://u:SEC/RET@127.0.0.1:1/d",
        "postgres://u:SECRET@127.0.0.1:1/d?sslmode=SECRET",
        "SECRET",
    ] {
        let output = atio(directory.path())
            .env("APP_DB", url)
            .args(["-c", open])
            .output()
            .unwrap();
        assert!(!output.status.success());
        let said = format!("{}{}", stdout(&output), stderr(&output));
        assert!(!said.contains("SECRET") && !said.contains("RET@"), "{said}");
    }
}
