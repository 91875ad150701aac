//! `atio`: a SQL shell over versioned tables.
//!
//! Reading order: [`args`] (what can be asked for) -> [`shell`] (which input is read) ->
//! [`script`] (statements one by one, up to the first failure) -> [`session`] (one statement);
//! or from [`shell`] to [`action`] (what can be asked for without SQL).
//! Everything that shows rows, colours SQL or talks to clouds comes from `datafusion-cli`.

mod action;
mod args;
mod catalogs;
mod commands;
mod editor;
mod failure;
mod functions;
mod notes;
mod open;
mod output;
mod progress;
mod prompt;
mod runtime;
mod script;
mod session;
mod shell;
mod size;
mod statements;
mod stores;
mod tell;
mod verbose;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use mimalloc::MiMalloc;

/// The allocator that DataFusion is measured with.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Exit status 0: every statement succeeded. 1: one failed, and nothing after it was run.
/// 2: the command line is wrong. 130, 143: a signal ended it; what was read is committed, unless a
/// second one came.
#[tokio::main]
async fn main() -> ExitCode {
    runtime::survive_file_size_limit();
    runtime::tell_panics_of_workbooks_once();
    let args = args::Args::parse();
    notes::install(args.quiet);
    if args.verbose {
        verbose::install();
    }
    let ended = shell::run(args).await;
    // What a store is told behind the answers. Others do without it if it cannot be had.
    let told = tokio::time::timeout(Duration::from_secs(10), atio::flush()).await;
    told.unwrap_or_else(|_| log::debug!("others are not told of the newest version"));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            ExitCode::from(failure.status())
        }
    }
}
