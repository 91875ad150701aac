//! Commands about the health of a table.

use tempfile::TempDir;

use crate::tables::make;
use crate::{run, succeeded};

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
