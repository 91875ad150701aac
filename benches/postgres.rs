//! Writing rows to PostgreSQL, against `\copy` of the same rows from a CSV file by `psql`.
//!
//! `eval "$(.ci/databases)"` says where the programs are; without it the benchmark says so and
//! measures nothing. The server runs on this machine, with data in a directory of its own.
//! Without `--bench` (as in `cargo test --benches`) only a few rows are written, to see that the
//! benchmark works.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::error::Error;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use atio::{Connection, IfExists, Server, Tls, write_database};
use datafusion::prelude::SessionContext;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// One row of a table with the usual types.
const QUERY: &str = "SELECT value AS id, value % 7 AS line, \
    arrow_cast(value % 10000, 'Decimal128(12, 2)') / 100 AS price, \
    arrow_cast(value % 2500, 'Date32') AS shipped, \
    CASE WHEN value % 3 = 0 THEN 'R' ELSE 'N' END AS flag, \
    concat('comment number ', value, ' of the line') AS comment \
    FROM generate_series(1, ROWS) AS s(value)";

fn main() -> Result<()> {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let Some(program) = std::env::var_os("ATIO_POSTGRES_BIN") else {
        println!("skipped: ATIO_POSTGRES_BIN is not set; '.ci/databases' prints what to set");
        return Ok(());
    };
    let program = PathBuf::from(program).canonicalize()?;
    let server = Running::start(
        program
            .parent()
            .ok_or("there is no directory of programs")?,
    )?;
    let (rows, rounds) = if measured { (1_000_000, 7) } else { (1000, 1) };
    tokio::runtime::Runtime::new()?.block_on(measure(&server, rows, rounds))
}

async fn measure(server: &Running, count: u64, rounds: usize) -> Result<()> {
    let ctx = SessionContext::new();
    // In memory, so that neither way pays for computing the rows.
    let query = QUERY.replace("ROWS", &count.to_string());
    let rows = ctx.sql(&query).await?.cache().await?;
    let csv = server.directory.path().join("rows.csv");
    ctx.register_table("rows", rows.clone().into_view())?;
    let copy = format!("COPY rows TO '{}' STORED AS CSV", csv.display());
    ctx.sql(&copy).await?.collect().await?;
    let connection = Connection::postgres(Server {
        host: "127.0.0.1".to_owned(),
        port: Some(server.port),
        user: "bench".to_owned(),
        database: "postgres".to_owned(),
        tls: Tls::Off,
        ..Server::default()
    });
    // Makes the table.
    write_database(rows.clone(), &connection, "t", IfExists::Fail).await?;

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Who goes first changes each time.
        for first in [round % 2 == 0, round % 2 != 0] {
            server.psql("TRUNCATE t")?;
            server.psql("CHECKPOINT")?;
            let begun = Instant::now();
            if first {
                let written =
                    write_database(rows.clone(), &connection, "t", IfExists::Append).await?;
                assert_eq!(written, count);
                ours.push(begun.elapsed().as_secs_f64());
            } else {
                server.psql(&format!("\\copy t FROM '{}' CSV HEADER", csv.display()))?;
                theirs.push(begun.elapsed().as_secs_f64());
            }
        }
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!("{count} rows, median of {rounds}");
    println!("write_database  {ours:>8.3} s");
    println!("psql \\copy      {theirs:>8.3} s");
    println!("ratio           {:>8.2}", ours / theirs);
    Ok(())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A server of PostgreSQL that ends with this.
struct Running {
    directory: tempfile::TempDir,
    programs: PathBuf,
    port: u16,
    server: Child,
}

impl Running {
    fn start(programs: &Path) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let data = directory.path().join("data");
        std::fs::create_dir(&data)?;
        if is_root() {
            for path in [directory.path(), &data] {
                done(Command::new("chown").arg("nobody").arg(path))?;
            }
        }
        let initdb = programs.join("initdb");
        done(
            unprivileged(&initdb)
                .args(["-A", "trust", "-U", "bench", "-E", "UTF8", "-D"])
                .arg(&data),
        )?;
        let free = TcpListener::bind("127.0.0.1:0")?;
        let port = free.local_addr()?.port();
        drop(free);
        let server = unprivileged(&programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
            ])
            .args(["-c", "max_wal_size=8GB", "-p", &port.to_string()])
            .stderr(Stdio::null())
            .spawn()?;
        let running = Self {
            directory,
            programs: programs.to_owned(),
            port,
            server,
        };
        let begun = Instant::now();
        while !running.command("SELECT 1").output()?.status.success() {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "the server does not start"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(running)
    }

    fn command(&self, sql: &str) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        command
            .args([
                "-X",
                "-q",
                "-h",
                "127.0.0.1",
                "-U",
                "bench",
                "-d",
                "postgres",
            ])
            .args([
                "-v",
                "ON_ERROR_STOP=1",
                "-p",
                &self.port.to_string(),
                "-c",
                sql,
            ]);
        command
    }

    fn psql(&self, sql: &str) -> Result<()> {
        done(&mut self.command(sql))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGINT is a fast shutdown.
        let id = self.server.id().to_string();
        Command::new("kill").args(["-INT", &id]).status().ok();
        self.server.wait().ok();
    }
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

/// The server refuses to run as root.
fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
        .arg(program);
    command
}

fn done(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}
