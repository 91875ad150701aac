//! COPY in the shell.

use tempfile::TempDir;

use crate::{failed, run, succeeded};

#[test]
fn an_option_of_copy_that_is_given_twice_is_refused() {
    let home = TempDir::new().unwrap();
    let write = "COPY (SELECT 1 AS a) TO 'a.csv'";
    succeeded(&run(home.path(), &["-q", "-c", write]));
    for options in [
        "'atio.if_exists' 'fail', 'atio.if_exists' 'replace'",
        "if_exists 'fail', 'atio.if_exists' 'replace'",
        "backup true, backup false",
        "has_header true, 'format.has_header' 'false'",
    ] {
        let sql = format!("COPY (SELECT 2 AS a) TO 'a.csv' OPTIONS ({options})");
        let message = failed(&run(home.path(), &["-c", &sql]));
        assert!(message.contains("is given twice"), "{options}: {message}");
    }
    let kept = std::fs::read_to_string(home.path().join("a.csv")).unwrap();
    assert_eq!(kept, "a\n1\n");
}

#[test]
fn copy_writes_a_file_and_its_marker_and_restores_a_backup() {
    let home = TempDir::new().unwrap();
    let sql = "COPY (SELECT 1 AS a) TO 'a.csv' STORED AS CSV OPTIONS ('atio.marker' 'true'); \
               COPY (SELECT 2 AS a) TO 'a.csv' STORED AS CSV OPTIONS ('atio.backup' 'true', 'atio.marker' 'true'); \
               SELECT has_backup FROM atio_restore('a.csv')";
    succeeded(&run(home.path(), &["-q", "-c", sql]));
    assert_eq!(
        std::fs::read_to_string(home.path().join("a.csv")).unwrap(),
        "a\n1\n"
    );
    assert!(home.path().join(".a.csv._SUCCESS").exists());
}

#[test]
fn copy_to_a_format_that_is_not_there_is_refused_whatever_the_target_is_called() {
    let home = TempDir::new().unwrap();
    for explain in ["", "EXPLAIN "] {
        for name in ["NOSUCH", "vortex", "ORC"] {
            let sql = format!("{explain}COPY (SELECT 1 AS a) TO 'a.csv' STORED AS {name}");
            let said = failed(&run(home.path(), &["-c", &sql]));
            assert!(
                said.contains(&format!(
                    "COPY cannot write the format {}",
                    name.to_uppercase()
                )),
                "{said}"
            );
        }
    }
    assert!(!home.path().join("a.csv").exists());
}

#[test]
fn a_secret_in_a_target_is_not_shown_by_explain_either() {
    let home = TempDir::new().unwrap();
    for before in ["", "EXPLAIN ", "EXPLAIN VERBOSE ", "EXPLAIN ANALYZE "] {
        let sql = format!(
            "{before}COPY (SELECT 1 AS a) TO 'postgresql://me:CANARY@host/db' STORED AS CSV"
        );
        let output = run(home.path(), &["-c", &sql]);
        let said = failed(&output);
        assert!(!said.contains("CANARY"), "{said}");
        assert!(!crate::stdout(&output).contains("CANARY"));
    }
}
