//! Ten situations in which results get lost, torn or mixed up, and what happens with atio.
//!
//! `cargo run --example scenarios` lists them, `cargo run --example scenarios -- 3` runs the
//! third, `-- all` runs every one. Each works in a temporary directory, with processes of its
//! own, prints what happened, and ends with exit code 1 if a claim does not hold.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "talking to the terminal is what it does"
)]

#[path = "10_backup.rs"]
mod backup;
#[path = "06_database_lost.rs"]
mod database_lost;
#[path = "05_disk_full.rs"]
mod disk_full;
#[path = "02_eight_writers.rs"]
mod eight_writers;
#[path = "07_experiments.rs"]
mod experiments;
#[path = "01_killed_writer.rs"]
mod killed_writer;
#[path = "09_larger_than_memory.rs"]
mod larger_than_memory;
#[path = "03_pipeline.rs"]
mod pipeline;
mod process;
#[path = "08_sensor.rs"]
mod sensor;
mod session;
#[path = "../story/mod.rs"]
mod story;
#[path = "04_which_data.rs"]
mod which_data;

use std::env;
use std::process::ExitCode;

use datafusion::error::Result;

use story::{chapter, unexpected};

const TITLES: [&str; 10] = [
    "A process that writes a CSV file is killed",
    "Eight processes write one file and one table at once",
    "A pipeline step waits for the result of the step before",
    "Which version of the data trained which model?",
    "The disk is full",
    "The connection to a database is lost during a write",
    "Many experiments, each a table of its own",
    "The process that records a sensor is restarted",
    "Data many times larger than memory",
    "A backup copies files while they are written",
];

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scenarios: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [role, statements @ ..] if role == process::RUN_SQL => process::run_sql(statements).await,
        [role] if role == sensor::RECORD => sensor::record().await,
        [all] if all == "all" => {
            for number in 1..=TITLES.len() {
                scenario(number).await?;
            }
            Ok(())
        }
        [number] => match number.parse() {
            Ok(number @ 1..) if number <= TITLES.len() => scenario(number).await,
            _ => Err(unexpected(format!("there is no scenario '{number}'"))),
        },
        _ => {
            println!("Name one of these by its number, or 'all':\n");
            for (number, title) in TITLES.iter().enumerate() {
                println!("  {:>2}  {title}", number + 1);
            }
            Ok(())
        }
    }
}

/// Runs one scenario in an empty directory, which goes afterwards.
async fn scenario(number: usize) -> Result<()> {
    let directory = tempfile::tempdir()?;
    env::set_current_dir(directory.path())?;
    chapter(&format!("{number}. {}", TITLES[number - 1]));
    let ended = match number {
        1 => killed_writer::run().await,
        2 => eight_writers::run().await,
        3 => pipeline::run().await,
        4 => which_data::run().await,
        5 => disk_full::run().await,
        6 => database_lost::run().await,
        7 => experiments::run().await,
        8 => sensor::run().await,
        9 => larger_than_memory::run().await,
        _ => backup::run().await,
    };
    // A directory that a process is in cannot be removed everywhere.
    env::set_current_dir(env::temp_dir())?;
    ended
}
