//! A connection to a server.

use std::time::Duration;

use mysql_async::{Conn, OptsBuilder};
use rustls::ClientConfig;

#[cfg(unix)]
use super::relay::Relay;
use crate::database::server::Server;
use crate::database::tls;
use crate::error::{Error, ErrorKind, Result};

/// How long a server may take to answer at all.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where servers listen that say nothing else.
const PORT: u16 = 3306;

/// What every connection begins with: a value that does not fit is an error, not another
/// value; and times without a zone are UTC.
const SESSION: [&str; 3] = [
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO,ERROR_FOR_DIVISION_BY_ZERO'",
    "SET SESSION time_zone = '+00:00'",
    "SET NAMES utf8mb4",
];

/// Connects. The server rolls back when the connection is dropped.
pub(super) async fn connect(server: &Server) -> Result<Conn> {
    let tls = tls::client_config(&server.protection())?;
    let options = OptsBuilder::default()
        .ip_or_hostname(&server.host)
        .tcp_port(server.port.unwrap_or(PORT))
        .user(Some(&server.user))
        .pass(server.password.as_ref())
        .db_name(Some(&server.database))
        // A socket would be another server than the one that was named.
        .prefer_socket(false)
        .setup(SESSION.to_vec());
    let connecting = async {
        match tls {
            Some(tls) => connect_encrypted(server, options, tls).await,
            None => Conn::new(options).await.map_err(failed),
        }
    };
    let connection = tokio::time::timeout(PATIENCE, connecting).await;
    let connection = connection.map_err(|_| {
        Error::new(
            ErrorKind::Storage,
            "cannot connect: the server does not answer",
        )
    })?;
    connection.map_err(|error| error.context("cannot connect"))
}

#[cfg(unix)]
async fn connect_encrypted(
    server: &Server,
    options: OptsBuilder,
    tls: ClientConfig,
) -> Result<Conn> {
    let relay = Relay::new()?;
    let options = options.socket(Some(relay.socket()?));
    let relayed = relay.connect(&server.host, server.port.unwrap_or(PORT), tls);
    // In this order: the client only learns that the relay has hung up, which says why.
    let connected = async { Conn::new(options).await.map_err(failed) };
    let ((), connection) = tokio::try_join!(biased; relayed, connected)?;
    Ok(connection)
}

/// The relay needs a socket that has a file.
#[cfg(not(unix))]
async fn connect_encrypted(_: &Server, _: OptsBuilder, _: ClientConfig) -> Result<Conn> {
    Err(Error::unsupported(
        "TLS to MySQL and MariaDB needs a Unix; sslmode=disable would send everything in the clear",
    ))
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
