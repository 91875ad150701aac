//! What a table of a database is reached by.

use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

use super::server::Server;
use crate::error::{Error, Result};
use crate::features;

/// A database, and how to reach it.
///
/// Nothing connects before a statement needs it, and every scan and every write has a
/// connection of its own.
///
/// ```
/// use atio::{Connection, Server};
///
/// # fn main() -> atio::Result<()> {
/// let local = Connection::sqlite("data/app.db");
/// let warehouse = Connection::postgres(Server {
///     host: "db.example.org".to_owned(),
///     user: "loader".to_owned(),
///     password: std::env::var("WAREHOUSE_PASSWORD").ok(),
///     database: "warehouse".to_owned(),
///     ..Server::default()
/// });
/// assert_eq!(warehouse.to_string(), "PostgreSQL at db.example.org:5432/warehouse");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Connection(Database);

/// Where a database is.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Database {
    Postgres(Server),
    MySql(Server),
    Sqlite(PathBuf),
}

/// The three of them, as `STORED AS` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Postgres,
    Sqlite,
    MySql,
}

impl Connection {
    /// A PostgreSQL server.
    ///
    /// ```
    /// let server = atio::Server { database: "shop".to_owned(), ..atio::Server::default() };
    /// let shop = atio::Connection::postgres(server);
    /// assert_eq!(shop.to_string(), "PostgreSQL at localhost:5432/shop");
    /// ```
    pub fn postgres(server: Server) -> Self {
        Self(Database::Postgres(server))
    }

    /// A MySQL or MariaDB server.
    ///
    /// ```
    /// let server = atio::Server { database: "shop".to_owned(), ..atio::Server::default() };
    /// let shop = atio::Connection::mysql(server);
    /// assert_eq!(shop.to_string(), "MySQL at localhost:3306/shop");
    /// ```
    pub fn mysql(server: Server) -> Self {
        Self(Database::MySql(server))
    }

    /// An SQLite database in a file. The first write makes the file; its directory must be
    /// there.
    ///
    /// ```
    /// let shop = atio::Connection::sqlite("data/shop.db");
    /// assert!(shop.to_string().contains("data/shop.db"));
    /// ```
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self(Database::Sqlite(path.into()))
    }

    /// The database that a URL names: `postgres://user:password@host:port/database`, `mysql:`
    /// and `mariadb:` in the same way, or `sqlite:path`.
    ///
    /// What a URL must not hold as it is (`@`, `/`, `#`, `?`, `%`) is written as `%40` and so on.
    /// `?sslmode=` takes `disable`, `require` (encrypted) and `verify-full` (encrypted, and a
    /// certificate for the name of the host, which is what happens if nothing is said of
    /// another machine); `&sslrootcert=` a file with the authority; `&commit_timeout=` the
    /// seconds that a commit may take ([`Server::commit_timeout`]).
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// atio::Connection::url("sqlite:data/shop.db")?;
    /// assert!(atio::Connection::url("ftp://example.org").is_err());
    /// # Ok::<(), atio::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is no such URL; the message repeats
    /// nothing of it. [`Unsupported`](crate::ErrorKind::Unsupported) if atio was built without the
    /// feature of this database, which the message names.
    pub fn url(url: &str) -> Result<Self> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path.is_empty() {
                true => Err(Error::invalid("after 'sqlite:' comes the path of a file")),
                false => Self::sqlite(path).built_in(),
            };
        }
        let parsed = Url::parse(url)
            .map_err(|error| Error::invalid(format!("the URL of a database is wrong: {error}")))?;
        match parsed.scheme() {
            "postgres" | "postgresql" => Server::of_url(&parsed).map(Self::postgres)?.built_in(),
            "mysql" | "mariadb" => Server::of_url(&parsed).map(Self::mysql)?.built_in(),
            _ => Err(Error::invalid(
                "the URL of a database begins with 'postgres:', 'mysql:', 'mariadb:' or 'sqlite:'",
            )),
        }
    }

    /// The database whose URL is in an environment variable, as [`Connection::url`] takes it.
    ///
    /// ```
    /// let missing = atio::Connection::env("NO_VARIABLE_HAS_THIS_NAME");
    /// assert!(missing.is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the variable is not set or holds no such
    /// URL; the message repeats nothing of what it holds.
    pub fn env(variable: &str) -> Result<Self> {
        let shown = variable.escape_debug();
        let url = std::env::var(variable).map_err(|_| {
            Error::invalid(format!(
                "the environment variable '{shown}' does not hold the URL of a database"
            ))
        })?;
        Self::url(&url).map_err(|error| error.context(format!("environment variable '{shown}'")))
    }

    pub(super) fn engine(&self) -> Engine {
        match &self.0 {
            Database::Postgres(_) => Engine::Postgres,
            Database::MySql(_) => Engine::MySql,
            Database::Sqlite(_) => Engine::Sqlite,
        }
    }

    pub(super) fn database(&self) -> &Database {
        &self.0
    }

    /// Itself, unless its client was left out.
    fn built_in(self) -> Result<Self> {
        match self.engine().is_built_in() {
            true => Ok(self),
            false => Err(self.left_out()),
        }
    }

    /// The error of a database whose client was left out.
    pub(super) fn left_out(&self) -> Error {
        features::needs(&self.to_string(), self.engine().feature())
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, server, port) = match &self.0 {
            Database::Postgres(server) => ("PostgreSQL", server, 5432),
            Database::MySql(server) => ("MySQL", server, 3306),
            Database::Sqlite(path) => return write!(f, "SQLite in {}", shown(path)),
        };
        let Server { host, database, .. } = server;
        let port = server.port.unwrap_or(port);
        write!(
            f,
            "{name} at {}:{port}/{}",
            host.escape_debug(),
            database.escape_debug()
        )
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string().escape_debug().to_string()
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({self})")
    }
}

impl Engine {
    /// Those whose clients were not left out.
    pub(super) fn built_in() -> impl Iterator<Item = Self> {
        let all = [Self::Postgres, Self::Sqlite, Self::MySql];
        all.into_iter().filter(|engine| engine.is_built_in())
    }

    fn is_built_in(self) -> bool {
        features::has(self.feature())
    }

    fn feature(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
            Self::MySql => "mysql",
        }
    }

    pub(super) fn stored_as(self) -> &'static str {
        match self {
            Self::Postgres => "POSTGRES",
            Self::Sqlite => "SQLITE",
            Self::MySql => "MYSQL",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_that_is_left_out_names_its_feature() {
        let left_out = |connection: Connection| connection.left_out().to_string();
        let server = || Server {
            host: "h".to_owned(),
            database: "d".to_owned(),
            ..Server::default()
        };
        assert_eq!(
            left_out(Connection::postgres(server())),
            "PostgreSQL at h:5432/d needs the feature 'postgres' of the crate atio"
        );
        assert_eq!(
            left_out(Connection::mysql(server())),
            "MySQL at h:3306/d needs the feature 'mysql' of the crate atio"
        );
        assert_eq!(
            left_out(Connection::sqlite("app.db")),
            "SQLite in app.db needs the feature 'sqlite' of the crate atio"
        );
    }
}
