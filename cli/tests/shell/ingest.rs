//! `atio ingest`: a stream on standard input into a table.

// Its own tests, where those of a binary have no harness.
#[path = "../../src/action/ingest/records.rs"]
mod records;
#[cfg(unix)]
mod signals;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{atio, failed, run, run_with_input, stderr, stdout, succeeded};

fn home() -> TempDir {
    let home = TempDir::new().unwrap();
    let sql = "CREATE EXTERNAL TABLE t (id BIGINT NOT NULL, name TEXT, at TIMESTAMP) \
               STORED AS ATIO LOCATION './t'";
    succeeded(&run(home.path(), &["-q", "-c", sql]));
    home
}

fn rows(directory: &Path, columns: &str) -> String {
    let sql = format!("SELECT {columns} FROM atio_table('./t')");
    succeeded(&run(directory, &["-q", "--format", "csv", "-c", &sql]))
}

/// What an ingest of all of `input` said.
#[track_caller]
fn ingest(directory: &Path, arguments: &[&str], input: &str) -> String {
    let output = run_with_input(directory, &[&["ingest", "t"], arguments].concat(), input);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
    stderr(&output)
}

/// An ingest whose input goes on.
fn begin(directory: &Path, arguments: &[&str]) -> Child {
    atio(directory)
        .args(["ingest", "t"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn json(ids: std::ops::Range<u32>) -> String {
    ids.map(|id| format!("{{\"id\":{id},\"name\":\"n{id}\"}}\n"))
        .collect()
}

#[track_caller]
fn wait_for(what: &str, mut reached: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !reached() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn json_and_csv_are_added_by_the_names_of_columns() {
    let home = home();
    let input = "{\"name\":\"Ada\",\"id\":1}\n\n{\"id\":2,\"at\":\"2026-01-31T12:00:00\"}";
    let said = ingest(
        home.path(),
        &["--format", "json", "--message", "it's me"],
        input,
    );
    assert_eq!(said, "Added 2 rows to t.\n");
    let csv = "name,id\n\"Grace\nH\",3\n,4\n";
    assert_eq!(
        ingest(home.path(), &["--format", "csv"], csv),
        "Added 2 rows to t.\n"
    );
    assert_eq!(ingest(home.path(), &["--format", "csv", "-q"], "id\n5"), "");
    assert_eq!(
        rows(
            home.path(),
            "id, name, at FROM atio_table('./t') ORDER BY id --"
        ),
        "id,name,at\n1,Ada,\n2,,2026-01-31T12:00:00\n3,\"Grace\nH\",\n4,,\n5,,\n"
    );
    let history = run(home.path(), &["history", "t", "--format", "csv"]);
    let history = succeeded(&history);
    assert!(history.contains(",append,2,0,2,,it's me,"), "{history}");
    assert_eq!(
        ingest(home.path(), &["--format", "json"], ""),
        "Added 0 rows to t.\n"
    );
    assert_eq!(
        ingest(home.path(), &["--format", "csv"], "id,name\n"),
        "Added 0 rows to t.\n"
    );
}

#[test]
fn the_same_source_again_adds_only_what_is_new() {
    let home = home();
    let json_of_x = ["--format", "json", "--source", "x"];
    let said = ingest(home.path(), &json_of_x, &json(0..3));
    assert_eq!(said, "Added 3 rows to t.\n");
    let said = ingest(home.path(), &json_of_x, &json(0..3));
    assert_eq!(said, "Added 0 rows to t, after 3 that it had.\n");
    let said = ingest(home.path(), &json_of_x, &json(0..5));
    assert_eq!(said, "Added 2 rows to t, after 3 that it had.\n");
    // Another source, and none at all, are counted from their own beginning.
    ingest(
        home.path(),
        &["--format", "json", "--source", "y"],
        &json(0..1),
    );
    ingest(home.path(), &["--format", "json"], &json(0..1));
    let csv = "id\n0\n1\n";
    ingest(home.path(), &["--format", "csv", "--source", "z"], csv);
    let said = ingest(
        home.path(),
        &["--format", "csv", "--source", "z"],
        &(csv.to_owned() + "2\n"),
    );
    assert_eq!(said, "Added 1 row to t, after 2 that it had.\n");
    assert_eq!(
        rows(home.path(), "count(*) AS n, sum(id) AS s"),
        "n,s\n10,13\n"
    );
}

#[test]
fn a_last_row_that_may_be_unfinished_is_not_taken_for_a_record() {
    let home = home();
    let csv_of_x = ["ingest", "t", "--format", "csv", "--source", "x"];
    let cut = failed(&run_with_input(home.path(), &csv_of_x, "id,name\n1,a\n2,b"));
    assert_eq!(
        cut,
        "Error: line 3: the last row has no line end and may be unfinished; it is not added; \
         the record before it was added\n"
    );
    let said = ingest(home.path(), &csv_of_x[2..], "id,name\n1,a\n2,bcd\n");
    assert_eq!(said, "Added 1 row to t, after 1 that it had.\n");
    // A quote that is not closed is none in either case.
    for arguments in [&csv_of_x[..], &csv_of_x[..4]] {
        let input = "id,name\n1,a\n2,bcd\n3,\"e\nf";
        let endless = failed(&run_with_input(home.path(), arguments, input));
        assert!(
            endless.starts_with("Error: line 4: what begins here has no end; a quote may be"),
            "{endless}"
        );
    }
    assert_eq!(
        rows(
            home.path(),
            "id, name FROM atio_table('./t') ORDER BY id, name --"
        ),
        "id,name\n1,a\n1,a\n2,bcd\n2,bcd\n"
    );
}

#[test]
fn an_input_that_is_shorter_than_what_the_table_has_of_it_is_an_error() {
    let home = home();
    let json_of_x = ["ingest", "t", "--format", "json", "--source", "x"];
    ingest(home.path(), &json_of_x[2..], &json(0..3));
    for (records, count) in [(0..2, 2), (0..0, 0)] {
        let other = failed(&run_with_input(home.path(), &json_of_x, &json(records)));
        assert_eq!(
            other,
            format!(
                "Error: the table has 3 records of 'x', and this input only {count}: it is \
                 another input, or was cut; nothing was added\n"
            )
        );
    }
    assert_eq!(rows(home.path(), "count(*) AS n"), "n\n3\n");
}

#[test]
fn a_commit_that_fails_is_told_while_the_input_waits() {
    let home = home();
    let arguments = ["--format", "json", "--source", "x", "--every", "200ms"];
    let mut child = begin(home.path(), &arguments);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(json(0..1).as_bytes()).unwrap();
    wait_for("a row", || rows(home.path(), "count(*) AS n") == "n\n1\n");
    // Another run of the same source goes on, and the first cannot.
    ingest(home.path(), &arguments, &json(0..2));
    stdin.write_all(json(1..2).as_bytes()).unwrap();
    wait_for("its end", || child.try_wait().unwrap().is_some());
    drop(stdin);
    let message = failed(&child.wait_with_output().unwrap());
    assert!(message.contains("'x'"), "{message}");
    assert_eq!(rows(home.path(), "count(*) AS n"), "n\n2\n");
}

#[test]
fn a_killed_run_goes_on_without_a_gap_or_a_double() {
    let home = home();
    const ALL: u64 = 20_000;
    let all = json(0..20_000);
    let arguments = [
        "--format", "json", "--source", "x", "--rows", "50", "--every", "100ms",
    ];
    let mut before = 0;
    let mut killed = 0;
    for round in 0..4 {
        let mut child = begin(home.path(), &arguments);
        let mut stdin = child.stdin.take().unwrap();
        // Lines come one after another, for longer than it lives: it is killed between and
        // within commits.
        let text = all.clone();
        let feed = std::thread::spawn(move || {
            for line in text.split_inclusive('\n') {
                if stdin.write_all(line.as_bytes()).is_err() {
                    return;
                }
                sleep(Duration::from_micros(300));
            }
            sleep(Duration::from_secs(60));
        });
        let count = || -> u64 {
            let counted = rows(home.path(), "count(*) AS n");
            counted.trim_start_matches("n\n").trim().parse().unwrap()
        };
        wait_for("a commit", || count() > before);
        sleep(Duration::from_millis(37 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        before = count();
        drop(feed);
        if before == ALL {
            break;
        }
        killed += 1;
    }
    assert!(killed > 0 && before > 0, "killed {killed} times");
    let said = ingest(home.path(), &arguments, &all);
    assert_eq!(
        said,
        format!(
            "Added {} rows to t, after {before} that it had.\n",
            ALL - before
        )
        .replace("Added 1 rows", "Added 1 row")
    );
    assert_eq!(
        rows(
            home.path(),
            "count(*) AS n, count(DISTINCT id) AS d, max(id) AS m"
        ),
        "n,d,m\n20000,20000,19999\n"
    );
}

#[test]
fn rows_are_there_after_a_while_though_the_input_stays_open() {
    let home = home();
    let mut child = begin(home.path(), &["--format", "json", "--every", "300ms"]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(json(0..2).as_bytes()).unwrap();
    wait_for("two rows", || {
        rows(home.path(), "count(*) AS n") == "n\n2\n"
    });
    // Half a record is none.
    stdin.write_all(b"{\"id\":2}\n{\"id\":").unwrap();
    wait_for("three rows", || {
        rows(home.path(), "count(*) AS n") == "n\n3\n"
    });
    assert!(child.try_wait().unwrap().is_none());
    stdin.write_all(b"3}").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(stderr(&output), "Added 4 rows to t.\n");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(rows(home.path(), "sum(id) AS s"), "s\n6\n");
}

#[test]
fn a_wrong_line_is_named_and_what_came_before_it_is_there() {
    let home = home();
    let json_of_x = ["ingest", "t", "--format", "json", "--source", "x"];
    let deep = format!("{{\"id\":{}", "[".repeat(100_000));
    for (wrong, why) in [
        (deep.as_str(), ""),
        ("{\"id\":\"many\"}", "many"),
        ("{\"id\":2,\"color\":\"red\"}", "color"),
        ("{\"name\":\"no id\"}", "'id'"),
        ("{\"id\":2", ""),
        ("{\"id\":2}{\"id\":3}", "each line must hold one object"),
        (
            "{\"id\":2}{\"id\":3}\n{\"id\":\n4}",
            "each line must hold one object",
        ),
        ("{\"id\":2.5}", "'id'"),
        ("{\"id\":1e30}", "1e30"),
        ("[1]", ""),
        ("nonsense", ""),
    ] {
        let input = format!("{}\n{wrong}\n{}", json(0..2), json(3..5));
        let message = failed(&run_with_input(home.path(), &json_of_x, &input));
        assert!(message.starts_with("Error: line 4: "), "{wrong}: {message}");
        assert!(message.contains(why), "{message}");
        assert!(message.contains("before it were added") || message.contains("nothing was added"));
        assert_eq!(
            rows(home.path(), "count(*) AS n, sum(id) AS s"),
            "n,s\n2,1\n",
            "{wrong}"
        );
    }
    // Put right, it goes on where it stopped.
    let said = ingest(home.path(), &json_of_x[2..], &json(0..5));
    assert_eq!(said, "Added 3 rows to t, after 2 that it had.\n");

    let csv = ["ingest", "t", "--format", "csv"];
    for (input, line, why) in [
        ("id,name\n6,\"a\nb\"\n7,c\nx,d\n8,e\n", 5, "'x'"),
        ("id,name\n6,a\n7\n", 3, ""),
        ("id,name\n6,a\n7,b,c\n", 3, ""),
        ("id,name\n6,a\n,b\n", 3, "id"),
    ] {
        let message = failed(&run_with_input(home.path(), &csv, input));
        assert!(
            message.starts_with(&format!("Error: line {line}: ")),
            "{message}"
        );
        assert!(message.contains(why), "{message}");
    }
    for (input, why) in [
        (
            "id,color\n1,red\n",
            "a column 'color', which the table does not have",
        ),
        ("id,id\n1,1\n", "the column 'id' twice"),
        (
            "name\nx\n",
            "does not name the column 'id', which is NOT NULL",
        ),
    ] {
        let message = failed(&run_with_input(home.path(), &csv, input));
        assert!(
            message.contains(why) && message.contains("nothing was added"),
            "{message}"
        );
    }
}

#[test]
fn a_number_is_added_as_it_is_or_not_at_all() {
    let home = TempDir::new().unwrap();
    let sql = "CREATE EXTERNAL TABLE t (i BIGINT, s SMALLINT, u BIGINT UNSIGNED, d DECIMAL(10,2), \
               l BIGINT[], r STRUCT<n INT>) STORED AS ATIO LOCATION './t'";
    succeeded(&run(home.path(), &["-q", "-c", sql]));
    let input = "{\"i\":-9223372036854775808,\"s\":-32768,\"u\":18446744073709551615,\
                 \"d\":99999999.99,\"l\":[1,null,2.0],\"r\":{\"n\":3}}\n\
                 {\"i\":1.0,\"s\":1.2e3,\"u\":\"7\",\"d\":1.230}\n";
    ingest(home.path(), &["--format", "json"], input);
    ingest(home.path(), &["--format", "csv"], "d,i\n-0.05,2\n,3\n");
    assert_eq!(
        rows(
            home.path(),
            "i, s, u, d, array_to_string(l, ' ') AS l, r['n'] AS r \
                           FROM atio_table('./t') ORDER BY i --"
        ),
        "i,s,u,d,l,r\n\
         -9223372036854775808,-32768,18446744073709551615,99999999.99,1 2,3\n\
         1,1200,7,1.23,,\n2,,,-0.05,,\n3,,,,,\n"
    );
    for (wrong, why) in [
        ("{\"i\":1.7}", "column 'i': 1.7 is not a whole number"),
        (
            "{\"i\":9223372036854775808}",
            "column 'i': 9223372036854775808 is too large",
        ),
        ("{\"s\":32768}", "column 's': 32768 is too large"),
        ("{\"u\":-1}", "column 'u'"),
        (
            "{\"d\":1.239}",
            "column 'd': 1.239 has more than 2 digits after the point",
        ),
        ("{\"d\":100000000}", "100000000"),
        ("{\"l\":[1,2.5]}", "column 'l': 2.5 is not a whole number"),
        (
            "{\"r\":{\"n\":0.5}}",
            "column 'r': 0.5 is not a whole number",
        ),
        ("{\"i\":true}", ""),
    ] {
        let json = ["ingest", "t", "--format", "json"];
        let message = failed(&run_with_input(home.path(), &json, wrong));
        assert!(message.starts_with("Error: line 1: "), "{message}");
        assert!(message.contains(why), "{wrong}: {message}");
    }
    let csv = ["ingest", "t", "--format", "csv"];
    let message = failed(&run_with_input(home.path(), &csv, "i,d\n1,1.239\n"));
    assert!(
        message.contains("line 2: column 'd': 1.239 has more"),
        "{message}"
    );
    assert_eq!(rows(home.path(), "count(*) AS n"), "n\n4\n");
}

#[test]
fn a_table_in_the_warehouse_is_found_and_a_missing_one_is_not_made() {
    let home = TempDir::new().unwrap();
    let sql = "CREATE TABLE \"s 1\" (a INT)";
    succeeded(&run(home.path(), &["--warehouse", "wh", "-q", "-c", sql]));
    let arguments = ["--warehouse", "wh", "--format", "json", "ingest", "no"];
    let missing = failed(&run_with_input(home.path(), &arguments, "{\"a\":1}\n"));
    assert!(
        missing.contains("there is no table no: make it first"),
        "{missing}"
    );
    let missing = ["ingest", "no", "--format", "json"];
    let missing = failed(&run_with_input(home.path(), &missing, "{\"a\":1}\n"));
    assert!(
        missing.contains("there is no table ./no: make it first"),
        "{missing}"
    );
    assert!(!home.path().join("no").exists());
    assert_eq!(
        fs::read_dir(home.path().join("wh/public")).unwrap().count(),
        1
    );
}
