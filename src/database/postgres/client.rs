//! A connection to a server.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::database::server::Server;
use crate::database::tls;
use crate::error::{Error, ErrorKind, Result};

/// How long a server may take to answer at all.
const PATIENCE: Duration = Duration::from_secs(15);

/// Connects. What drives the connection ends when the client is dropped, and with it the
/// server's transaction.
pub(super) async fn connect(server: &Server) -> Result<Client> {
    let (client, driver) = open(server).await?;
    tokio::spawn(driver);
    Ok(client)
}

/// A client, and what drives its connection.
pub(super) async fn open(server: &Server) -> Result<(Client, BoxFuture<'static, ()>)> {
    let mut config = Config::new();
    config
        .host(&server.host)
        .port(server.port.unwrap_or(5432))
        .user(&server.user)
        .dbname(&server.database)
        .application_name("atio")
        .connect_timeout(PATIENCE);
    if let Some(password) = &server.password {
        config.password(password);
    }
    let Some(tls) = tls::client_config(&server.protection())? else {
        config.ssl_mode(SslMode::Disable);
        let (client, connection) = config.connect(NoTls).await.map_err(refused)?;
        return Ok((client, connection.map(drop).boxed()));
    };
    config.ssl_mode(SslMode::Require);
    let connector = MakeRustlsConnect::new(tls);
    let (client, connection) = config.connect(connector).await.map_err(refused)?;
    Ok((client, connection.map(drop).boxed()))
}

/// An error while connecting.
fn refused(error: tokio_postgres::Error) -> Error {
    let said = tls::said(&error).unwrap_or_else(|| said(&error));
    Error::new(ErrorKind::Storage, format!("cannot connect: {said}"))
}

/// An error of a statement.
pub(super) fn failed(error: tokio_postgres::Error) -> Error {
    Error::new(ErrorKind::Storage, said(&error))
}

/// What the server said, or what happened to the connection.
fn said(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        let detail = said.detail().map(|detail| format!(" ({detail})"));
        return format!(
            "the server says: {}{}",
            said.message(),
            detail.unwrap_or_default()
        );
    }
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}
