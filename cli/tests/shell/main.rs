//! The shell as its users meet it: the built binary, its output, its exit status.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot start the shell has failed"
)]

mod command_line;
mod compactions;
mod copies;
mod databases;
mod expiries;
mod failures;
mod health;
mod ingest;
mod input;
mod output;
mod progress;
mod secrets;
mod stores;
mod tables;
mod upserts;
mod warehouse;
mod workbooks;
mod writes;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The shell in `directory`, with a home of its own and nothing to read.
fn atio(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_atio"));
    command
        .current_dir(directory)
        .env("HOME", directory)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    atio(directory).args(arguments).output().unwrap()
}

fn run_with_input(directory: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = atio(directory)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Standard output of a run that must have succeeded without a word of complaint.
#[track_caller]
fn succeeded(output: &Output) -> String {
    assert_eq!(stderr(output), "");
    assert_eq!(output.status.code(), Some(0));
    stdout(output)
}

/// Standard error of a run that must have failed with status 1.
#[track_caller]
fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", stdout(output));
    stderr(output)
}

/// Standard error of a run whose command line must have been refused.
#[track_caller]
fn wrong(output: &Output) -> String {
    assert_eq!(
        output.status.code(),
        Some(2),
        "{}{}",
        stdout(output),
        stderr(output)
    );
    assert_eq!(stdout(output), "");
    stderr(output)
}
