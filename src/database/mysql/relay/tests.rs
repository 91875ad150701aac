//! A relay between a client and a server that the tests play.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::database::server::Tls;

const COMMAND: [u8; 5] = [1, 0, 0, 0, b'c'];
const RESULT: [u8; 5] = [1, 0, 0, 1, b'r'];

fn packet(number: u8, content: &[u8]) -> Packet {
    Packet {
        number,
        content: content.to_vec(),
    }
}

async fn expect(from: &mut (impl AsyncRead + Unpin), number: u8, content: &[u8]) {
    let packet = Packet::read(from).await.unwrap();
    assert_eq!((packet.number, packet.content), (number, content.to_vec()));
}

fn greeting(flags: u8) -> Packet {
    let mut content = b"\x0a10.11.8-MariaDB\0".to_vec();
    content.extend([1, 0, 0, 0]);
    content.extend(*b"noncenon\0");
    content.extend([0xff, flags]);
    content.extend([0; 30]);
    packet(0, &content)
}

fn unverified() -> ClientConfig {
    tls::client_config(&Tls::Unverified).unwrap().unwrap()
}

/// A relay, a client that has come to its socket, and where that is.
async fn relay_with_client() -> (Relay, UnixStream, PathBuf) {
    let relay = Relay::new().unwrap();
    let socket = PathBuf::from(relay.socket().unwrap());
    let client = UnixStream::connect(&socket).await.unwrap();
    (relay, client, socket)
}

/// Where the server of a test listens, and its port.
async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Ends what waits for ever.
async fn in_time<T>(work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(Duration::from_secs(10), work).await;
    done.unwrap()
}

#[tokio::test]
async fn login_is_numbered_for_both_and_commands_pass_as_they_are() {
    let (listener, port) = listen().await;
    let (relay, mut client, socket) = relay_with_client().await;
    let connect = relay.connect("127.0.0.1", port, unverified());
    let server = async {
        let (mut server, _) = listener.accept().await.unwrap();
        greeting(WITH_TLS).write(&mut server).await.unwrap();
        let mut asked = [b'a'; TLS_REQUEST];
        asked[1] |= WITH_TLS;
        expect(&mut server, 1, &asked).await;
        let acceptor = TlsAcceptor::from(Arc::new(tls::tests::server()));
        let mut server = acceptor.accept(server).await.unwrap();
        let mut answer = [b'a'; 50];
        answer[1] |= WITH_TLS;
        expect(&mut server, 2, &answer).await;
        packet(3, b"\x01\x04").write(&mut server).await.unwrap();
        expect(&mut server, 4, b"password\0").await;
        packet(5, &[LET_IN]).write(&mut server).await.unwrap();
        for _ in 0..2 {
            let mut command = [0; 5];
            server.read_exact(&mut command).await.unwrap();
            assert_eq!(command, COMMAND);
            server.write_all(&RESULT).await.unwrap();
            server.flush().await.unwrap();
        }
        // The client has gone.
        let end = server.read(&mut [0; 5]).await;
        assert_eq!(end.unwrap_or(0), 0);
    };
    let client = async move {
        expect(&mut client, 0, &greeting(WITH_TLS).content).await;
        packet(1, &[b'a'; 50]).write(&mut client).await.unwrap();
        expect(&mut client, 2, b"\x01\x04").await;
        packet(3, b"password\0").write(&mut client).await.unwrap();
        expect(&mut client, 4, &[LET_IN]).await;
        for _ in 0..2 {
            client.write_all(&COMMAND).await.unwrap();
            expect(&mut client, 1, b"r").await;
        }
        drop(client);
    };
    let all = async { tokio::join!(connect, server, client) };
    let (connected, (), ()) = in_time(all).await;
    connected.unwrap();
    assert!(!socket.parent().unwrap().exists());
}

#[tokio::test]
async fn server_without_tls_hears_nothing() {
    let (listener, port) = listen().await;
    let (relay, mut client, _) = relay_with_client().await;
    let connect = relay.connect("127.0.0.1", port, unverified());
    let server = async {
        let (mut server, _) = listener.accept().await.unwrap();
        greeting(!WITH_TLS).write(&mut server).await.unwrap();
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"");
    };
    packet(1, b"a name and a password that nobody must see")
        .write(&mut client)
        .await
        .unwrap();
    let (connected, ()) = in_time(async { tokio::join!(connect, server) }).await;
    assert_eq!(
        connected.unwrap_err().message(),
        "the server does not support TLS; sslmode=disable would send everything in the clear"
    );
}

#[tokio::test]
async fn what_is_said_in_the_clear_after_the_greeting_is_not_passed_on() {
    let (listener, port) = listen().await;
    let (relay, mut client, _) = relay_with_client().await;
    let connect = relay.connect("127.0.0.1", port, unverified());
    let server = async {
        let (mut server, _) = listener.accept().await.unwrap();
        greeting(WITH_TLS).write(&mut server).await.unwrap();
        packet(2, &[LET_IN]).write(&mut server).await.unwrap();
        server
    };
    packet(1, &[b'a'; 50]).write(&mut client).await.unwrap();
    let (connected, _server) = in_time(async { tokio::join!(connect, server) }).await;
    let error = connected.unwrap_err();
    assert!(error.message().starts_with("TLS failed: "), "{error}");
    expect(&mut client, 0, &greeting(WITH_TLS).content).await;
    assert!(Packet::read(&mut client).await.is_err());
}

#[tokio::test]
async fn refusal_in_place_of_a_greeting_reaches_the_client() {
    let (listener, port) = listen().await;
    let (relay, mut client, _) = relay_with_client().await;
    let connect = relay.connect("127.0.0.1", port, unverified());
    let refusal = b"\xff\x10\x04Too many connections";
    let server = async {
        let (mut server, _) = listener.accept().await.unwrap();
        packet(0, refusal).write(&mut server).await.unwrap();
    };
    let (connected, ()) = in_time(async { tokio::join!(connect, server) }).await;
    connected.unwrap();
    expect(&mut client, 0, refusal).await;
}
