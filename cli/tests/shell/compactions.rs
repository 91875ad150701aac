//! The command that compacts a table.

use tempfile::TempDir;

use crate::tables::make;
use crate::{failed, run, stderr, stdout, succeeded, wrong};

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
