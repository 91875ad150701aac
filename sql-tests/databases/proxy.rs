//! A proxy that cuts the first connection after so many bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How many bytes of the first connection come through.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    Never,
    /// From the client to the server.
    Requests(usize),
    /// From the server to the client.
    Answers(usize),
}

pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    counts: Arc<[AtomicUsize; 2]>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(super) async fn start(target: SocketAddr, cut: Cut) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let counted = Arc::clone(&counts);
        let task = tokio::spawn(async move {
            let first = AtomicBool::new(true);
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(target).await.unwrap();
                let cut = match first.swap(false, Ordering::Relaxed) {
                    true => cut,
                    false => Cut::Never,
                };
                let (requests, answers) = match cut {
                    Cut::Never => (usize::MAX, usize::MAX),
                    Cut::Requests(bytes) => (bytes, usize::MAX),
                    Cut::Answers(bytes) => (usize::MAX, bytes),
                };
                let counts = Arc::clone(&counted);
                tokio::spawn(async move {
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    // When one ends, both sockets close.
                    tokio::select! {
                        () = pass(from_client, to_server, requests, &counts[0]) => {}
                        () = pass(from_server, to_client, answers, &counts[1]) => {}
                    }
                });
            }
        });
        Self {
            address,
            counts,
            task,
        }
    }

    /// How many bytes went to the server, and came from it.
    pub(super) fn counts(&self) -> [usize; 2] {
        [0, 1].map(|at| self.counts[at].load(Ordering::Relaxed))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, most: usize, count: &AtomicUsize) {
    let mut left = most;
    let mut buffer = vec![0; 16 * 1024];
    while left > 0 {
        let Ok(read @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        let passed = read.min(left);
        if to.write_all(&buffer[..passed]).await.is_err() {
            return;
        }
        count.fetch_add(passed, Ordering::Relaxed);
        left -= passed;
    }
}
