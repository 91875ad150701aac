//! Commands about versions of a table.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::{failed, run, stderr, succeeded, wrong};

/// A table in `directory` with two versions of rows: version 1 has one row, 2 has two.
pub(crate) fn make(directory: &Path, location: &str) {
    let location = location.replace('\'', "''");
    let sql = format!(
        "CREATE EXTERNAL TABLE t (a INT) STORED AS ATIO LOCATION '{location}'; \
         SET atio.message = 'first'; INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)"
    );
    succeeded(&run(directory, &["-q", "-c", &sql]));
}

fn sum(directory: &Path, location: &str) -> String {
    let sql = format!(
        "SELECT sum(a) AS s FROM atio_table('{}')",
        location.replace('\'', "''")
    );
    succeeded(&run(directory, &["-q", "--format", "csv", "-c", &sql]))
}

#[test]
fn history_shows_the_newest_version_first_in_every_format() {
    let home = TempDir::new().unwrap();
    make(home.path(), "./t");
    let table = succeeded(&run(home.path(), &["history", "t"]));
    let rows: Vec<_> = table
        .lines()
        .filter(|line| line.starts_with("| "))
        .collect();
    assert!(
        rows[0].contains("| operation |") && rows[0].contains("| readable |"),
        "{table}"
    );
    let versions: Vec<_> = rows[1..].iter().map(|row| &row[..4]).collect();
    assert_eq!(versions, ["| 2 ", "| 1 ", "| 0 "]);
    assert!(rows[2].contains("| first "), "{table}");
    assert!(table.contains("3 row(s) fetched."), "{table}");

    let json = succeeded(&run(
        home.path(),
        &["history", "./t", "--limit", "1", "--format", "json"],
    ));
    assert!(
        json.starts_with(r#"[{"version":2,"#) && json.ends_with("}]\n"),
        "{json}"
    );
    assert!(
        json.contains(r#""rows":2"#) && json.contains(r#""properties":{}"#),
        "{json}"
    );

    let csv = succeeded(&run(home.path(), &["--format", "csv", "history", "./t"]));
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines.len(), 4, "{csv}");
    assert!(
        lines[0].starts_with("version,committed_at,operation,rows_added,"),
        "{csv}"
    );
    assert!(
        lines[2].starts_with("1,") && lines[2].contains(",append,1,0,1,,first,"),
        "{csv}"
    );
}

#[test]
fn changes_are_those_between_two_versions_and_updates_are_pairs_by_a_key() {
    let home = TempDir::new().unwrap();
    make(home.path(), "./t");
    let csv = |arguments: &[&str]| {
        let all = [&["--format", "csv", "changes", "t"], arguments].concat();
        let shown = succeeded(&run(home.path(), &all));
        let mut lines = shown.lines();
        assert_eq!(lines.next(), Some("a,_change,_version,_committed_at"));
        let without_time = |line: &str| line.rsplit_once(',').unwrap().0.to_owned();
        let mut rows: Vec<_> = lines.map(without_time).collect();
        rows.sort_unstable();
        rows
    };
    assert_eq!(csv(&[]), ["1,insert,1", "2,insert,2"]);
    assert_eq!(csv(&["--from", "1"]), ["2,insert,2"]);
    assert_eq!(csv(&["--to", "1"]), ["1,insert,1"]);
    for since in [
        "2001-01-31",
        "2001-01-31 12:00:00",
        "2001-01-31T12:00:00+02:00",
        "1969-07-20",
    ] {
        assert_eq!(csv(&["--since", since, "--net"]).len(), 2, "{since}");
    }
    let when = wrong(&run(home.path(), &["changes", "t", "--since", "May"]));
    assert!(when.contains("such as '2026-01-31' or"), "{when}");
    succeeded(&run(home.path(), &["tag", "t", "one", "1"]));
    assert_eq!(csv(&["--from", "one"]), ["2,insert,2"]);
    let sql =
        "CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION './t'; UPDATE t SET a = 3 WHERE a = 2";
    succeeded(&run(home.path(), &["-q", "-c", sql]));
    assert_eq!(csv(&["--from", "2"]), ["2,delete,4", "3,insert,4"]);
    // A row that does not keep its key is another one.
    assert_eq!(
        csv(&["--from", "2", "--key", "a"]),
        ["2,delete,4", "3,insert,4"]
    );
    let sql = "CREATE EXTERNAL TABLE u (a INT, b INT) STORED AS ATIO LOCATION './u'; \
               INSERT INTO u VALUES (1, 1); UPDATE u SET b = 2";
    succeeded(&run(home.path(), &["-q", "-c", sql]));
    let updated = [
        "--format", "csv", "changes", "u", "--from", "1", "--key", "a",
    ];
    let updated = succeeded(&run(home.path(), &updated));
    assert!(updated.contains("1,1,update_before,2,"), "{updated}");
    assert!(updated.contains("1,2,update_after,2,"), "{updated}");
    let unknown = failed(&run(home.path(), &["changes", "t", "--key", "b"]));
    assert!(unknown.contains("its columns are a"), "{unknown}");
    let both = [
        "changes",
        "t",
        "--from",
        "1",
        "--since",
        "2001-01-31 12:00:00",
    ];
    wrong(&run(home.path(), &both));
}

#[test]
fn tags_come_go_and_are_listed() {
    let home = TempDir::new().unwrap();
    make(home.path(), "./t");
    let csv = |arguments: &[&str]| run(home.path(), &[&["--format", "csv"], arguments].concat());
    let tagged = csv(&["tag", "t", "best", "1", "--message", "it's the 'one'"]);
    assert_eq!(succeeded(&tagged), "tag,version,committed_as\nbest,1,3\n");
    let newest = csv(&["tag", "t", "now"]);
    assert_eq!(succeeded(&newest), "tag,version,committed_as\nnow,3,4\n");
    let listed = succeeded(&csv(&["tags", "t"]));
    assert!(
        listed.contains("\nbest,1,") && listed.contains(",it's the 'one'\n"),
        "{listed}"
    );
    assert!(listed.contains("\nnow,3,"), "{listed}");
    let json = succeeded(&run(home.path(), &["tags", "t", "--format", "json"]));
    assert!(json.contains(r#"{"tag":"best","version":1,"#), "{json}");
    let table = succeeded(&run(home.path(), &["tags", "t", "-q"]));
    assert!(table.contains("| best | 1       |"), "{table}");

    let taken = failed(&csv(&["tag", "t", "best", "2"]));
    assert!(
        taken.contains("has the tag 'best' on version 1 already"),
        "{taken}"
    );
    let moved = csv(&["tag", "t", "best", "2", "--replace"]);
    assert_eq!(succeeded(&moved), "tag,version,committed_as\nbest,2,5\n");
    assert_eq!(
        succeeded(&csv(&["untag", "t", "now"])),
        "tag,version,committed_as\nnow,3,6\n"
    );
    let gone = failed(&csv(&["untag", "t", "now"]));
    assert!(
        gone.contains("has no tag 'now'; its tags are best"),
        "{gone}"
    );
    assert!(!succeeded(&csv(&["tags", "t"])).contains("now"));
}

#[test]
fn rollback_goes_to_a_version_or_a_tag() {
    let home = TempDir::new().unwrap();
    make(home.path(), "./t");
    succeeded(&run(home.path(), &["tag", "t", "both", "2", "-q"]));
    let back = [
        "rollback",
        "t",
        "1",
        "--message",
        "it was wrong",
        "--format",
        "csv",
    ];
    assert_eq!(
        succeeded(&run(home.path(), &back)),
        "version,committed_as\n1,4\n"
    );
    assert_eq!(sum(home.path(), "./t"), "s\n1\n");
    let history = run(
        home.path(),
        &["history", "t", "--limit", "1", "--format", "csv"],
    );
    assert!(succeeded(&history).contains(",it was wrong,"));

    let back = ["rollback", "t", "both", "--format", "json"];
    assert_eq!(
        succeeded(&run(home.path(), &back)),
        "[{\"version\":2,\"committed_as\":5}]\n"
    );
    assert_eq!(sum(home.path(), "./t"), "s\n3\n");
    let never = failed(&run(home.path(), &["rollback", "t", "77"]));
    assert!(never.contains("77"), "{never}");
    let unknown = failed(&run(home.path(), &["rollback", "t", "worst"]));
    assert!(
        unknown.contains("has no tag 'worst'; its tags are both"),
        "{unknown}"
    );
}

#[test]
fn reset_and_words_of_other_formats_are_understood() {
    let home = TempDir::new().unwrap();
    let reset = "SET atio.delete_mode = 'Rewrite'; RESET atio.delete_mode; SHOW atio.delete_mode";
    let shown = succeeded(&run(home.path(), &["-q", "--format", "csv", "-c", reset]));
    assert!(shown.ends_with("atio.delete_mode,\n"), "{shown}");
    for (sql, has) in [
        (
            "OPTIMIZE t",
            "atio has SELECT * FROM atio_compact('t') for this",
        ),
        (
            "VACUUM t",
            "atio has SELECT * FROM expire_snapshots('t') for this",
        ),
        (
            "SELECT * FROM table_changes('t', 1, 2)",
            "atio has SELECT * FROM atio_changes('t', from => 3, to => 7) for this",
        ),
    ] {
        let said = failed(&run(home.path(), &["-c", sql]));
        assert!(said.contains(has), "{said}");
    }
}

#[test]
fn a_table_is_a_path_a_url_or_a_name_in_the_warehouse() {
    let home = TempDir::new().unwrap();
    let sql = "CREATE TABLE sales AS SELECT 1 AS a; CREATE SCHEMA raw; \
               CREATE TABLE raw.june AS SELECT 1 AS a";
    succeeded(&run(home.path(), &["--warehouse", "wh", "-q", "-c", sql]));
    let url = format!("file://{}/wh/public/sales", home.path().display());
    for arguments in [
        vec!["history", "wh/public/sales"],
        vec!["history", &url],
        vec!["history", "sales", "--warehouse", "wh"],
        vec!["--warehouse", "wh", "history", "sales"],
        vec!["--warehouse", "wh", "history", "raw.june"],
        vec!["--warehouse", "wh", "history", "./wh/public/sales"],
        vec!["-p", "wh", "history", "public/sales"],
        vec!["-p", "wh/public", "history", "sales"],
    ] {
        let csv = succeeded(&run(
            home.path(),
            &[&arguments[..], &["--format", "csv"]].concat(),
        ));
        assert!(csv.lines().count() == 3, "{arguments:?}: {csv}");
    }
}

#[test]
fn a_name_is_never_a_part_of_the_statement() {
    let home = TempDir::new().unwrap();
    for name in [
        "it's",
        "t'); DROP TABLE t; --",
        "a\\",
        "x\", version => 0",
        "--limit",
        "a\"b",
        "$tag$",
    ] {
        make(home.path(), &format!("./{name}"));
        let rest = ["--format", "csv", "--", name];
        let history = succeeded(&run(home.path(), &[&["history"], &rest[..]].concat()));
        assert_eq!(history.lines().count(), 4, "{name}: {history}");
        // A backslash must not become an escape with another dialect.
        let output = crate::atio(home.path())
            .env("DATAFUSION_SQL_PARSER_DIALECT", "mysql")
            .args([&["history"], &rest[..]].concat())
            .output()
            .unwrap();
        assert_eq!(succeeded(&output), history, "{name}");
        assert_eq!(sum(home.path(), &format!("./{name}")), "s\n3\n");
    }
    make(home.path(), "./t");
    let tag = "x', version => 1) --";
    succeeded(&run(home.path(), &["tag", "t", tag, "-q"]));
    let tags = succeeded(&run(home.path(), &["tags", "t", "--format", "csv"]));
    assert!(
        tags.contains(&format!("\n\"{tag}\",2,")) || tags.contains("1) --\",2,"),
        "{tags}"
    );
    let nothing = failed(&run(home.path(), &["rollback", "t", "no', version => '0"]));
    assert!(nothing.contains("has no tag"), "{nothing}");
    assert_eq!(sum(home.path(), "./t"), "s\n3\n");
}

#[test]
fn a_missing_table_is_said_to_be_missing() {
    let home = TempDir::new().unwrap();
    fs::create_dir(home.path().join("wh")).unwrap();
    for command in [
        vec!["history", "no"],
        vec!["tags", "no"],
        vec!["tag", "no", "x"],
        vec!["untag", "no", "x"],
        vec!["rollback", "no", "1"],
        vec!["expire", "no"],
        vec!["compact", "no"],
    ] {
        let message = failed(&run(home.path(), &command));
        assert!(message.contains("there is no atio table at /"), "{message}");
        let named = [&["--warehouse", "wh"], &command[..]].concat();
        let message = failed(&run(home.path(), &named));
        assert!(message.contains("there is no table 'no'"), "{message}");
    }
}

#[test]
fn a_key_that_was_committed_already_is_told() {
    let home = TempDir::new().unwrap();
    make(home.path(), "./t");
    let insert = "CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION './t'; \
                  SET atio.idempotency_key = 'june'; INSERT INTO t SELECT 5";
    let first = run(home.path(), &["-c", insert]);
    assert_eq!(stderr(&first), "");
    let again = run(home.path(), &["-c", insert]);
    assert_eq!(
        stderr(&again),
        "Note: 't': nothing to do: version 3 was committed with the idempotency key 'june'\n"
    );
    assert_eq!(again.status.code(), Some(0));
    succeeded(&run(home.path(), &["-q", "-c", insert]));
}

#[test]
fn statement_whose_check_does_not_hold_fails_and_the_next_is_not_checked() {
    let home = TempDir::new().unwrap();
    let sql = "CREATE EXTERNAL TABLE t (a INT) STORED AS ATIO LOCATION './t'; INSERT INTO t VALUES (1); \
               SET atio.checks.few = 'SELECT count(*) < 2 FROM new'; INSERT INTO t VALUES (2)";
    let said = failed(&run(home.path(), &["-q", "-c", sql]));
    assert!(said.contains("the check 'few'"), "{said}");
    let sql = "CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION './t'; SET atio.retries = 2; \
               SET atio.checks.few = 'SELECT count(*) < 2 FROM new'; UPDATE t SET a = a + 1; \
               INSERT INTO t VALUES (5); SELECT sum(a) AS s FROM t";
    let sums = succeeded(&run(home.path(), &["-q", "--format", "csv", "-c", sql]));
    assert!(sums.ends_with("s\n7\n"), "{sums}");
}
