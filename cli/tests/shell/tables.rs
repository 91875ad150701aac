//! Commands about versions of a table.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::{failed, run, stderr, stdout, succeeded, wrong};

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
fn expire_deletes_nothing_without_yes_and_says_how() {
    let home = TempDir::new().unwrap();
    make(home.path(), "./t");
    let replace = "CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION './t'; \
                   INSERT OVERWRITE t SELECT 5";
    succeeded(&run(home.path(), &["-q", "-c", replace]));
    let readable = "SELECT version FROM atio_history('./t') WHERE readable ORDER BY version";
    let readable = || {
        let output = run(home.path(), &["-q", "--format", "csv", "-c", readable]);
        succeeded(&output).replace('\n', " ")
    };
    assert_eq!(readable(), "version 0 1 2 3 ");

    let young = run(home.path(), &["expire", "t"]);
    assert_eq!(stderr(&young), "Nothing has expired.\n");
    assert_eq!(young.status.code(), Some(0));

    let dry = run(
        home.path(),
        &["expire", "t", "--keep-for", "0s", "--format", "csv"],
    );
    assert_eq!(dry.status.code(), Some(0));
    let rows = stdout(&dry);
    assert!(
        rows.starts_with("path,kind,bytes,reason,deleted\n"),
        "{rows}"
    );
    assert!(
        rows.contains(",false\n") && !rows.contains(",true\n"),
        "{rows}"
    );
    let said = stderr(&dry);
    let files = rows.lines().count() - 1;
    assert!(
        said.starts_with(&format!("A dry run: {files} files, ")),
        "{said}"
    );
    assert!(said.contains("nothing was deleted"), "{said}");
    assert!(
        said.contains("The same command with --yes deletes them."),
        "{said}"
    );
    assert_eq!(readable(), "version 0 1 2 3 ");

    // Versions that are to stay do.
    let keep = [
        "expire",
        "t",
        "--keep-for",
        "0d",
        "--retain-last",
        "9",
        "--yes",
    ];
    let kept = run(home.path(), &keep);
    assert_eq!(stderr(&kept), "Nothing has expired.\n");
    assert_eq!(readable(), "version 0 1 2 3 ");

    succeeded(&run(home.path(), &["tag", "t", "one", "1", "-q"]));
    let real = run(
        home.path(),
        &[
            "expire",
            "t",
            "--keep-for",
            "0s",
            "--yes",
            "--format",
            "csv",
        ],
    );
    assert_eq!(real.status.code(), Some(0), "{}", stderr(&real));
    let rows = stdout(&real);
    let deleted = rows.lines().filter(|row| row.ends_with(",true")).count();
    assert!(deleted > 0, "{rows}");
    assert!(rows.contains(",tagged version,"), "{rows}");
    let said = stderr(&real);
    assert!(
        said.starts_with(&format!("Deleted {deleted} file")),
        "{said}"
    );
    // Version 3 has the newest rows, 4 the tag; 5 is the expiry's own.
    assert_eq!(readable(), "version 1 3 4 5 ");
    let quiet = run(home.path(), &["-q", "expire", "t", "--keep-for", "0s"]);
    assert_eq!(stderr(&quiet), "");
}

#[test]
fn compact_writes_nothing_without_yes_and_says_how() {
    let home = TempDir::new().unwrap();
    make(home.path(), "./t");
    let compact = |more: &[&str]| {
        let command = [&["compact", "t", "--format", "csv"], more].concat();
        run(home.path(), &command)
    };
    let rows_of = |what: &str| {
        let sql = format!("SELECT count(*) AS n FROM {what}('./t')");
        succeeded(&run(home.path(), &["-q", "--format", "csv", "-c", &sql]))
    };
    let (files, rows) = (rows_of("atio_files"), rows_of("atio_table"));
    let dry = compact(&[]);
    assert!(
        stdout(&dry).starts_with("files_before,files_after,bytes_before,bytes_after,rows,"),
        "{}",
        stdout(&dry)
    );
    assert!(
        stdout(&dry).ends_with(",would compact\n"),
        "{}",
        stdout(&dry)
    );
    let said = stderr(&dry);
    assert!(said.starts_with("A dry run: "), "{said}");
    assert!(
        said.contains("would become about 1, and nothing was written."),
        "{said}"
    );
    assert_eq!(rows_of("atio_files"), files);

    let real = compact(&["--order-by", "a DESC", "--message", "monthly", "--yes"]);
    assert!(stdout(&real).ends_with(",compacted\n"), "{}", stdout(&real));
    let said = stderr(&real);
    assert!(said.ends_with(" files became 1.\n"), "{said}");
    assert_eq!(rows_of("atio_files"), "n\n1\n");
    assert_eq!(rows_of("atio_table"), rows);
    let history = succeeded(&run(home.path(), &["history", "t", "--limit", "1"]));
    assert!(
        history.contains("compact") && history.contains("monthly"),
        "{history}"
    );
    let nothing = compact(&["--where", "a > 1000000", "--yes"]);
    assert_eq!(stderr(&nothing), "Nothing is to be compacted.\n");
    let again = run(home.path(), &["-q", "compact", "t", "--order-by", "a"]);
    assert_eq!(stderr(&again), "");
    let wrong = failed(&compact(&["--where", "no_such > 1"]));
    assert!(
        wrong.contains("where must be a condition over the columns of the table"),
        "{wrong}"
    );
    let wrong = failed(&compact(&["--order-by", "a, no_such"]));
    assert!(
        wrong.contains("order_by must be a list of columns of the table"),
        "{wrong}"
    );
}

