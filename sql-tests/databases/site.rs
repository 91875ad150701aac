//! A database of a test's own, on one of the servers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use atio::{Connection, Server, Tls};
use datafusion::prelude::{SessionConfig, SessionContext};
use mysql_async::prelude::Queryable;
use tokio_postgres::SimpleQueryMessage;

use super::server_programs::{self, PASSWORD, Running, USER};

/// A database of a test's own.
pub(crate) struct Site {
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    Sqlite(tempfile::TempDir),
    Postgres(SocketAddr, String),
    MariaDb(SocketAddr, String),
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Site {
    pub(crate) fn sqlite() -> Self {
        Self {
            kind: Kind::Sqlite(tempfile::tempdir().unwrap()),
        }
    }

    pub(crate) async fn postgres() -> Option<Self> {
        let address = started(server_programs::postgres).await?.address();
        let name = new_name();
        patiently(async || {
            let client = postgres_client(address, "postgres").await?;
            let sql = format!("CREATE DATABASE {name}");
            client
                .batch_execute(&sql)
                .await
                .map_err(|error| error.to_string())
        })
        .await;
        Some(Self {
            kind: Kind::Postgres(address, name),
        })
    }

    pub(crate) async fn mariadb() -> Option<Self> {
        let address = started(server_programs::mariadb).await?.address();
        let name = new_name();
        patiently(async || {
            let mut connection = mysql_connection(address, None).await?;
            let sql = format!("CREATE DATABASE {name}");
            connection
                .query_drop(sql)
                .await
                .map_err(|error| error.to_string())
        })
        .await;
        Some(Self {
            kind: Kind::MariaDb(address, name),
        })
    }

    pub(crate) fn stored_as(&self) -> &'static str {
        match &self.kind {
            Kind::Sqlite(_) => "SQLITE",
            Kind::Postgres(_, _) => "POSTGRES",
            Kind::MariaDb(_, _) => "MYSQL",
        }
    }

    pub(crate) fn connection(&self) -> Connection {
        match &self.kind {
            Kind::Sqlite(_) => Connection::sqlite(self.file()),
            Kind::Postgres(address, _) | Kind::MariaDb(address, _) => self.connection_at(*address),
        }
    }

    /// How the database is reached, in the clear.
    pub(super) fn server(&self) -> Server {
        match &self.kind {
            Kind::Sqlite(_) => panic!("SQLite has no server"),
            Kind::Postgres(address, name) | Kind::MariaDb(address, name) => server(*address, name),
        }
    }

    /// The same database, reached in another way.
    pub(super) fn connection_by(&self, server: Server) -> Connection {
        match &self.kind {
            Kind::Sqlite(_) => panic!("SQLite has no server"),
            Kind::Postgres(_, _) => Connection::postgres(server),
            Kind::MariaDb(_, _) => Connection::mysql(server),
        }
    }

    /// The file of the authority that has signed the certificate of the server, which is for the
    /// name `localhost`.
    pub(super) async fn authority(&self) -> PathBuf {
        let running = match &self.kind {
            Kind::Sqlite(_) => panic!("SQLite has no server"),
            Kind::Postgres(_, _) => started(server_programs::postgres).await,
            Kind::MariaDb(_, _) => started(server_programs::mariadb).await,
        };
        running.unwrap().authority.clone()
    }

    /// The same database, reached at another address.
    pub(super) fn connection_at(&self, address: SocketAddr) -> Connection {
        match &self.kind {
            Kind::Sqlite(_) => panic!("SQLite has no address"),
            Kind::Postgres(_, name) => Connection::postgres(server(address, name)),
            Kind::MariaDb(_, name) => Connection::mysql(server(address, name)),
        }
    }

