//! `atio write`: files, tables and databases into each other.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::{atio, failed, run, run_with_input, stderr, stdout, wrong};

const ROWS: &str = "id,name\n1,Ada\n2,\"Grace, H\"\n3,\n";

fn home() -> TempDir {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("in.csv"), ROWS).unwrap();
    home
}

/// What a write said that must have succeeded.
#[track_caller]
fn wrote(directory: &Path, arguments: &[&str]) -> String {
    let output = run(directory, &[&["write"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
    stderr(&output)
}

#[track_caller]
fn query(directory: &Path, sql: &str) -> String {
    let output = run(directory, &["-q", "--format", "csv", "-c", sql]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stdout(&output)
}

fn marker(directory: &Path, name: &str) -> String {
    fs::read_to_string(directory.join(format!(".{name}._SUCCESS"))).unwrap_or_default()
}

#[test]
fn every_format_is_written_with_a_marker_and_read_again() {
    let home = home();
    for name in [
        "a.csv",
        "a.tsv",
        "a.json",
        "a.ndjson",
        "a.parquet",
        "a.arrow",
        "b.csv.gz",
        "b.json.zst",
    ] {
        let said = wrote(home.path(), &["in.csv", name]);
        assert_eq!(said, format!("Wrote 3 rows to {name}.\n"));
        assert!(marker(home.path(), name).contains("\"rows\": 3"), "{name}");
        wrote(home.path(), &[name, "again.csv", "-q"]);
        let again = fs::read_to_string(home.path().join("again.csv")).unwrap();
        assert_eq!(again, ROWS, "{name}");
    }
    let tsv = fs::read_to_string(home.path().join("a.tsv")).unwrap();
    assert_eq!(tsv, "id\tname\n1\tAda\n2\tGrace, H\n3\t\n");
    let gz = fs::read(home.path().join("b.csv.gz")).unwrap();
    assert_eq!(gz[..2], [0x1f, 0x8b]);

    assert_eq!(
        wrote(home.path(), &["in.csv", "a.xlsx"]),
        "Wrote 3 rows to a.xlsx.\n"
    );
    assert!(marker(home.path(), "a.xlsx").contains("\"rows\": 3"));
    assert_eq!(fs::read(home.path().join("a.xlsx")).unwrap()[..2], *b"PK");
    let unread = failed(&run(home.path(), &["write", "a.xlsx", "a.csv"]));
    assert!(unread.contains("save it as CSV first"), "{unread}");
}

#[test]
fn a_file_that_is_there_is_replaced_refused_or_left_alone_as_asked() {
    let home = home();
    let file = home.path().join("out.csv");
    fs::write(&file, "old\n").unwrap();
    let refused = failed(&run(
        home.path(),
        &["write", "in.csv", "out.csv", "--if-exists", "fail"],
    ));
    assert!(
        refused.contains("out.csv") && refused.contains("exists"),
        "{refused}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "old\n");
    let left = wrote(home.path(), &["in.csv", "out.csv", "--if-exists", "skip"]);
    assert_eq!(left, "out.csv is there already: nothing was written.\n");
    assert_eq!(fs::read_to_string(&file).unwrap(), "old\n");

    wrote(home.path(), &["in.csv", "out.csv", "--backup"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), ROWS);
    query(home.path(), "SELECT * FROM atio_restore('out.csv')");
    assert_eq!(fs::read_to_string(&file).unwrap(), "old\n");
    let new = wrote(home.path(), &["in.csv", "new.csv", "--if-exists", "skip"]);
    assert_eq!(new, "Wrote 3 rows to new.csv.\n");
    let append = ["write", "in.csv", "out.csv", "--if-exists", "append"];
    assert!(wrong(&run(home.path(), &append)).contains("a file is replaced as a whole"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "old\n");
}

#[test]
fn a_marker_lies_beside_a_file_or_where_it_is_wished_and_missing_directories_are_made() {
    let home = home();
    let names = |folder: &str| {
        let entries = fs::read_dir(home.path().join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    for arguments in [
        &["in.csv", "a/b/out.csv"][..],
        &["in.csv", "c/out.csv", "--marker", "none"],
        &["in.csv", "d/out.csv", "--marker", "done.json"],
    ] {
        wrote(home.path(), arguments);
    }
    assert_eq!(names("a/b"), [".out.csv._SUCCESS", "out.csv"]);
    assert_eq!(names("c"), ["out.csv"]);
    assert_eq!(names("d"), ["out.csv"]);
    assert_eq!(names(""), ["a", "c", "d", "done.json", "in.csv"]);
}

#[test]
fn a_table_is_made_only_if_asked_and_then_appended_to() {
    let home = home();
    let missing = failed(&run(home.path(), &["write", "in.csv", "t"]));
    assert!(
        missing.contains("there is no table ./t: --create makes it"),
        "{missing}"
    );
    assert!(!home.path().join("t").exists());

    let made = wrote(
        home.path(),
        &["in.csv", "t", "--create", "--message", "it's June"],
    );
    assert_eq!(made, "Wrote 3 rows to t.\n");
    wrote(home.path(), &["in.csv", "./t", "-q"]);
    assert_eq!(
        query(home.path(), "SELECT count(*) AS n FROM atio_table('./t')"),
        "n\n6\n"
    );
    let history = "SELECT version, operation, rows, message FROM atio_history('./t') ORDER BY 1";
    assert_eq!(
        query(home.path(), history),
        "version,operation,rows,message\n0,create,0,\n1,append,3,it's June\n2,append,6,\n"
    );

    let refused = failed(&run(
        home.path(),
        &["write", "in.csv", "t", "--if-exists", "fail"],
    ));
    assert!(
        refused.contains("there is a table ./t already"),
        "{refused}"
    );
    let left = wrote(home.path(), &["in.csv", "t", "--if-exists", "skip"]);
    assert_eq!(left, "t is there already: nothing was written.\n");
    assert_eq!(
        query(home.path(), "SELECT count(*) AS n FROM atio_table('./t')"),
        "n\n6\n"
    );
    wrote(home.path(), &["in.csv", "t", "--if-exists", "replace"]);
    assert_eq!(
        query(home.path(), "SELECT count(*) AS n FROM atio_table('./t')"),
        "n\n3\n"
    );

    wrote(home.path(), &["t", "out.csv"]);
    let out = fs::read_to_string(home.path().join("out.csv")).unwrap();
    assert_eq!(out.lines().count(), 4);
    wrote(home.path(), &["t", "t2", "--create"]);
    assert_eq!(
        query(home.path(), "SELECT count(*) AS n FROM atio_table('./t2')"),
        "n\n3\n"
    );
}

#[test]
fn a_table_of_the_warehouse_is_written_and_read_by_its_name() {
    let home = home();
    let missing = ["--warehouse", "wh", "write", "in.csv", "sales"];
    assert!(failed(&run(home.path(), &missing)).contains("there is no table sales: --create"));
    wrote(
        home.path(),
        &["in.csv", "sales", "--create", "--warehouse", "wh"],
    );
    wrote(home.path(), &["in.csv", "sales", "--warehouse", "wh"]);
    wrote(home.path(), &["sales", "out.csv", "--warehouse", "wh"]);
    let out = fs::read_to_string(home.path().join("out.csv")).unwrap();
    assert_eq!(out.lines().count(), 7);
    assert!(home.path().join("wh/public/sales/metadata").is_dir());
}

#[test]
fn columns_are_found_by_name_and_types_are_those_of_the_table() {
    let home = home();
    let table = "CREATE EXTERNAL TABLE t (zip TEXT, n INT, at TIMESTAMP) STORED AS ATIO \
                 LOCATION './t'";
    query(home.path(), table);
    fs::write(home.path().join("a.csv"), "n,zip\n1,01234\n2,98765\n").unwrap();
    wrote(home.path(), &["a.csv", "t"]);
    fs::write(
        home.path().join("b.json"),
        "{\"zip\":\"007\",\"at\":\"2026-01-31T12:00:00\"}\n",
    )
    .unwrap();
    wrote(home.path(), &["b.json", "t"]);
    fs::create_dir(home.path().join("parts")).unwrap();
    fs::write(home.path().join("parts/1.csv"), "n,zip\n8,00001\n").unwrap();
    fs::write(home.path().join("parts/2.csv"), "n,zip\n9,00002\n").unwrap();
    fs::write(home.path().join("parts/notes.txt"), "no rows\n").unwrap();
    wrote(home.path(), &["parts", "t", "--from", "csv"]);
    assert_eq!(
        query(
            home.path(),
            "SELECT zip, n, at FROM atio_table('./t') ORDER BY zip"
        ),
        "zip,n,at\n00001,8,\n00002,9,\n007,,2026-01-31T12:00:00\n01234,1,\n98765,2,\n"
    );

    let unknown = failed(&run(home.path(), &["write", "in.csv", "t"]));
    assert!(
        unknown.contains("the table has no column 'id'; its columns are zip, n, at"),
        "{unknown}"
    );
    fs::write(home.path().join("c.csv"), "n,zip\nmany,1\n").unwrap();
    let unfit = failed(&run(home.path(), &["write", "c.csv", "t"]));
    assert!(unfit.contains("many"), "{unfit}");
    let strict = "CREATE EXTERNAL TABLE s (id INT, needed INT NOT NULL) STORED AS ATIO \
                  LOCATION './s'";
    query(home.path(), strict);
    fs::write(home.path().join("d.csv"), "id\n1\n").unwrap();
    let needed = failed(&run(home.path(), &["write", "d.csv", "s"]));
    assert!(needed.contains("column 'needed' is NOT NULL"), "{needed}");
    assert_eq!(
        query(home.path(), "SELECT count(*) AS n FROM atio_table('./t')"),
        "n\n5\n"
    );
}

#[test]
fn a_column_that_only_a_late_row_has_is_not_lost() {
    let home = TempDir::new().unwrap();
    let mut json = "{\"a\":1}\n".repeat(3000);
    json.push_str("{\"a\":2,\"b\":\"late\"}\n");
    fs::write(home.path().join("in.json"), json).unwrap();
    wrote(home.path(), &["in.json", "out.csv"]);
    let out = fs::read_to_string(home.path().join("out.csv")).unwrap();
    assert!(out.starts_with("a,b\n1,\n") && out.contains("\n2,late\n"));
    let mut csv = "a\n".to_owned() + &"1\n".repeat(3000);
    csv.push_str("x\n");
    fs::write(home.path().join("in.csv"), csv).unwrap();
    assert_eq!(
        wrote(home.path(), &["in.csv", "out.json"]),
        "Wrote 3001 rows to out.json.\n"
    );
}

#[test]
fn standard_input_is_read() {
    let home = TempDir::new().unwrap();
    let arguments = ["write", "-", "out.json", "--from", "csv"];
    let output = run_with_input(home.path(), &arguments, ROWS);
    assert_eq!(stderr(&output), "Wrote 3 rows to out.json.\n");
    let out = fs::read_to_string(home.path().join("out.json")).unwrap();
    assert_eq!(out.lines().next(), Some("{\"id\":1,\"name\":\"Ada\"}"));
    let untold = wrong(&run_with_input(
        home.path(),
        &["write", "-", "x.json"],
        ROWS,
    ));
    assert!(untold.contains("--from csv"), "{untold}");
}

#[test]
fn a_table_of_a_database_is_written_and_read() {
    let home = home();
    let write = |arguments: &[&str]| {
        let output = atio(home.path())
            .env("SHOP", "sqlite:shop.db")
            .args([&["write"], arguments].concat())
            .output();
        output.unwrap()
    };
    let first = write(&["in.csv", "env:SHOP/sales"]);
    assert_eq!(stderr(&first), "Wrote 3 rows to env:SHOP/sales.\n");
    let again = failed(&write(&["in.csv", "env:SHOP/sales"]));
    assert!(again.contains("sales"), "{again}");
    let more = write(&["in.csv", "env:SHOP/sales", "--if-exists", "append"]);
    assert_eq!(more.status.code(), Some(0), "{}", stderr(&more));
    let out = write(&["shop.db/sales", "out.csv"]);
    assert_eq!(stderr(&out), "Wrote 6 rows to out.csv.\n");
    let other = write(&["in.csv", "env:SHOP/sales", "--if-exists", "replace"]);
    assert_eq!(other.status.code(), Some(0), "{}", stderr(&other));
    let out = write(&["env:SHOP/sales", "out.csv"]);
    assert_eq!(stderr(&out), "Wrote 3 rows to out.csv.\n");
}

#[test]
fn what_must_be_a_database_never_becomes_a_directory() {
    let home = home();
    for (out, expected) in [
        ("env:NOPE/sales", "NOPE is not set"),
        ("env:WEB/sales", "WEB holds no URL of PostgreSQL"),
    ] {
        let write = ["write", "in.csv", out, "--create"];
        let mut shell = atio(home.path());
        let output = shell.env("WEB", "https://h/d").args(write).output();
        let message = failed(&output.unwrap());
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains("https"), "{message}");
    }
    assert_eq!(
        wrote(home.path(), &["in.csv", "new.sqlite/sales"]),
        "Wrote 3 rows to new.sqlite/sales.\n"
    );
    assert!(home.path().join("new.sqlite").is_file());
    let message = wrong(&run(home.path(), &["write", "in.csv", "-", "--to", "csv"]));
    assert!(message.contains("standard output"), "{message}");
    let mut names: Vec<_> = fs::read_dir(home.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with("new.sqlite-"))
        .collect();
    names.sort();
    assert_eq!(names, ["in.csv", "new.sqlite"]);
}

#[test]
fn what_cannot_be_read_changes_nothing_and_is_named() {
    let home = home();
    fs::write(home.path().join("old.csv"), "old\n").unwrap();
    fs::write(home.path().join("notes"), "a,b\n").unwrap();
    for (input, expected) in [
        ("missing.csv", "there is no file 'missing.csv'"),
        ("missing", "missing"),
        ("notes", "--from csv"),
        ("missing/", "missing"),
    ] {
        let message = failed(&run(home.path(), &["write", input, "old.csv"]));
        assert!(message.contains(expected), "{message}");
        assert_eq!(
            fs::read_to_string(home.path().join("old.csv")).unwrap(),
            "old\n"
        );
    }
    let message = failed(&run(home.path(), &["write", "in.csv", "notes/out.csv"]));
    assert!(
        message.contains("notes is a file, so nothing can be written in it"),
        "{message}"
    );
}

#[test]
fn options_that_make_no_sense_for_the_target_are_refused() {
    let home = home();
    run(home.path(), &["write", "in.csv", "t", "--create"]);
    for arguments in [
        vec!["in.csv", "out.csv", "--create"],
        vec!["in.csv", "out.csv", "--message", "x"],
        vec!["in.csv", "t", "--backup"],
        vec!["in.csv", "t", "--marker", "none"],
        vec!["in.csv", "out.avro"],
        vec![
            "in.csv",
            "out.db/t",
            "--to",
            "sqlite",
            "--if-exists",
            "skip",
        ],
        vec!["in.csv", "out.csv", "--to", "word"],
        vec!["in.csv", "out.csv", "--if-exists", "maybe"],
        vec!["in.csv", ""],
    ] {
        wrong(&run(home.path(), &[&["write"], &arguments[..]].concat()));
    }
    assert!(!home.path().join("out.csv").exists());
    assert!(!home.path().join("out.db").exists());
}

#[test]
fn a_secret_in_a_name_is_not_repeated() {
    let home = home();
    for arguments in [
        ["in.csv", "postgresql://me:CANARY@host/db/t"],
        ["in.csv", "s3://me:CANARY@bucket/t.csv"],
        ["in.csv", "s3://bucket/t.csv?key=CANARY"],
        ["in.csv", "s3://me:CANARY@bucket/t"],
        ["postgresql://me:CANARY@host/db/t", "out.csv"],
        ["s3://me:CANARY@bucket/t.csv", "out.csv"],
        ["s3://me:CANARY@bucket/t", "out.csv"],
    ] {
        let output = atio(home.path())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .args([&["write"], &arguments[..]].concat())
            .output()
            .unwrap();
        assert_ne!(output.status.code(), Some(0), "{arguments:?}");
        let said = stdout(&output) + &stderr(&output);
        assert!(!said.contains("CANARY"), "{said}");
    }
    let output = run(home.path(), &["history", "s3://me:CANARY@bucket/t"]);
    assert!(!(failed(&output)).contains("CANARY"));
}

#[test]
fn a_number_is_written_into_a_table_as_it_is_or_not_at_all() {
    let home = TempDir::new().unwrap();
    let sql = "CREATE EXTERNAL TABLE t (i BIGINT, d DECIMAL(10,2)) STORED AS ATIO LOCATION './t'";
    query(home.path(), sql);
    for (name, text, why) in [
        (
            "a.json",
            "{\"i\":1}\n{\"i\":1.7}\n",
            "column 'i': 1.7 is not a whole number",
        ),
        (
            "b.json",
            "{\"d\":1.239}\n",
            "column 'd': 1.239 has more than 2 digits",
        ),
        ("c.json", "{\"d\":100000000}\n", "decimal"),
        (
            "d.csv",
            "d\n1.239\n",
            "column 'd': 1.239 has more than 2 digits",
        ),
        ("e.csv", "i\n1.7\n", "1.7"),
    ] {
        fs::write(home.path().join(name), text).unwrap();
        let message = failed(&run(home.path(), &["write", name, "t"]));
        assert!(message.contains(why), "{name}: {message}");
    }
    let json = "{\"i\":9223372036854775807,\"d\":-1.5}\n{\"i\":2.0,\"d\":3}\n{}\n";
    fs::write(home.path().join("in.json"), json).unwrap();
    fs::write(home.path().join("in.csv"), "d,i\n0.25,-9\n").unwrap();
    wrote(home.path(), &["in.json", "t"]);
    wrote(home.path(), &["in.csv", "t"]);
    assert_eq!(
        query(home.path(), "SELECT i, d FROM atio_table('./t') ORDER BY i"),
        "i,d\n-9,0.25\n2,3.00\n9223372036854775807,-1.50\n,\n"
    );
}

#[test]
fn a_directory_whose_folders_hold_a_column_is_written_into_a_table() {
    let home = TempDir::new().unwrap();
    for (folder, text) in [("in/year=2025", "id\n1\n"), ("in/year=2026", "id\n2\n")] {
        fs::create_dir_all(home.path().join(folder)).unwrap();
        fs::write(home.path().join(folder).join("a.csv"), text).unwrap();
    }
    let arguments = ["in/", "t", "--from", "csv", "--create"];
    assert_eq!(wrote(home.path(), &arguments), "Wrote 2 rows to t.\n");
    assert_eq!(
        query(
            home.path(),
            "SELECT id, year FROM atio_table('./t') ORDER BY id"
        ),
        "id,year\n1,2025\n2,2026\n"
    );
}

#[test]
fn a_file_without_rows_that_was_not_there_is_written_and_not_skipped() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("in.csv"), "id\n").unwrap();
    let directory = home.path().canonicalize().unwrap();
    let url = format!("file://{}/out.csv", directory.display());
    for out in ["out2.csv", &url] {
        let arguments = ["in.csv", out, "--if-exists", "skip"];
        let said = format!("Wrote 0 rows to {out}.\n");
        assert_eq!(wrote(home.path(), &arguments), said);
        let said = format!("{out} is there already: nothing was written.\n");
        assert_eq!(wrote(home.path(), &arguments), said);
    }
}
