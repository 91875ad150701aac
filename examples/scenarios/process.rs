//! Other processes: this program once more, mostly to run SQL in a session of its own.

use std::env;
use std::io::read_to_string;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use datafusion::error::Result;

use crate::session::session;
use crate::story::{ask, ensure, unexpected};

/// The argument that comes before the statements.
pub(crate) const RUN_SQL: &str = "run-sql";

/// What the last line that it prints begins with.
const PEAK: &str = "peak memory in KiB: ";

/// Nothing in a scenario takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// What such a process does.
pub(crate) async fn run_sql(statements: &[String]) -> Result<()> {
    let ctx = session()?;
    for sql in statements {
        let answer = ask(&ctx, sql).await?;
        if answer.rows() > 0 {
            println!("{answer}");
        }
    }
    println!("{PEAK}{}", peak_memory().unwrap_or_default());
    Ok(())
}

/// The most memory that this process has had; None where the system does not tell.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// What a process that succeeded has printed, and the most memory that it had, in KiB; 0 where
/// the system does not tell.
pub(crate) struct Ended {
    pub(crate) answers: String,
    pub(crate) peak_memory: u64,
}

/// A process that runs; it is killed if the scenario ends before it.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a process that runs the statements, one after the other.
    pub(crate) fn sql<S: AsRef<str>>(statements: &[S]) -> Result<Self> {
        Self::sql_by(&[], statements)
    }

    /// The same by another program, such as one that sets limits.
    pub(crate) fn sql_by<S: AsRef<str>>(by: &[&str], statements: &[S]) -> Result<Self> {
        let statements = statements.iter().map(AsRef::as_ref);
        let arguments: Vec<_> = [RUN_SQL].into_iter().chain(statements).collect();
        Self::start(by, &arguments)
    }

    /// Starts this program once more, by another one if that is named.
    pub(crate) fn start(by: &[&str], arguments: &[&str]) -> Result<Self> {
        let this = env::current_exe()?;
        let mut command = match by {
            [] => Command::new(this),
            [program, rest @ ..] => {
                let mut command = Command::new(program);
                command.args(rest).arg(this);
                command
            }
        };
        let child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Self(child))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn is_running(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_none())
    }

    /// Waits until `happened` while the process runs.
    pub(crate) fn wait_until(&mut self, mut happened: impl FnMut() -> bool) -> Result<()> {
        let begun = Instant::now();
        while !happened() {
            ensure(self.is_running()?, "the process runs until it is stopped")?;
            ensure(begun.elapsed() < PATIENCE, "it happens within two minutes")?;
            sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Ends the process at once, as `kill -9` does.
    pub(crate) fn kill(mut self) -> Result<()> {
        ensure(self.is_running()?, "the process is killed while it runs")?;
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    /// Waits for the end of a process that must succeed.
    pub(crate) fn succeed(self) -> Result<Ended> {
        let said = self.end()?;
        let said = said.map_err(|error| unexpected(format!("a process failed: {error}")))?;
        let (answers, peak) = said.rsplit_once(PEAK).unwrap_or((&said, ""));
        Ok(Ended {
            answers: answers.trim_end().to_owned(),
            peak_memory: peak.trim().parse().unwrap_or_default(),
        })
    }

    /// Waits for the end of a process that must fail, and returns why it did.
    pub(crate) fn fail(self) -> Result<String> {
        match self.end()? {
            Ok(_) => Err(unexpected("a process succeeded that cannot")),
            Err(error) => Ok(error),
        }
    }

    fn end(mut self) -> Result<std::result::Result<String, String>> {
        let said = self.0.stdout.take().map(read_to_string).transpose()?;
        let error = self.0.stderr.take().map(read_to_string).transpose()?;
        let error = error.unwrap_or_default();
        Ok(match self.0.wait()?.success() {
            true => Ok(said.unwrap_or_default()),
            false => Err(error.trim_start_matches("scenarios: ").trim().to_owned()),
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