    /// The same, for a client that does not wait for long.
    pub(super) fn impatient_at(&self, address: SocketAddr) -> Connection {
        let server = |name| Server {
            commit_timeout: Duration::from_secs(1),
            ..server(address, name)
        };
        match &self.kind {
            Kind::Sqlite(_) => panic!("SQLite has no address"),
            Kind::Postgres(_, name) => Connection::postgres(server(name)),
            Kind::MariaDb(_, name) => Connection::mysql(server(name)),
        }
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match &self.kind {
            Kind::Sqlite(_) => None,
            Kind::Postgres(address, _) | Kind::MariaDb(address, _) => Some(*address),
        }
    }

    /// The file of SQLite.
    pub(crate) fn file(&self) -> PathBuf {
        match &self.kind {
            Kind::Sqlite(directory) => directory.path().join("a.db"),
            _ => panic!("a server has no file"),
        }
    }

    /// As [`Connection::url`] takes it.
    pub(crate) fn url(&self) -> String {
        let of_server = |scheme: &str, address: &SocketAddr, name: &str| {
            let mut url = url::Url::parse(&format!("{scheme}://{address}/{name}")).unwrap();
            url.set_username(USER).unwrap();
            url.set_password(Some(PASSWORD)).unwrap();
            url.to_string()
        };
        match &self.kind {
            Kind::Sqlite(_) => format!("sqlite:{}", self.file().display()),
            Kind::Postgres(address, name) => of_server("postgres", address, name),
            Kind::MariaDb(address, name) => of_server("mysql", address, name),
        }
    }

    /// A session with the connection `db`.
    pub(crate) fn session(&self) -> SessionContext {
        let ctx = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
        atio::register(&ctx).unwrap();
        atio::register_connection(&ctx, "db", self.connection()).unwrap();
        ctx
    }

    /// Runs a statement without atio, and returns the first column.
    pub(crate) async fn ask(&self, sql: &str) -> Vec<String> {
        self.try_ask(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub(crate) async fn try_ask(&self, sql: &str) -> Result<Vec<String>, String> {
        match &self.kind {
            Kind::Sqlite(_) => {
                let connection =
                    rusqlite::Connection::open(self.file()).map_err(|error| error.to_string())?;
                let mut statement = connection.prepare(sql).map_err(|error| error.to_string())?;
                let mut rows = statement.query([]).map_err(|error| error.to_string())?;
                let mut found = Vec::new();
                while let Some(row) = rows.next().map_err(|error| error.to_string())? {
                    let value: rusqlite::types::Value = row.get(0).unwrap();
                    found.push(match value {
                        rusqlite::types::Value::Integer(value) => value.to_string(),
                        rusqlite::types::Value::Text(value) => value,
                        other => format!("{other:?}"),
                    });
                }
                Ok(found)
            }
            Kind::Postgres(address, name) => {
                let client = postgres_client(*address, name).await?;
                let messages = client.simple_query(sql).await.map_err(|error| {
                    error
                        .as_db_error()
                        .map_or(error.to_string(), ToString::to_string)
                })?;
                let rows = messages.iter().filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL").to_owned()),
                    _ => None,
                });
                Ok(rows.collect())
            }
            Kind::MariaDb(address, name) => {
                let mut connection = mysql_connection(*address, Some(name)).await?;
                let rows: Vec<mysql_async::Row> = connection
                    .query(sql)
                    .await
                    .map_err(|error| error.to_string())?;
                connection.disconnect().await.unwrap();
                let rows = rows
                    .into_iter()
                    .map(|row| match row.unwrap().swap_remove(0) {
                        mysql_async::Value::Bytes(value) => String::from_utf8(value).unwrap(),
                        value => value.as_sql(true),
                    });
                Ok(rows.collect())
            }
        }
    }

    /// As SQL of the database.
    pub(super) fn quoted(&self, name: &str) -> String {
        match &self.kind {
            Kind::MariaDb(_, _) => format!("`{}`", name.replace('`', "``")),
            _ => format!("\"{}\"", name.replace('"', "\"\"")),
        }
    }

