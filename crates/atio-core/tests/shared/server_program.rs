//! Servers that are programs of others: found by what the environment names, started on a
//! free port, ended with the test process whatever becomes of it.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Runs the rest of its arguments until they end or its own standard input does.
const UNTIL_STDIN_ENDS: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
(cat <&3 >/dev/null; kill "$server") 2>/dev/null &
wait "$server"
"#;

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that runs until this is dropped, or the test process ends.
pub(crate) struct Program {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Program {
    /// Starts the command that `command` gives for a port.
    pub(crate) fn start(command: impl Fn(u16) -> Vec<OsString>) -> Result<Self, String> {
        // Another process may take the free port first.
        let mut why = String::new();
        for _ in 0..3 {
            let address = TcpListener::bind("127.0.0.1:0")
                .and_then(|listener| listener.local_addr())
                .map_err(|error| format!("there is no free port: {error}"))?;
            match Self::start_at(address, &command(address.port())) {
                Ok(started) => return Ok(started),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    fn start_at(address: SocketAddr, command: &[OsString]) -> Result<Self, String> {
        let program = command.first().map(Path::new).and_then(Path::file_name);
        let log = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(program.unwrap_or_default())
            .with_extension("log");
        let said = File::create(&log).map_err(|error| format!("cannot make {log:?}: {error}"))?;
        let child = Command::new("sh")
            .args(["-c", UNTIL_STDIN_ENDS, "sh"])
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .map_err(|error| format!("cannot run {command:?}: {error}"))?;
        let mut started = Self { address, child };
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if TcpStream::connect(address).is_ok() {
                return Ok(started);
            }
            if let Ok(Some(status)) = started.child.try_wait() {
                return Err(format!("{command:?} ended at once ({status}), see {log:?}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("{command:?} does not listen at {address}"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}

/// The program that the environment names, or None after it was said on stderr why the test
/// is skipped, and what installs it. A machine that sets `CI` has them all: there the test
/// fails instead.
pub(crate) fn given(variable: &str, installer: &str) -> Option<PathBuf> {
    if let Some(program) = std::env::var_os(variable) {
        let program = PathBuf::from(program);
        assert!(
            program.is_file(),
            "{variable} names {program:?}, which is no file"
        );
        return Some(program);
    }
    let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    assert!(
        !ci,
        "CI must run the tests against servers, but {variable} is not set"
    );
    // The macro's output would be captured, and a skip go unseen.
    writeln!(
        std::io::stderr(),
        "skipped: {variable} is not set; '{installer}' installs the servers and prints what to set"
    )
    .unwrap();
    None
}
