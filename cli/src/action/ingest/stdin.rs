//! Standard input, read by a thread of its own: a read that waits cannot be given up.

use std::io::{self, Read};
use std::thread;

use tokio::sync::mpsc::{Receiver, channel};

/// Bytes that are read at once.
const PART: usize = 1 << 20;
/// Parts that are read ahead.
const AHEAD: usize = 4;

/// The bytes of standard input in parts as they come; ends with it.
///
/// The thread is not waited for: what it reads beyond the last part that was asked for is lost
/// with the process.
pub(super) fn parts() -> io::Result<Receiver<io::Result<Vec<u8>>>> {
    let (sender, receiver) = channel(AHEAD);
    thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            let mut stdin = io::stdin().lock();
            let mut buffer = vec![0; PART];
            loop {
                let part = match stdin.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(read) => Ok(buffer[..read].to_vec()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                let failed = part.is_err();
                if sender.blocking_send(part).is_err() || failed {
                    return;
                }
            }
        })?;
    Ok(receiver)
}
