//! The servers: one of each kind for all tests, on a free port, with its data in a directory
//! that goes when the server does.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::certificates::Certificates;
use crate::servers::server_program::{Program, given};

/// What the first user is called, and signs in with.
pub(super) const USER: &str = "atio";
pub(crate) const PASSWORD: &str = "pass/w@rd#SECRET";

const INSTALLER: &str = ".ci/databases";

/// Runs a server, and removes its directory after it.
const WITH_DIRECTORY: &str = r#"
directory="$1"; shift
"$@" &
server=$!
trap 'kill "$server" 2>/dev/null' TERM INT
wait "$server"; wait "$server"
rm -rf "$directory"
"#;

static POSTGRES: OnceLock<Running> = OnceLock::new();
static MARIADB: OnceLock<Running> = OnceLock::new();

/// A server that runs.
pub(super) struct Running {
    program: Program,
    /// The file of the authority that has signed its certificate.
    pub(super) authority: PathBuf,
}

impl Running {
    pub(super) fn address(&self) -> SocketAddr {
        self.program.address
    }
}

/// PostgreSQL. It speaks in the clear, too.
pub(super) fn postgres() -> Option<&'static Running> {
    let program = given("ATIO_POSTGRES_BIN", INSTALLER)?;
    // The program beside it makes the directory.
    let program = program.canonicalize().unwrap();
    let server = POSTGRES.get_or_init(|| {
        let directory = directory();
        let password = directory.join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        let data = directory.join("data");
        // What is newer takes a client without optimisations half a second to compute.
        let mut initdb = unprivileged();
        initdb.push(program.with_file_name("initdb").into());
        initdb.extend(
            [
                "-A",
                "md5",
                "--no-sync",
                "-E",
                "UTF8",
                "--locale=C",
                "-U",
                USER,
            ]
            .map(OsString::from),
        );
        initdb.extend(["--pwfile".into(), password.into()]);
        initdb.extend(["-D".into(), data.clone().into()]);
        run(&initdb);
        let certificates = Certificates::for_localhost(&directory, "the authority of PostgreSQL");
        give(&certificates.key);
        let program = Program::start(|port| {
            let mut command = with_directory(&directory);
            command.push(program.clone().into());
            command.extend(["-D".into(), data.clone().into()]);
            for setting in [
                format!("port={port}"),
                "listen_addresses=127.0.0.1".to_owned(),
                "unix_socket_directories=".to_owned(),
                "fsync=off".to_owned(),
                // A replica that never comes, and that only commits wait for that say so.
                "synchronous_standby_names=nobody".to_owned(),
                "synchronous_commit=local".to_owned(),
                "max_connections=300".to_owned(),
                "ssl=on".to_owned(),
                format!("ssl_cert_file={}", certificates.certificate.display()),
                format!("ssl_key_file={}", certificates.key.display()),
            ] {
                command.extend(["-c".into(), setting.into()]);
            }
            command
        })
        .unwrap();
        Running {
            program,
            authority: certificates.authority,
        }
    });
    Some(server)
}

/// MariaDB. It speaks in the clear, too.
pub(super) fn mariadb() -> Option<&'static Running> {
    let program = given("ATIO_MARIADBD", INSTALLER)?;
    let server = MARIADB.get_or_init(|| {
        let directory = directory();
        let data = directory.join("data");
        let first = directory.join("first.sql");
        let users = format!(
            "CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO '{USER}'@'%';\n"
        );
        std::fs::write(&first, users).unwrap();
        let mut install = unprivileged();
        install.push("mariadb-install-db".into());
        install.extend(
            [
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ]
            .map(OsString::from),
        );
        install.push(option("--datadir", &data));
        run(&install);
        let certificates = Certificates::for_localhost(&directory, "the authority of MariaDB");
        give(&certificates.key);
        let program = Program::start(|port| {
            let mut command = with_directory(&directory);
            command.push(program.clone().into());
            command.push("--no-defaults".into());
            command.push(option("--datadir", &data));
            command.push(option("--socket", &directory.join("socket")));
            command.push(option("--pid-file", &directory.join("pid")));
            command.push(option("--init-file", &first));
            command.push(option("--ssl-ca", &certificates.authority));
            command.push(option("--ssl-cert", &certificates.certificate));
            command.push(option("--ssl-key", &certificates.key));
            command.push(format!("--port={port}").into());
            command.extend(
                [
                    "--bind-address=127.0.0.1",
                    "--skip-name-resolve",
                    "--innodb-flush-log-at-trx-commit=0",
                    "--max-connections=300",
                ]
                .map(OsString::from),
            );
            command
        })
        .unwrap();
        Running {
            program,
            authority: certificates.authority,
        }
    });
    Some(server)
}

fn option(name: &str, path: &Path) -> OsString {
    format!("{name}={}", path.display()).into()
}

/// A directory of its own, for the user that servers run as.
fn directory() -> PathBuf {
    let directory = tempfile::Builder::new()
        .prefix("atio-database-")
        .tempdir()
        .unwrap()
        .keep();
    give(&directory);
    directory
}

/// Makes the user that servers run as the owner.
fn give(path: &Path) {
    if rustix::process::getuid().is_root() {
        run(&["chown".into(), "nobody".into(), path.into()]);
    }
}

/// Servers refuse to run as root.
fn unprivileged() -> Vec<OsString> {
    match rustix::process::getuid().is_root() {
        true => [
            "setpriv",
            "--reuid=nobody",
            "--regid=nogroup",
            "--clear-groups",
        ]
        .map(OsString::from)
        .to_vec(),
        false => Vec::new(),
    }
}

fn with_directory(directory: &Path) -> Vec<OsString> {
    let mut command: Vec<OsString> = ["sh", "-c", WITH_DIRECTORY, "sh"]
        .map(OsString::from)
        .to_vec();
    command.push(directory.into());
    command.extend(unprivileged());
    command
}

fn run(command: &[OsString]) {
    let done = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(
        done.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}
