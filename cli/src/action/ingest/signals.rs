//! Signals that ask the process to end.

use std::process;

use tokio::sync::oneshot;

use crate::failure::Failure;

/// The first signal, which is to be answered by committing what has come. A second one ends
/// the process at once.
pub(super) struct Signal(oneshot::Receiver<u8>);

impl Signal {
    /// From here on it does not end the process.
    pub(super) fn catch() -> Result<Self, Failure> {
        let mut signals = Signals::catch()?;
        let (sender, first) = oneshot::channel();
        tokio::spawn(async move {
            // Where nobody waits any more, the run is about to end.
            sender.send(signals.next().await).ok();
            let number = signals.next().await;
            // What hangs in a system call would hold up an orderly end as well.
            process::exit(128 + i32::from(number));
        });
        Ok(Self(first))
    }

    /// Waits for it; returns its number.
    pub(super) async fn number(&mut self) -> u8 {
        match (&mut self.0).await {
            Ok(number) => number,
            Err(_) => std::future::pending().await,
        }
    }
}

struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

/// What Ctrl-C sends.
const SIGINT: u8 = 2;

impl Signals {
    #[cfg(unix)]
    fn catch() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let catch = |kind| {
            signal(kind).map_err(|error| Failure::new(format!("signals cannot be caught: {error}")))
        };
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
        })
    }

    #[cfg(not(unix))]
    fn catch() -> Result<Self, Failure> {
        Ok(Self {})
    }

    /// The number of the next one.
    #[cfg(unix)]
    async fn next(&mut self) -> u8 {
        const SIGTERM: u8 = 15;
        tokio::select! {
            _ = self.interrupt.recv() => SIGINT,
            _ = self.terminate.recv() => SIGTERM,
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) -> u8 {
        // It fails only where there are none, and then none comes.
        match tokio::signal::ctrl_c().await {
            Ok(()) => SIGINT,
            Err(_) => std::future::pending().await,
        }
    }
}
