//! TLS for a client whose own takes what the process has installed.
//!
//! `mysql_async` makes its configuration of TLS from the provider of cryptography that the process
//! has installed. It installs one where there is none, and panics where more than one could be
//! meant. A library has neither to install one nor to rely on one. So the client speaks in the
//! clear, through a socket in a directory that only this user can enter, and the relay speaks to the
//! server:
//!
//! 1. The server greets in the clear, and says whether it has TLS. The greeting is passed on.
//! 2. The client answers. The beginning of its answer, with the flag of TLS, is what asks the
//!    server for TLS; the whole answer stays here.
//! 3. TLS begins, and the server's certificate is verified.
//! 4. The answer is passed on, with the flag. The server has had one packet more than the client has
//!    sent, so the numbers of all packets differ by one until the server lets the client in.
//! 5. Every command counts from zero again, and what follows is passed on as it is.
//!
//! To the client a socket is as safe as TLS: it sends what it would send through TLS alone.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::database::tls;
use crate::error::{Error, ErrorKind, Result};

/// The most that a packet may have before the server lets the client in.
const LONGEST_LOGIN: usize = 64 * 1024;

/// The beginning of a client's answer, which it shares with the packet that asks for TLS.
const TLS_REQUEST: usize = 32;

/// The flag of TLS, in the second byte of the flags.
const WITH_TLS: u8 = 0x08;

/// What begins the packet by which a server lets a client in, and that by which it refuses.
const LET_IN: u8 = 0x00;
const REFUSED: u8 = 0xff;

/// A socket for one client, whose words reach the server encrypted.
pub(super) struct Relay {
    listener: UnixListener,
    directory: TempDir,
}

/// A packet: its number, and what it holds.
struct Packet {
    number: u8,
    content: Vec<u8>,
}

impl Relay {
    pub(super) fn new() -> Result<Self> {
        let new = || -> io::Result<Self> {
            let directory = tempfile::Builder::new().prefix("atio-mysql-").tempdir()?;
            let listener = UnixListener::bind(socket(&directory))?;
            Ok(Self {
                listener,
                directory,
            })
        };
        new().map_err(|error| {
            failed(format!(
                "there is no socket for TLS in '{}': {error}",
                std::env::temp_dir().display().to_string().escape_debug()
            ))
        })
    }

    /// Where the client connects.
    pub(super) fn socket(&self) -> Result<String> {
        let socket = socket(&self.directory).into_os_string().into_string();
        socket.map_err(|_| failed("the path of the directory for temporary files is not UTF-8"))
    }

    /// Connects the first client that comes to the server, up to where TLS has begun. A task
    /// does the rest, until one of both hangs up.
    pub(super) async fn connect(self, host: &str, port: u16, config: ClientConfig) -> Result<()> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| failed(format!("TLS needs the name of the host: {error}")))?;
        let broken =
            |error: io::Error| failed(tls::said(&error).unwrap_or_else(|| error.to_string()));
        let mut server = TcpStream::connect((host, port)).await.map_err(broken)?;
        server.set_nodelay(true).map_err(broken)?;
        let greeting = Packet::read(&mut server).await.map_err(broken)?;
        let (mut client, _) = self.listener.accept().await.map_err(broken)?;
        drop(self);
        greeting.write(&mut client).await.map_err(broken)?;
        if greeting.content.first() == Some(&REFUSED) {
            // The client tells what the server says.
            return Ok(());
        }
        if !has_tls(&greeting.content) {
            return Err(failed(
                "the server does not support TLS; sslmode=disable would send everything in the clear",
            ));
        }
        let Ok(mut answer) = Packet::read(&mut client).await else {
            // It has given up, and tells why.
            return Ok(());
        };
        let request = answer
            .with_tls()
            .ok_or_else(|| failed("the client does not speak as this version of atio expects"))?;
        request.write(&mut server).await.map_err(broken)?;
        let connector = TlsConnector::from(Arc::new(config));
        let mut server = connector.connect(name, server).await.map_err(broken)?;
        answer.number = answer.number.wrapping_add(1);
        answer.write(&mut server).await.map_err(broken)?;
        tokio::spawn(relay(client, server));
        Ok(())
    }
}

