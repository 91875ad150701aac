//! The disk is full while a file and a table are written: a clear error and nothing left of it;
//! and expiry makes room even on a full disk.

use std::env::set_current_dir;
use std::fs;
use std::path::Path;
use std::process::Command;

use datafusion::error::Result;

use crate::process::Process;
use crate::session::session;
use crate::story::{ensure, show};

/// Runs what follows in a shell's process that may write no larger files than 100 or 200 KB.
const LIMITED: [&str; 3] = [
    "sh",
    "-c",
    "trap '' XFSZ; ulimit -f 200; exec \"$0\" \"$@\"",
];

pub(crate) async fn run() -> Result<()> {
    let Some(disk) = SmallDisk::mount()? else {
        println!("\n  Only root can mount a small disk. A limit for the files of a process does");
        println!("  instead, but for the expiry at the end, which is left out.");
        prepare().await?;
        return write_too_much(&LIMITED, "File too large");
    };
    println!("\n  On a disk of one megabyte:");
    prepare().await?;
    write_too_much(&[], "No space left on device")?;
    expire_on_the_full_disk().await?;
    drop(disk);
    Ok(())
}

async fn prepare() -> Result<()> {
    let ctx = session()?;
    show(
        &ctx,
        "CREATE TABLE t AS SELECT value AS id, random() AS x FROM generate_series(1, 40000)",
    )
    .await?;
    show(&ctx, "INSERT OVERWRITE t SELECT * FROM t WHERE id <= 3").await?;
    show(&ctx, "COPY t TO 't.csv' STORED AS CSV").await?;
    Ok(())
}

fn write_too_much(limited: &[&str], expected: &str) -> Result<()> {
    let before = files(Path::new("."))?;
    let rows = "SELECT value AS id, random() AS x FROM generate_series(1, 200000)";
    for sql in [
        format!("COPY ({rows}) TO 't.csv' STORED AS CSV"),
        format!("INSERT INTO t {rows}"),
    ] {
        println!("\n  {sql};");
        let error = Process::sql_by(limited, &[sql])?.fail()?;
        println!("  {error}");
        ensure(error.contains(expected), "the error says what happened")?;
    }
    println!("\n  Nothing is left of either, and t.csv and the table are what they were.");
    ensure(
        files(Path::new("."))? == before,
        "nothing is left, and nothing changed",
    )
}

async fn expire_on_the_full_disk() -> Result<()> {
    println!("\n  Something else takes the rest of the disk, to the last byte:");
    let foreign = fs::write("foreign", vec![b'x'; 1024 * 1024]);
    ensure(foreign.is_err(), "it does not fit")?;
    let error = Process::sql(&["INSERT INTO t VALUES (4, 0.5)"])?.fail()?;
    println!("  {error}");

    println!("\n  Expiry keeps a little in reserve, and makes room:");
    let ctx = session()?;
    let expire = "SELECT count(*) AS files, sum(bytes) AS bytes
    FROM expire_snapshots('t', keep_for => INTERVAL '0 days', dry_run => false)";
    let expired = show(&ctx, expire).await?;
    ensure(expired.number(0, "bytes")? > 100_000.0, "it makes room")?;
    show(&ctx, "INSERT INTO t VALUES (4, 0.5)").await?;
    show(&ctx, "SELECT count(*) AS rows FROM t")
        .await?
        .must_be(0, "rows", 4)
}

/// Returns every file below a directory, with its bytes.
fn files(directory: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(files(&path)?),
            false => found.push((path.display().to_string(), fs::read(&path)?)),
        }
    }
    found.sort();
    Ok(found)
}

/// A disk in memory, on which this process and those that it starts are.
struct SmallDisk;

impl SmallDisk {
    /// Returns None where this process may not mount one.
    fn mount() -> Result<Option<Self>> {
        fs::create_dir("small")?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs", "small"]);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        set_current_dir("small")?;
        Ok(mounted.then_some(Self))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted =
            set_current_dir("..").and_then(|()| Command::new("umount").arg("small").output());
        if !unmounted.is_ok_and(|output| output.status.success()) {
            println!("  The small disk cannot be unmounted.");
        }
    }
}
