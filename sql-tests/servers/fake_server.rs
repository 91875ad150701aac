//! The server of the tests: it listens on a free port of the loopback, in a thread of its own.
//!
//! What it answers comes from a bucket in memory or, as a proxy, from another server; either
//! way the script decides what becomes of each request.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::bucket::Bucket;
use super::fault_script::{Apply, Reply, Script};
use super::protocol::{Dialect, error};
use super::request::Request;

/// What true answers come from.
#[derive(Debug, Clone)]
pub(super) enum Behind {
    Bucket(Dialect, &'static str, Arc<Bucket>),
    Server(SocketAddr),
}

/// A server that runs until it is dropped.
pub(super) struct Listener {
    pub(super) address: SocketAddr,
    pub(super) script: Arc<Script>,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    pub(super) fn start(behind: Behind) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Script::new());
        let service = Arc::new(Service {
            behind,
            script: Arc::clone(&script),
        });
        let (stop, stopped) = oneshot::channel::<Infallible>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, service) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            script,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Close,
    Reset,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the script says: {self:?}")
    }
}

impl Error for Ended {}

async fn accept(listener: std::net::TcpListener, service: Arc<Service>) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        // Out of descriptors, perhaps: the next one may work.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, Arc::clone(&service)));
        }
    }
}

async fn connection(stream: TcpStream, service: Arc<Service>) {
    stream.set_nodelay(true).ok();
    let service = service_fn(|request| {
        let service = Arc::clone(&service);
        Box::pin(async move { service.answer(request).await })
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let ended = std::future::poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let stream = connection.into_parts().io.into_inner();
    let ended = ended.err();
    let why = ended.as_ref().and_then(|error| error.source());
    let why = why.and_then(|why| why.downcast_ref::<Ended>().copied());
    if why == Some(Ended::Reset) {
        // Closing a socket that does not linger resets the connection.
        stream.set_zero_linger().unwrap();
    }
}

struct Service {
    behind: Behind,
    script: Arc<Script>,
}

type Body = BoxBody<Bytes, Ended>;

impl Service {
    async fn answer(
        self: Arc<Self>,
        request: hyper::Request<Incoming>,
    ) -> Result<Response<Body>, Ended> {
        let request = Request::read(request).await.map_err(|_| Ended::Close)?;
        let (apply, reply) = self.script.next(&request);
        // A task of its own: what has arrived is done, whether or not the client waits.
        let doing = tokio::spawn({
            let (service, request) = (Arc::clone(&self), request.clone());
            async move { service.apply(&request, apply).await }
        });
        let done = match apply {
            Apply::After(_) | Apply::Held | Apply::Never => None,
            Apply::Once | Apply::Twice => doing.await.unwrap(),
        };
        if reply == Reply::Late {
            self.script.hold().await;
        }
        let answer = match reply {
            Reply::Close => Err(Ended::Close),
            Reply::Reset => Err(Ended::Reset),
            Reply::Silence => std::future::pending().await,
            Reply::Status(..) => Ok(reply.status().unwrap()),
            // A test that wants the true answer to what is not done is at fault.
            Reply::True | Reply::Late | Reply::Cut(_) | Reply::Short(_) => Ok(done.unwrap()),
        };
        let status = answer.as_ref().ok().map(Response::status);
        self.script.saw(&request, status);
        Ok(body(answer?, reply))
    }

    async fn apply(&self, request: &Request, apply: Apply) -> Option<Response<Bytes>> {
        match apply {
            Apply::Never => return None,
            Apply::After(pause) => tokio::time::sleep(pause).await,
            Apply::Held => self.script.hold().await,
            Apply::Twice => drop(self.once(request).await),
            Apply::Once => {}
        }
        Some(self.once(request).await)
    }

    async fn once(&self, request: &Request) -> Response<Bytes> {
        match &self.behind {
            Behind::Bucket(dialect, name, bucket) => dialect.answer(name, bucket, request).await,
            Behind::Server(address) => match send(*address, request).await {
                Ok(answer) => answer,
                Err(_) => error(StatusCode::BAD_GATEWAY, "BadGateway"),
            },
        }
    }
}

/// Sends `request` to another server.
pub(super) async fn send(
    address: SocketAddr,
    request: &Request,
) -> Result<Response<Bytes>, Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut sent = hyper::Request::new(Full::new(request.body.clone()));
    *sent.method_mut() = request.method.clone();
    *sent.uri_mut() = request.uri.clone();
    *sent.headers_mut() = request.headers.clone();
    sent.headers_mut().remove(CONNECTION);
    let (mut head, body) = sender.send_request(sent).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    head.headers.remove(CONNECTION);
    head.headers.remove(TRANSFER_ENCODING);
    if request.method != Method::HEAD {
        head.headers.insert(CONTENT_LENGTH, body.len().into());
    }
    Ok(Response::from_parts(head, body))
}

fn body(answer: Response<Bytes>, reply: Reply) -> Response<Body> {
    let (mut head, whole) = answer.into_parts();
    let whole = match reply {
        Reply::Cut(at) => {
            head.headers.insert(CONTENT_LENGTH, whole.len().into());
            let sent = whole.slice(..at.min(whole.len()));
            let sent = futures::stream::iter([Ok(Frame::data(sent))]);
            let end = futures::stream::once(async {
                // The client is to see what was sent before.
                tokio::time::sleep(Duration::from_millis(20)).await;
                Err(Ended::Close)
            });
            return Response::from_parts(head, BoxBody::new(StreamBody::new(sent.chain(end))));
        }
        Reply::Short(by) => {
            let sent = whole.slice(..whole.len().saturating_sub(by));
            head.headers.insert(CONTENT_LENGTH, sent.len().into());
            sent
        }
        _ => whole,
    };
    let whole = Full::new(whole).map_err(|never| match never {}).boxed();
    Response::from_parts(head, whole)
}