fn socket(directory: &TempDir) -> PathBuf {
    directory.path().join("socket")
}

fn failed(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Storage, why)
}

/// True if a greeting offers TLS.
fn has_tls(greeting: &[u8]) -> bool {
    // The version of the protocol; that of the server, which ends with a zero; the number of the
    // connection, four bytes; of the nonce, eight, and a zero; the flags.
    let version = greeting.iter().skip(1).position(|byte| *byte == 0);
    let flags = version.map(|length| 1 + length + 1 + 4 + 8 + 1);
    let flag = flags.and_then(|flags| greeting.get(flags + 1));
    flag.is_some_and(|flag| flag & WITH_TLS != 0)
}

/// Passes on what both say. When one of them hangs up, so do both: the server rolls back, or the
/// client learns that the connection is gone.
async fn relay(mut client: UnixStream, server: TlsStream<TcpStream>) {
    let (said, answered) = client.split();
    let (answers, requests) = tokio::io::split(server);
    tokio::select! {
        _ = pass_requests(said, requests) => {}
        _ = pass_answers(answers, answered) => {}
    }
}

/// Packets of the login get the next number. The first command has the number zero.
async fn pass_requests(
    mut client: impl AsyncRead + Unpin,
    mut server: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    loop {
        let (number, length) = Packet::read_header(&mut client).await?;
        if number == 0 {
            server.write_all(&header(number, length)).await?;
            break;
        }
        let packet = Packet::read_content(&mut client, number.wrapping_add(1), length).await?;
        packet.write(&mut server).await?;
    }
    tokio::io::copy(&mut client, &mut server).await?;
    Ok(())
}

/// Packets of the login get the number before, up to that which ends it.
async fn pass_answers(
    mut server: impl AsyncRead + Unpin,
    mut client: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    loop {
        let mut packet = Packet::read(&mut server).await?;
        packet.number = packet.number.wrapping_sub(1);
        packet.write(&mut client).await?;
        if let Some(&(LET_IN | REFUSED)) = packet.content.first() {
            break;
        }
    }
    tokio::io::copy(&mut server, &mut client).await?;
    Ok(())
}

impl Packet {
    async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let (number, length) = Self::read_header(from).await?;
        Self::read_content(from, number, length).await
    }

    /// The number of the next packet, and its length.
    async fn read_header(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(u8, usize)> {
        let mut header = [0; 4];
        from.read_exact(&mut header).await?;
        let [a, b, c, number] = header;
        let length = u32::from_le_bytes([a, b, c, 0]);
        Ok((number, usize::try_from(length).unwrap_or(usize::MAX)))
    }

    async fn read_content(
        from: &mut (impl AsyncRead + Unpin),
        number: u8,
        length: usize,
    ) -> io::Result<Self> {
        if length > LONGEST_LOGIN {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "this is no server of MySQL or MariaDB",
            ));
        }
        let mut content = vec![0; length];
        from.read_exact(&mut content).await?;
        Ok(Self { number, content })
    }

    async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let mut bytes = header(self.number, self.content.len()).to_vec();
        bytes.extend_from_slice(&self.content);
        to.write_all(&bytes).await?;
        to.flush().await
    }

    /// Sets the flag of TLS in a client's answer, and returns the packet that asks for TLS; None if
    /// this is no such answer.
    fn with_tls(&mut self) -> Option<Self> {
        if self.content.len() < TLS_REQUEST {
            return None;
        }
        self.content[1] |= WITH_TLS;
        Some(Self {
            number: self.number,
            content: self.content[..TLS_REQUEST].to_vec(),
        })
    }
}

fn header(number: u8, length: usize) -> [u8; 4] {
    let [a, b, c, ..] = length.to_le_bytes();
    [a, b, c, number]
}

#[cfg(test)]
mod tests;
