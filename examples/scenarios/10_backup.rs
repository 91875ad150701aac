//! A backup copies files and a table while others write: every file that it copies is whole,
//! and a copied table opens, or says what it lacks.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use datafusion::error::Result;

use crate::process::Process;
use crate::session::session;
use crate::story::{ask, ensure, show, unexpected};

const TABLE: &str = "warehouse/public/t";
const ROUNDS: usize = 12;
/// Rows of each version and file.
const ROWS: usize = 2000;

pub(crate) async fn run() -> Result<()> {
    let ctx = session()?;
    show(&ctx, "CREATE TABLE t (round BIGINT, line BIGINT)").await?;
    fs::create_dir("out")?;
    let round = |round: usize| {
        let rows =
            format!("SELECT {round} AS round, value AS line FROM generate_series(1, {ROWS})");
        [
            format!("COPY ({rows}) TO 'out/round.csv' STORED AS CSV"),
            format!("INSERT INTO t {rows}"),
        ]
    };
    println!(
        "\n  Another process, {ROUNDS} times:\n  {};",
        round(1).join(";\n  ")
    );
    let statements: Vec<_> = (1..=ROUNDS).flat_map(round).collect();
    let mut writer = Process::sql(&statements)?;
    let mut copies = 0;
    let mut versions = Vec::new();
    loop {
        // The last copies are made when it has ended.
        let running = writer.is_running()?;
        for path in entries("out")? {
            copies += usize::from(copy_whole_file(&path)?);
        }
        let backup = format!("./backup-{}", versions.len());
        copy_table(Path::new(TABLE), Path::new(&backup))?;
        versions.push(backup);
        if !running {
            break;
        }
        sleep(Duration::from_millis(50));
    }
    writer.succeed()?;
    println!("\n  {copies} files were copied, each of them whole.");
    ensure(copies > 0, "files were copied while they were written")?;

    let mut rounds = Vec::new();
    for backup in &versions {
        let all = format!(
            "SELECT count(*) AS rows, count(DISTINCT round) AS rounds FROM (SELECT * FROM atio_table('{backup}'))"
        );
        let all = ask(&ctx, &all).await?;
        all.must_be(0, "rows", all.number(0, "rounds")? as usize * ROWS)?;
        rounds.push(all.number(0, "rounds")? as usize);
    }
    ensure(
        rounds.is_sorted() && rounds.last() == Some(&ROUNDS),
        "each copy has all that the one before has, and the last one has everything",
    )?;
    let rounds: Vec<_> = rounds.iter().map(usize::to_string).collect();
    println!(
        "  Of each copied table all rows are there, up to round {}.",
        rounds.join(", ")
    );
    copy_in_the_wrong_order(round(ROUNDS + 1)[1].as_str()).await
}

/// Copies `data` before a commit and `metadata` after it, as `cp -r` may.
async fn copy_in_the_wrong_order(insert: &str) -> Result<()> {
    println!("\n  Copied in another order, the table may lack what a commit added meanwhile:");
    let from = Path::new(TABLE);
    copy_folder(&from.join("data"), Path::new("torn/data"))?;
    Process::sql(&[insert])?.succeed()?;
    copy_folder(&from.join("metadata"), Path::new("torn/metadata"))?;

    let ctx = session()?;
    let Err(error) = ask(&ctx, "SELECT sum(line) FROM atio_table('./torn')").await else {
        return Err(unexpected("a table without its data was read"));
    };
    println!("  {error}");
    ensure(
        error.to_string().contains("data/"),
        "the error names what is missing",
    )?;
    let before = format!(
        "SELECT max(round) AS round, sum(line) AS sum FROM atio_table('./torn', version => {ROUNDS})"
    );
    show(&ctx, &before).await?.must_be(0, "round", ROUNDS)
}

/// Copies a table in the order of the format: the pointer, `metadata`, `data`.
fn copy_table(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    let pointer = "_current_version.json";
    if from.join(pointer).exists() {
        fs::copy(from.join(pointer), to.join(pointer))?;
    }
    copy_folder(&from.join("metadata"), &to.join("metadata"))?;
    copy_folder(&from.join("data"), &to.join("data"))
}

/// Copies the files in a directory, records (`v1.metadata.json`) before others.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let mut paths = entries(from)?;
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_owned();
    paths.sort_by_key(|path| !name(path).to_string_lossy().starts_with('v'));
    for path in paths {
        let to = to.join(name(&path));
        match path.is_dir() {
            true => copy_folder(&path, &to)?,
            false => drop(fs::copy(&path, to)?),
        }
    }
    Ok(())
}

fn entries(directory: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?;
    Ok(entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?)
}

/// Fails if the copy of a file of ours is not whole; returns whether it is one with rows.
fn copy_whole_file(path: &Path) -> Result<bool> {
    let Ok(text) = fs::read_to_string(path) else {
        return Ok(false); // a marker that went meanwhile
    };
    if path.extension() != Some(OsStr::new("csv")) {
        return Ok(false);
    }
    let whole = text.lines().count() == ROWS + 1 && text.ends_with(&format!(",{ROWS}\n"));
    ensure(whole, "every copied file is whole")?;
    Ok(true)
}
