//! Commands about the health of a table.

use std::fs;

use tempfile::TempDir;

use crate::tables::make;
use crate::{failed, run, stderr, stdout, succeeded};

#[test]
fn stats_shows_one_row() {
    let home = TempDir::new().unwrap();
    make(home.path(), "./t");
    let stats = run(home.path(), &["stats", "t", "--format", "csv"]);
    let stats = succeeded(&stats);
    let lines: Vec<_> = stats.lines().collect();
    assert_eq!(
        lines[0],
        "version,rows,deleted_rows,files,bytes,small_files,small_bytes,manifests,versions,tags,expirable_files,expirable_bytes"
    );
    assert!(
        lines.len() == 2 && lines[1].starts_with("2,2,0,2,"),
        "{stats}"
    );
    assert!(lines[1].ends_with(",3,0,0,0"), "{stats}");
}

#[test]
fn check_tells_damage_and_exits_with_1_if_there_is_an_error() {
    let home = TempDir::new().unwrap();
    make(home.path(), "./t");
    for arguments in [&["check", "t"][..], &["check", "t", "--deep"]] {
        let whole = run(home.path(), arguments);
        assert_eq!(whole.status.code(), Some(0));
        assert_eq!(stderr(&whole), "Nothing is wrong.\n");
    }
    let t = home.path().join("t");
    fs::remove_file(t.join("_SUCCESS")).unwrap();
    let warned = run(home.path(), &["check", "t", "--format", "csv"]);
    assert_eq!(warned.status.code(), Some(0));
    assert_eq!(stderr(&warned), "1 warning, and no error.\n");
    let rows = stdout(&warned);
    assert!(
        rows.starts_with("severity,object,version,finding,action\nwarning,_SUCCESS,,"),
        "{rows}"
    );

    let shown = run(home.path(), &["check", "t"]);
    assert_eq!(
        stdout(&shown),
        "warning: _SUCCESS\n    _SUCCESS is missing\n    Schedulers that wait for it wait for ever. The next commit \
         writes it anew, and so does a repair.\n"
    );
    let shown = run(home.path(), &["repair", "t"]);
    assert_eq!(
        stdout(&shown),
        "not mended: _SUCCESS\n    _SUCCESS is missing\n    Write the marker anew.\n"
    );

    fs::write(t.join("metadata/v2.metadata.json"), "{}").unwrap();
    let shown = stdout(&run(home.path(), &["check", "t"]));
    assert!(
        shown.starts_with("error: metadata/v2.metadata.json, version 2\n    metadata/v2"),
        "{shown}"
    );
    fs::remove_file(t.join("metadata/v0.metadata.json")).unwrap();
    let broken = run(home.path(), &["check", "t", "--format", "csv"]);
    assert_eq!(broken.status.code(), Some(1));
    assert_eq!(
        stderr(&broken),
        "Error: the table has 2 errors, as the rows tell\n"
    );
    assert_eq!(stdout(&broken).matches("error,metadata/v").count(), 2);
}

#[test]
fn repair_changes_nothing_without_yes_and_says_what_is_left() {
    let home = TempDir::new().unwrap();
    make(home.path(), "./t");
    assert_eq!(
        stderr(&run(home.path(), &["repair", "t", "--yes"])),
        "Nothing is wrong.\n"
    );
    let t = home.path().join("t");
    let pointer = t.join("_current_version.json");
    fs::remove_file(&pointer).unwrap();
    let dry = run(home.path(), &["repair", "t", "--format", "csv"]);
    assert_eq!(dry.status.code(), Some(0));
    assert!(stdout(&dry).starts_with("object,problem,action,done\n_current_version.json,"));
    assert_eq!(
        stderr(&dry),
        "A dry run: nothing was changed. The same command with --yes mends what can be mended.\n"
    );
    assert!(!pointer.exists());
    let done = run(home.path(), &["repair", "t", "--yes", "--format", "csv"]);
    assert_eq!(done.status.code(), Some(0));
    assert_eq!(stderr(&done), "Everything is mended.\n");
    assert!(stdout(&done).ends_with(",true\n"));
    assert!(pointer.exists());

    fs::remove_file(t.join("_SUCCESS")).unwrap();
    fs::write(t.join("metadata/v1.metadata.json"), "").unwrap();
    let left = run(home.path(), &["repair", "t", "--yes", "--format", "csv"]);
    assert_eq!(left.status.code(), Some(1));
    assert_eq!(
        stderr(&left),
        "Error: 1 problem could not be mended, as the rows tell\n"
    );
    assert!(t.join("_SUCCESS").exists());
    let nothing = failed(&run(home.path(), &["check", "no"]));
    assert!(nothing.contains("no"), "{nothing}");
}
