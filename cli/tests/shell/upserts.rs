//! `atio upsert`: a file into a table by a key.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::{failed, run, run_with_input, stderr, stdout};

/// A home with a table of three rows.
fn home() -> TempDir {
    let home = TempDir::new().unwrap();
    let table = "CREATE EXTERNAL TABLE t (id INT, zip TEXT, n DECIMAL(6, 2)) STORED AS ATIO \
                 LOCATION './t'; \
                 INSERT INTO t VALUES (1, '007', 1), (2, '008', 2), (NULL, 'none', 0)";
    query(home.path(), table);
    home
}

#[track_caller]
fn query(directory: &Path, sql: &str) -> String {
    let output = run(directory, &["-q", "--format", "csv", "-c", sql]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stdout(&output)
}

fn rows(directory: &Path) -> String {
    query(
        directory,
        "SELECT * FROM atio_table('./t') ORDER BY id, zip",
    )
}

/// What an upsert into the table said, which must have succeeded.
#[track_caller]
fn upserted(directory: &Path, arguments: &[&str]) -> String {
    let output = run(directory, &[&["upsert", "t"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
    stderr(&output)
}

#[track_caller]
fn refused(directory: &Path, arguments: &[&str]) -> String {
    failed(&run(directory, &[&["upsert", "t"], arguments].concat()))
}

#[test]
fn rows_that_are_there_are_updated_and_others_inserted() {
    let home = home();
    fs::write(home.path().join("in.csv"), "zip,id\n0100,2\n0200,3\n").unwrap();
    let said = upserted(
        home.path(),
        &["in.csv", "--key", "id", "--message", "it's June"],
    );
    assert_eq!(said, "Updated 1 row and inserted 1 row in t: version 2.\n");
    let after = "id,zip,n\n1,007,1.00\n2,0100,2.00\n3,0200,\n,none,0.00\n";
    assert_eq!(rows(home.path()), after);
    let history = "SELECT operation, message FROM atio_history('./t') WHERE version = 2";
    assert_eq!(
        query(home.path(), history),
        "operation,message\nmerge,it's June\n"
    );

    // Once more: the same table.
    let said = upserted(home.path(), &["in.csv", "--key", "id"]);
    assert_eq!(
        said,
        "Updated 2 rows and inserted 0 rows in t: version 3.\n"
    );
    assert_eq!(rows(home.path()), after);
    assert_eq!(upserted(home.path(), &["in.csv", "--key", "id", "-q"]), "");

    fs::write(home.path().join("empty.csv"), "zip,id\n").unwrap();
    let said = upserted(home.path(), &["empty.csv", "--key", "id"]);
    assert_eq!(said, "There are no rows to write: t stays as it is.\n");
    let versions = "SELECT max(version) AS v FROM atio_history('./t')";
    assert_eq!(query(home.path(), versions), "v\n4\n");
}

#[test]
fn every_kind_of_input_is_taken_with_the_types_of_the_table() {
    let home = home();
    let json = "{\"id\":1,\"zip\":\"7\",\"n\":1.25}\n{\"id\":9,\"zip\":\"7\"}\n";
    let arguments = ["upsert", "t", "-", "--from", "json", "--key", "id"];
    let output = run_with_input(home.path(), &arguments, json);
    assert_eq!(
        stderr(&output),
        "Updated 1 row and inserted 1 row in t: version 2.\n"
    );
    fs::write(home.path().join("a.csv"), "id,zip,n\n9,7,0.5\n9,8,0.25\n").unwrap();
    for name in ["a.parquet", "a.arrow"] {
        let written = run(home.path(), &["write", "a.csv", name]);
        assert_eq!(written.status.code(), Some(0), "{}", stderr(&written));
    }
    // By two columns, however they are given. Of a row all columns may be keys.
    for keys in [&["--key", "id,zip"][..], &["--key", "zip", "--key", "id"]] {
        upserted(home.path(), &[&["a.csv"], keys].concat());
    }
    let said = upserted(home.path(), &["a.parquet", "--key", "id,zip"]);
    assert_eq!(
        said,
        "Updated 2 rows and inserted 0 rows in t: version 5.\n"
    );
    upserted(home.path(), &["a.arrow", "--key", "id,zip"]);
    upserted(home.path(), &["./t", "--key", "zip,id"]);
    let found = rows(home.path());
    assert!(
        found.starts_with("id,zip,n\n1,7,1.25\n2,008,2.00\n9,7,0.50\n9,8,0.25\n"),
        "{found}"
    );
    // NULL in a key is the same as no other.
    assert_eq!(found.matches("none").count(), 2, "{found}");
}

#[test]
fn an_upsert_that_cannot_be_changes_nothing_and_says_why() {
    let home = home();
    let before = rows(home.path());
    let write = |name: &str, text: &str| fs::write(home.path().join(name), text).unwrap();
    write("in.csv", "id,zip\n1,a\n");
    write("no_key.csv", "zip\na\n");
    write("more.csv", "id,zip,extra\n1,a,b\n");
    write("old.csv", "id,zip\n1,a\n2,b\n1,c\n");
    write("new.csv", "id,zip\n5,a\n6,b\n5,c\n");
    write("text.csv", "id,zip\nmany,a\n");
    write("digits.csv", "id,n\n1,1.239\n");
    for (arguments, expected) in [
        (
            ["in.csv", "--key", "number"],
            "has no column 'number'; its columns are id, zip, n",
        ),
        (
            ["no_key.csv", "--key", "id"],
            "no column 'id', which is a key; their columns are zip",
        ),
        (["in.csv", "--key", "id,id"], "the key 'id' is given twice"),
        (
            ["more.csv", "--key", "id"],
            "no column 'extra'; its columns are id, zip, n",
        ),
        (
            ["old.csv", "--key", "id"],
            "match one row of the table (id = 1)",
        ),
        (["new.csv", "--key", "id"], "have one key (id = 5)"),
        (["text.csv", "--key", "id"], "many"),
        (
            ["digits.csv", "--key", "id"],
            "column 'n': 1.239 has more than 2 digits",
        ),
        (
            ["missing.csv", "--key", "id"],
            "there is no file 'missing.csv'",
        ),
    ] {
        let message = refused(home.path(), &arguments);
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
    assert_eq!(rows(home.path()), before);
    let versions = "SELECT max(version) AS v FROM atio_history('./t')";
    assert_eq!(query(home.path(), versions), "v\n1\n");

    let missing = failed(&run(
        home.path(),
        &["upsert", "nowhere", "in.csv", "--key", "id"],
    ));
    assert!(missing.contains("there is no table ./nowhere"), "{missing}");
    assert!(missing.contains("--create"), "{missing}");
    assert!(!home.path().join("nowhere").exists());

    let strict = "CREATE EXTERNAL TABLE s (id INT, needed INT NOT NULL) STORED AS ATIO \
                  LOCATION './s'; INSERT INTO s VALUES (1, 1)";
    query(home.path(), strict);
    write("ids.csv", "id\n1\n2\n");
    let message = failed(&run(
        home.path(),
        &["upsert", "s", "ids.csv", "--key", "id"],
    ));
    assert!(message.contains("column 'needed' is NOT NULL"), "{message}");
    let count = "SELECT count(*) AS n FROM atio_table('./s')";
    assert_eq!(query(home.path(), count), "n\n1\n");
}

#[test]
fn upserts_at_once_all_take_effect_with_retries() {
    let home = home();
    let count = 6;
    for writer in 0..count {
        let file = home.path().join(format!("{writer}.csv"));
        fs::write(file, format!("id,zip\n1,w{writer}\n{},new\n", 100 + writer)).unwrap();
    }
    std::thread::scope(|scope| {
        for writer in 0..count {
            let directory = home.path();
            scope.spawn(move || {
                let file = format!("{writer}.csv");
                upserted(directory, &[&file, "--key", "id", "--retries", "50"]);
            });
        }
    });
    let counts = "SELECT count(*) AS n, count(DISTINCT id) AS ids FROM atio_table('./t')";
    assert_eq!(query(home.path(), counts), "n,ids\n9,8\n");
    let said = refused(home.path(), &["0.csv", "--key", "id", "--retries", "1001"]);
    assert!(said.contains("1000") || said.contains("1,000"), "{said}");
}
