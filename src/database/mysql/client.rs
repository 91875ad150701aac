//! A connection to a server.

use std::time::Duration;

use mysql_async::{Conn, OptsBuilder, SslOpts};

use crate::database::server::{Server, Tls};
use crate::error::{Error, ErrorKind, Result};

/// How long a server may take to answer at all.
const PATIENCE: Duration = Duration::from_secs(15);

/// What every connection begins with: a value that does not fit is an error, not another
/// value; and times without a zone are UTC.
const SESSION: [&str; 3] = [
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO,ERROR_FOR_DIVISION_BY_ZERO'",
    "SET SESSION time_zone = '+00:00'",
    "SET NAMES utf8mb4",
];

/// Connects. The server rolls back when the connection is dropped.
pub(super) async fn connect(server: &Server) -> Result<Conn> {
    let tls = match server.protection() {
        Tls::Unverified => Some(
            SslOpts::default()
                .with_danger_accept_invalid_certs(true)
                .with_danger_skip_domain_validation(true),
        ),
        Tls::Verified(Some(path)) => Some(SslOpts::default().with_root_certs(vec![path.into()])),
        Tls::Verified(None) => Some(SslOpts::default()),
        Tls::Auto | Tls::Off => None,
    };
    let options = OptsBuilder::default()
        .ip_or_hostname(&server.host)
        .tcp_port(server.port.unwrap_or(3306))
        .user(Some(&server.user))
        .pass(server.password.as_ref())
        .db_name(Some(&server.database))
        .ssl_opts(tls)
        // A socket would be another server than the one that was named.
        .prefer_socket(false)
        .setup(SESSION.to_vec());
    let connection = tokio::time::timeout(PATIENCE, Conn::new(options)).await;
    let connection = connection.map_err(|_| {
        Error::new(
            ErrorKind::Storage,
            "cannot connect: the server does not answer",
        )
    })?;
    connection.map_err(|error| failed(error).context("cannot connect"))
}

/// An error of a statement.
pub(super) fn failed(error: mysql_async::Error) -> Error {
    let said = match error {
        mysql_async::Error::Server(error) => {
            format!("the server says: {} ({})", error.message, error.code)
        }
        other => other.to_string(),
    };
    Error::new(ErrorKind::Storage, said)
}
