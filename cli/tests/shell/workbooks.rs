//! Workbooks: what a full disk is told by.

use std::process::Command;

use tempfile::TempDir;

use crate::failed;

#[test]
fn full_disk_for_temporary_files_is_one_line() {
    let home = TempDir::new().unwrap();
    let copy = "COPY (SELECT value AS a, md5(CAST(value AS TEXT)) AS b FROM range(100000)) \
                TO 'x.xlsx' STORED AS XLSX";
    let output = Command::new("sh")
        .args([
            "-c",
            "ulimit -f 500; exec \"$0\" \"$@\"",
            env!("CARGO_BIN_EXE_atio"),
            "-c",
            copy,
        ])
        .current_dir(home.path())
        .env("HOME", home.path())
        .env("RUST_BACKTRACE", "1")
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    let said = failed(&output);
    assert!(
        said.contains("writing the workbook broke off; the disk for temporary files may be full"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(!home.path().join("x.xlsx").exists());
}