#[test]
fn compact_takes_sizes_with_units_and_says_what_a_size_is() {
    let home = TempDir::new().unwrap();
    make(home.path(), "./t");
    let compact = |size: &str| {
        run(
            home.path(),
            &[
                "-q",
                "compact",
                "t",
                "--target-file-size",
                size,
                "--format",
                "csv",
            ],
        )
    };
    let whole = succeeded(&compact("10MB"));
    for size in ["10m", "10485760", "10240k", "1g"] {
        assert_eq!(succeeded(&compact(size)), whole, "{size}");
    }
    for (size, says) in [
        (
            "0",
            "a file has one byte at least: give a size such as '256m'",
        ),
        ("0m", "a file has one byte at least"),
        ("10 MB", "it is not a size such as '512m' or '10g'"),
        ("10x", "the unit 'x' is none of b, k, m, g, t"),
    ] {
        let said = wrong(&compact(size));
        assert!(said.contains(says), "{size}: {said}");
    }
}

#[test]
fn short_help_leaves_out_what_is_rarely_set() {
    let home = TempDir::new().unwrap();
    for command in ["write", "compact", "history"] {
        let short = succeeded(&run(home.path(), &[command, "-h"]));
        let long = succeeded(&run(home.path(), &[command, "--help"]));
        for rare in ["--memory-limit", "--object-store-profiling", "--batch-size"] {
            assert!(!short.contains(rare) && long.contains(rare), "{short}");
        }
        for common in ["--warehouse", "--format", "--quiet"] {
            assert!(short.contains(common), "{short}");
        }
    }
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
fn a_wrong_command_line_has_status_2_and_does_nothing() {
    let home = TempDir::new().unwrap();
    make(home.path(), "./t");
    for arguments in [
        vec!["history"],
        vec!["history", ""],
        vec!["history", "t", "more"],
        vec!["history", "t", "--limit", "few"],
        vec!["history", "t", "--format", "xml"],
        vec!["histroy", "t"],
        vec!["tag", "t"],
        vec!["tag", "t", "best", "first"],
        vec!["rollback", "t"],
        vec!["expire", "t", "--keep-for", "7"],
        vec!["expire", "t", "--keep-for", "-1d"],
        vec!["expire", "t", "--keep-for", "soon"],
        vec!["expire", "t", "--retain-last", "0"],
        vec!["expire", "t", "--yes=1"],
        vec!["compact", "t", "--target-file-size", "0"],
        vec!["compact", "t", "--target-file-size", "10 MB"],
        vec!["compact", "t", "--target-file-size", "ten"],
        vec!["compact", "t", "--yes=1"],
        vec!["write", "t"],
        vec!["upsert", "t", "in.csv"],
        vec!["upsert", "t", "in.csv", "--key", ""],
        vec!["upsert", "t", "--key", "id"],
        vec![
            "upsert",
            "t",
            "-",
            "--from",
            "csv",
            "--key",
            "a",
            "--retries",
            "2",
        ],
        vec!["write", "-", "t", "--from", "csv", "--retries", "2"],
        vec![
            "write",
            "/dev/stdin",
            "t",
            "--from",
            "csv",
            "--retries",
            "2",
        ],
        vec!["write", "t", "t.csv", "--retries", "2"],
        vec!["ingest", "t"],
        vec!["ingest", "t", "--format", "table"],
        vec!["ingest", "t", "--format", "json", "--every", "0s"],
        vec!["--format", "tsv", "ingest", "t"],
        vec!["-c", "SELECT 1", "--", "history", "t"],
    ] {
        let message = wrong(&run(home.path(), &arguments));
        assert!(message.contains("--help"), "{arguments:?}: {message}");
    }
    let both = wrong(&run(home.path(), &["-q", "-f=x.sql", "history", "t"]));
    assert!(both.contains("'history' runs no SQL"), "{both}");
    let history = run(home.path(), &["history", "t", "--format", "csv"]);
    assert_eq!(succeeded(&history).lines().count(), 4);
}

#[test]
fn every_command_has_help_with_an_example() {
    let home = TempDir::new().unwrap();
    let all = succeeded(&run(home.path(), &["--help"]));
    assert!(all.contains("Examples:\n  atio "), "{all}");
    for command in [
        "write", "upsert", "history", "tag", "tags", "untag", "rollback", "expire", "compact",
        "ingest",
    ] {
        assert!(all.contains(&format!("\n  {command} ")), "{all}");
        let help = succeeded(&run(home.path(), &[command, "--help"]));
        assert!(help.contains(&format!("Usage: atio {command} ")), "{help}");
        let (_, examples) = help.split_once("\nExample").unwrap_or_default();
        assert!(examples.contains(&format!(" atio {command} ")), "{help}");
    }
}

#[test]
fn expire_keeps_versions_for_a_part_of_a_second() {
    // What was replaced is too old only where the machine is slow.
    let kept = (0..20).any(|_| {
        let home = TempDir::new().unwrap();
        let replace = "CREATE EXTERNAL TABLE t (a INT) STORED AS ATIO LOCATION './t'; \
                       INSERT INTO t SELECT 1; INSERT OVERWRITE t SELECT 5";
        succeeded(&run(home.path(), &["-q", "-c", replace]));
        let expired = run(home.path(), &["expire", "t", "--keep-for", "999ms"]);
        assert_eq!(expired.status.code(), Some(0), "{}", stderr(&expired));
        stderr(&expired) == "Nothing has expired.\n"
    });
    assert!(kept);
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
