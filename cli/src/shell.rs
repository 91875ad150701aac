//! Decides which input the shell reads, and in which order.

use std::env;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use crate::args::Args;
use crate::failure::Failure;
use crate::open::open;
use crate::prompt;
use crate::script::Script;
use crate::session::Session;

/// Runs what the command line asks for: an action; or the `--rc` files, then `--file`, then
/// `--command`; if there is neither of the two, the prompt or standard input.
pub(crate) async fn run(mut args: Args) -> Result<(), Failure> {
    args.check()?;
    // A missing file is told before anything has an effect, and files named on the command
    // line are relative to where it was typed, not to --data-path.
    let files = args
        .rc
        .iter()
        .chain(&args.file)
        .map(|path| Script::open(path))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(location) = args.warehouse.as_mut().filter(|l| !l.contains("://")) {
        *location = absolute(location)?;
    }
    if let Some(directory) = &args.data_path {
        env::set_current_dir(directory).map_err(|error| {
            let place = directory.display();
            Failure::new(format!("cannot be the data path: {error}")).at(place)
        })?;
    }

    let mut session = open(&args).await?;
    if let Some(action) = args.action.take() {
        return action.run(&session).await;
    }
    for file in files {
        file.run(&session).await?;
    }
    for command in &args.command {
        Script::typed(command).run(&session).await?;
    }
    if !args.reads_standard_input() {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Script::named("standard input", io::stdin().lock())
            .run(&session)
            .await;
    }
    if args.rc.is_empty()
        && let Some(path) = in_home(".atiorc").filter(|path| path.exists())
        && let Err(failure) = run_file(&session, path).await
    {
        // A mistake in it must not lock the user out of the prompt.
        failure.report();
    }
    prompt::run(&mut session, in_home(".atio_history")).await
}

async fn run_file(session: &Session, path: PathBuf) -> Result<(), Failure> {
    Script::open(&path)?.run(session).await
}

fn in_home(name: &str) -> Option<PathBuf> {
    env::home_dir().map(|home| home.join(name))
}

fn absolute(location: &str) -> Result<String, Failure> {
    std::path::absolute(location)
        .map_err(|error| error.to_string())
        .and_then(|path| {
            path.into_os_string()
                .into_string()
                .map_err(|_| "its path is not Unicode".to_owned())
        })
        .map_err(|error| Failure::new(format!("cannot be the warehouse: {error}")).at(location))
}
