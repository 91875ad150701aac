//! The connections of a session, by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::prelude::SessionContext;
use parking_lot::RwLock;

use super::connection::{Connection, Engine};
use super::name::TableName;
use crate::error::{Error, ErrorKind, Result};

/// How a location says that the URL is in the environment.
const ENV: &str = "env:";

/// An extension of the session's configuration.
#[derive(Debug, Default)]
pub(super) struct Connections(RwLock<BTreeMap<String, Connection>>);

/// Gives a connection a name in a session: its SQL reaches tables of the database as
/// `<name>/<table>`, and never sees a password.
///
/// ```
/// # async fn example() -> datafusion::error::Result<()> {
/// use atio::Connection;
/// use datafusion::prelude::SessionContext;
///
/// let ctx = SessionContext::new();
/// atio::register(&ctx)?;
/// atio::register_connection(&ctx, "warehouse", Connection::env("WAREHOUSE_URL")?)?;
/// ctx.sql("COPY (SELECT 1 AS x) TO 'warehouse/public.ones' STORED AS POSTGRES").await?.collect().await?;
/// ctx.sql("CREATE EXTERNAL TABLE ones STORED AS POSTGRES LOCATION 'warehouse/public.ones'").await?;
/// ctx.sql("INSERT INTO ones VALUES (2)").await?.collect().await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`InvalidInput`](ErrorKind::InvalidInput) if the name is taken or holds anything but
/// letters, digits, `_` and `-`.
pub fn register_connection(ctx: &SessionContext, name: &str, connection: Connection) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(fits) {
        return Err(Error::invalid(format!(
            "'{}' names no connection: letters, digits, '_' and '-' do",
            name.escape_debug()
        )));
    }
    let connections = of_context(ctx);
    let mut connections = connections.0.write();
    match connections.get(name) {
        None => {
            connections.insert(name.to_owned(), connection);
            Ok(())
        }
        Some(same) if *same == connection => Ok(()),
        Some(other) => Err(Error::invalid(format!(
            "connection '{name}' is registered already, for {other}"
        ))),
    }
}

fn of_context(ctx: &SessionContext) -> Arc<Connections> {
    let state = ctx.state_ref();
    let mut state = state.write();
    if let Some(connections) = state.config().get_extension::<Connections>() {
        return connections;
    }
    let connections = Arc::new(Connections::default());
    state.config_mut().set_extension(Arc::clone(&connections));
    connections
}

/// A table of a database, as a location names it.
#[derive(Debug)]
pub(super) struct TableLocation {
    pub(super) connection: Connection,
    /// As the session calls it.
    pub(super) name: String,
    pub(super) table: TableName,
}

impl TableLocation {
    /// Takes `<connection>/<table>` apart; the connection is a registered one, or `env:NAME`
    /// if `free` says that statements may choose. Of SQLite it is then the path of a file, too.
    pub(super) fn find(
        state: &dyn Session,
        engine: Engine,
        location: &str,
        free: bool,
    ) -> Result<Self> {
        let stored_as = engine.stored_as();
        if location.contains("://") || (location.contains('@') && location.contains(':')) {
            return Err(Error::invalid(format!(
                "STORED AS {stored_as} takes no URL: it would show the password; name a registered connection, or the environment variable that holds it, as 'env:NAME/table'"
            )));
        }
        let Some((name, table)) = split(location) else {
            return Err(Error::invalid(format!(
                "'{}' is no table of a database; name it as 'connection/table'",
                location.escape_debug()
            )));
        };
        let table = TableName::parse(table)?;
        let registered = state.config().get_extension::<Connections>();
        let registered = registered.and_then(|all| all.0.read().get(name).cloned());
        let shown = name.escape_debug();
        let connection = match registered {
            Some(connection) => connection,
            None if !free => {
                return Err(Error::new(
                    ErrorKind::NotAllowed,
                    format!(
                        "connection '{shown}' is not registered, and this session may use no other"
                    ),
                ));
            }
            None => match name.strip_prefix(ENV) {
                Some(variable) => Connection::env(variable)?,
                None if engine == Engine::Sqlite => Connection::sqlite(name),
                None => {
                    return Err(Error::invalid(format!(
                        "connection '{shown}' is not registered; register it, or name the environment variable that holds its URL, as 'env:NAME/table'"
                    )));
                }
            },
        };
        if connection.engine() != engine {
            return Err(Error::invalid(format!(
                "connection '{shown}' is {connection}; say STORED AS {}",
                connection.engine().stored_as()
            )));
        }
        Ok(Self {
            connection,
            name: name.to_owned(),
            table,
        })
    }
}

/// At the last slash that is not in quotes.
fn split(location: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let mut last = None;
    for (at, c) in location.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '/' if !quoted => last = Some(at),
            _ => {}
        }
    }
    let at = last?;
    Some((&location[..at], &location[at + 1..]))
}
