//! A proxy that cuts the first connection after so many bytes, and can keep later ones away.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How much of the first connection comes through.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    Never,
    /// So many bytes from the client to the server.
    Requests(usize),
    /// So many bytes from the server to the client.
    Answers(usize),
    /// What the client sends before these words.
    RequestsBefore(&'static str),
    /// What the server sends before these words.
    AnswersBefore(&'static str),
}

/// Where one way of a connection ends.
#[derive(Clone, Copy)]
enum End {
    Never,
    After(usize),
    Before(&'static str),
}

pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    counts: Arc<[AtomicUsize; 2]>,
    /// How many later connections are hung up on.
    refused: Arc<AtomicUsize>,
    /// Whether later connections come through.
    door: watch::Sender<bool>,
    /// Whether the first connection was cut, or ended by itself.
    ended: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Hangs up at the cut.
    pub(super) async fn start(target: SocketAddr, cut: Cut) -> Self {
        Self::start_as(target, cut, false).await
    }

    /// Passes nothing on after the cut, and does not hang up.
    pub(super) async fn silent(target: SocketAddr, cut: Cut) -> Self {
        Self::start_as(target, cut, true).await
    }

    async fn start_as(target: SocketAddr, cut: Cut, silent: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let refused = Arc::new(AtomicUsize::new(0));
        let (door, open) = watch::channel(true);
        let (end, ended) = watch::channel(false);
        let (counted, refuse, end) = (Arc::clone(&counts), Arc::clone(&refused), Arc::new(end));
        let task = tokio::spawn(async move {
            let first = AtomicBool::new(true);
            while let Ok((client, _)) = listener.accept().await {
                let first = first.swap(false, Ordering::Relaxed);
                let one_less = |count: usize| count.checked_sub(1);
                let refused = refuse.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
                if !first && refused.is_ok() {
                    continue;
                }
                let (requests, answers) = match cut {
                    _ if !first => (End::Never, End::Never),
                    Cut::Never => (End::Never, End::Never),
                    Cut::Requests(bytes) => (End::After(bytes), End::Never),
                    Cut::Answers(bytes) => (End::Never, End::After(bytes)),
                    Cut::RequestsBefore(words) => (End::Before(words), End::Never),
                    Cut::AnswersBefore(words) => (End::Never, End::Before(words)),
                };
                let silent = silent && first;
                let (counts, end, mut open) =
                    (Arc::clone(&counted), Arc::clone(&end), open.clone());
                tokio::spawn(async move {
                    if !first {
                        open.wait_for(|open| *open).await.ok();
                    }
                    let server = TcpStream::connect(target).await.unwrap();
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    let answers = async {
                        pass(from_server, to_client, answers, &counts[1], silent).await;
                    };
                    // When one ends, both sockets close.
                    tokio::select! {
                        () = pass(from_client, to_server, requests, &counts[0], silent) => {}
                        () = answers => {}
                    }
                    if first {
                        end.send_replace(true);
                    }
                });
            }
        });
        Self {
            address,
            counts,
            refused,
            door,
            ended,
            task,
        }
    }

    /// How many bytes went to the server, and came from it.
    pub(super) fn counts(&self) -> [usize; 2] {
        [0, 1].map(|at| self.counts[at].load(Ordering::Relaxed))
    }

    /// Hangs up on so many connections after the first.
    pub(super) fn refuse(&self, connections: usize) {
        self.refused.store(connections, Ordering::Relaxed);
    }

    /// Whether connections after the first come through, or wait.
    pub(super) fn open(&self, open: bool) {
        self.door.send_replace(open);
    }

    /// Waits until the first connection has ended.
    pub(super) async fn ended(&self) {
        self.ended.clone().wait_for(|ended| *ended).await.unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes bytes on until the end. `silent`: then keeps the sockets open.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    end: End,
    count: &AtomicUsize,
    silent: bool,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let done = count.load(Ordering::Relaxed);
        if matches!(end, End::After(most) if done == most) {
            break;
        }
        let Ok(read @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        let most = match end {
            End::Never => read,
            End::After(most) => read.min(most - done),
            End::Before(words) => {
                let mut windows = buffer[..read].windows(words.len());
                windows
                    .position(|window| window == words.as_bytes())
                    .unwrap_or(read)
            }
        };
        if to.write_all(&buffer[..most]).await.is_err() {
            return;
        }
        count.fetch_add(most, Ordering::Relaxed);
        if most < read {
            break;
        }
    }
    if silent {
        std::future::pending::<()>().await;
    }
}