    /// How many rows the table `t` has, asked without atio; None if there is no such table.
    pub(super) async fn count(&self) -> Option<u64> {
        let found = self.try_ask("SELECT count(*) FROM t").await.ok()?;
        Some(found[0].parse().unwrap())
    }

    /// Every table of the database, hidden ones too.
    pub(super) async fn tables(&self) -> Vec<String> {
        let sql = match &self.kind {
            Kind::Sqlite(_) => "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1",
            Kind::Postgres(_, _) => {
                "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE relkind = 'r' AND nspname = 'public' ORDER BY 1"
            }
            Kind::MariaDb(_, _) => {
                "SELECT table_name FROM information_schema.tables WHERE table_schema = database() ORDER BY 1"
            }
        };
        self.ask(sql).await
    }

    /// Waits until the database has no connection but that of the question.
    pub(crate) async fn alone(&self) {
        let sql = match self.kind {
            Kind::Sqlite(_) => return,
            Kind::Postgres(_, _) => {
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            }
            Kind::MariaDb(_, _) => {
                "SELECT count(*) FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"
            }
        };
        // A server takes as long to roll back as it took to write.
        let begun = Instant::now();
        while self.ask(sql).await != ["0"] {
            assert!(
                begun.elapsed() < Duration::from_secs(240),
                "a connection stays"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A connection of MariaDB that lasts.
    pub(super) async fn mysql(&self) -> mysql_async::Conn {
        match &self.kind {
            Kind::MariaDb(address, name) => mysql_connection(*address, Some(name)).await.unwrap(),
            _ => panic!("this is not MariaDB"),
        }
    }

    /// Ends every other connection to this database.
    pub(crate) async fn end_connections(&self) {
        match &self.kind {
            Kind::Sqlite(_) => {}
            Kind::Postgres(_, _) => {
                self.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()").await;
            }
            Kind::MariaDb(_, _) => {
                let ids = self.ask("SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()").await;
                for id in ids {
                    // It may be gone by now.
                    self.try_ask(&format!("KILL {id}")).await.ok();
                }
            }
        }
    }
}

/// The server of this kind, which the first test starts.
async fn started(server: fn() -> Option<&'static Running>) -> Option<&'static Running> {
    tokio::task::spawn_blocking(server).await.unwrap()
}

fn new_name() -> String {
    format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

fn server(address: SocketAddr, database: &str) -> Server {
    Server {
        host: address.ip().to_string(),
        port: Some(address.port()),
        user: USER.to_owned(),
        password: Some(PASSWORD.to_owned()),
        database: database.to_owned(),
        tls: Tls::Off,
        ..Server::default()
    }
}

/// A server listens before it serves.
async fn patiently<F: Future<Output = Result<(), String>>>(attempt: impl Fn() -> F) {
    let begun = Instant::now();
    loop {
        match attempt().await {
            Ok(()) => return,
            Err(error) => {
                assert!(begun.elapsed() < Duration::from_secs(30), "{error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn postgres_client(
    address: SocketAddr,
    database: &str,
) -> Result<tokio_postgres::Client, String> {
    let mut config = tokio_postgres::Config::new();
    config
        .host(address.ip().to_string())
        .port(address.port())
        .user(USER)
        .password(PASSWORD)
        .dbname(database);
    let (client, connection) = config
        .connect(tokio_postgres::NoTls)
        .await
        .map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    Ok(client)
}

async fn mysql_connection(
    address: SocketAddr,
    database: Option<&str>,
) -> Result<mysql_async::Conn, String> {
    let options = mysql_async::OptsBuilder::default()
        .ip_or_hostname(address.ip().to_string())
        .tcp_port(address.port())
        .user(Some(USER))
        .pass(Some(PASSWORD))
        .db_name(database)
        .prefer_socket(false);
    mysql_async::Conn::new(options)
        .await
        .map_err(|error| error.to_string())
}
