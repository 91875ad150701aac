//! Where a database server is, and who asks it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::error::{Error, Result};

/// A database server, a database on it, and who signs in.
///
/// Its password is shown by nothing: not by `Debug`, not in a message, not in a plan.
///
/// ```
/// let server = atio::Server {
///     host: "db.example.org".to_owned(),
///     user: "loader".to_owned(),
///     password: std::env::var("SHOP_PASSWORD").ok(),
///     database: "shop".to_owned(),
///     ..atio::Server::default()
/// };
/// assert_eq!(server.port, None);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    /// Its name or address.
    pub host: String,
    /// None for the usual one: 5432 for PostgreSQL, 3306 for MySQL and MariaDB.
    pub port: Option<u16>,
    /// Who signs in.
    pub user: String,
    /// None if the server asks for none.
    pub password: Option<String>,
    /// The database to use.
    pub database: String,
    /// How the connection is protected.
    pub tls: Tls,
    /// How long the server may take to answer a commit. After that a write looks, on another
    /// connection, what became of it; but of rows that went into a table of MySQL that was
    /// there before nothing tells, and that is
    /// [`CommitUnknown`](crate::ErrorKind::CommitUnknown) at once.
    pub commit_timeout: Duration,
}

/// How a connection to a server is protected: by TLS 1.2 or 1.3, or not.
///
/// The system's authorities are those of its store, or, as for other programs, those in the file that
/// the environment variable `SSL_CERT_FILE` names and the directories in `SSL_CERT_DIR`.
///
/// ```
/// let server = atio::Server { tls: atio::Tls::Verified(None), ..atio::Server::default() };
/// assert_ne!(server.tls, atio::Tls::default());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Tls {
    /// As [`Tls::Off`] on this machine, as [`Tls::Verified`] elsewhere.
    #[default]
    Auto,
    /// Not at all: everybody on the way can read and change what is sent.
    Off,
    /// Encrypted, but the server may be any that answers.
    Unverified,
    /// Encrypted, and the server shows a certificate for its name, from an authority of the
    /// system's or of this file (PEM). The name must be among the alternative names of the
    /// certificate (`subjectAltName`).
    Verified(Option<PathBuf>),
}

/// A replica that commits along may be slow.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(120);

impl Default for Server {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: None,
            user: String::new(),
            password: None,
            database: String::new(),
            tls: Tls::Auto,
            commit_timeout: COMMIT_TIMEOUT,
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("tls", &self.tls)
            .field("commit_timeout", &self.commit_timeout)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Takes a URL apart. None of it is repeated when it is wrong: it holds a password.
    pub(super) fn of_url(url: &Url) -> Result<Self> {
        let wrong = |why: &str| Error::invalid(format!("the URL of a database is wrong: {why}"));
        let text =
            |part: &str| percent_decoded(part).ok_or_else(|| wrong("a part of it is not UTF-8"));
        if url.fragment().is_some() {
            return Err(wrong("it holds a '#'; write it as %23"));
        }
        if url.username().is_empty() && url.as_str().contains('@') {
            return Err(wrong(
                "a password with '/', '?', '#' or '@' must have them as %2F, %3F, %23 and %40",
            ));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong("it names no host"))?;
        let database = text(url.path().trim_start_matches('/'))?;
        if database.is_empty() || database.contains('/') {
            return Err(wrong("after the host comes '/' and the name of a database"));
        }
        let mut server = Self {
            host: text(host.trim_start_matches('[').trim_end_matches(']'))?,
            port: url.port(),
            user: text(url.username())?,
            password: url.password().map(text).transpose()?,
            database,
            ..Self::default()
        };
        let mut authority = None;
        for (key, value) in url.query_pairs() {
            match key.as_ref() {
                "sslmode" | "ssl-mode" | "ssl_mode" => {
                    server.tls = match value.to_lowercase().as_str() {
                        "disable" | "disabled" => Tls::Off,
                        "require" | "required" => Tls::Unverified,
                        "verify-full" | "verify_identity" => Tls::Verified(None),
                        _ => {
                            return Err(wrong(
                                "sslmode is one of disable, require and verify-full",
                            ));
                        }
                    };
                }
                "sslrootcert" | "ssl-ca" => authority = Some(PathBuf::from(value.as_ref())),
                "commit_timeout" => {
                    let seconds = value.parse().ok().filter(|seconds| *seconds > 0);
                    let seconds =
                        seconds.ok_or_else(|| wrong("commit_timeout is a number of seconds"))?;
                    server.commit_timeout = Duration::from_secs(seconds);
                }
                _ => {
                    return Err(wrong(
                        "it takes no options but sslmode, sslrootcert and commit_timeout",
                    ));
                }
            }
        }
        if authority.is_some() {
            server.tls = Tls::Verified(authority);
        }
        Ok(server)
    }

    /// The protection that `Auto` means here.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    pub(super) fn protection(&self) -> Tls {
        match &self.tls {
            Tls::Auto if self.is_here() => Tls::Off,
            Tls::Auto => Tls::Verified(None),
            tls => tls.clone(),
        }
    }

    #[cfg(any(feature = "postgres", feature = "mysql"))]
    fn is_here(&self) -> bool {
        match self.host.parse::<std::net::IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_is_taken_apart() {
        let url =
            Url::parse("postgres://us%40er:p%2Fw@[::1]:5/d%20b?sslmode=require&commit_timeout=7")
                .unwrap();
        let server = Server::of_url(&url).unwrap();
        assert_eq!(
            server,
            Server {
                host: "::1".to_owned(),
                port: Some(5),
                user: "us@er".to_owned(),
                password: Some("p/w".to_owned()),
                database: "d b".to_owned(),
                tls: Tls::Unverified,
                commit_timeout: Duration::from_secs(7),
            }
        );
        assert!(!format!("{server:?}").contains("p/w"));
    }

    #[test]
    fn wrong_url_is_refused_without_a_word_of_it() {
        for text in [
            "postgres://u:12/SECRET@h/d",
            "postgres://u:12#SECRET@h/d",
            "postgres://u:12?SECRET@h/d",
            "postgres://u:SECRET@h/",
            "postgres://u:SECRET@h/a/b",
            "postgres://u:SECRET@h/d?sslmode=SECRET",
            "postgres://u:SECRET@h/d?SECRET=1",
            "postgres://u:SECRET@h/d?commit_timeout=SECRET",
            "postgres://u:SECRET@h/d?commit_timeout=0",
            "postgres://u:SECRET%FF@h/d",
        ] {
            let error = Server::of_url(&Url::parse(text).unwrap()).unwrap_err();
            assert!(!error.to_string().contains("SECRET"), "{text}: {error}");
        }
    }
}
