//! The command that expires versions of a table.

use tempfile::TempDir;

use crate::tables::make;
use crate::{run, stderr, stdout, succeeded};

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
