//! Keys that an operator presses.
//!
//! **Invariants**: a sequence that begins with ESC is no key.
//! **Not here**: raw mode ([`super::terminal`]).

use std::io::{self, ErrorKind, IsTerminal as _, Read as _};
use std::thread;

use tokio::sync::mpsc;

/// A key with a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TopKey {
    Quit,
    Pause,
    Sort,
    Suspend,
    Other,
}

/// The keys of standard input. If that is no terminal, there are none, and signals end the command.
pub(super) struct TopKeys {
    pressed: mpsc::Receiver<TopKey>,
    /// Keeps the channel open without a reader.
    _sender: mpsc::Sender<TopKey>,
}

impl TopKeys {
    /// Reads keys on a thread, which ends with the process. Tokio offers a descriptor that is polled only by `unsafe`.
    pub(super) fn of_stdin() -> io::Result<Self> {
        let (sender, pressed) = mpsc::channel(1);
        if io::stdin().is_terminal() {
            let sender = sender.clone();
            thread::Builder::new().name("keys".into()).spawn(move || read(&sender))?;
        }
        Ok(TopKeys { pressed, _sender: sender })
    }

    /// Waits for the next key.
    pub(super) async fn next(&mut self) -> TopKey {
        // The channel is open, because this has a sender.
        self.pressed.recv().await.unwrap_or(TopKey::Other)
    }
}

/// Reads until the terminal goes away, which is as the key to quit.
fn read(sender: &mpsc::Sender<TopKey>) {
    let mut bytes = [0; 64];
    loop {
        let key = match io::stdin().read(&mut bytes) {
            Ok(0) => TopKey::Quit,
            Ok(len) => meaning(&bytes[..len]),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => TopKey::Quit,
        };
        if sender.blocking_send(key).is_err() {
            return;
        }
    }
}

/// The first key with a meaning among bytes that came together.
fn meaning(bytes: &[u8]) -> TopKey {
    const ESCAPE: u8 = 0x1b;
    let keys = bytes.iter().take_while(|byte| **byte != ESCAPE).map(|byte| match byte {
        // Ctrl-C, Ctrl-D
        b'q' | b'Q' | 0x03 | 0x04 => TopKey::Quit,
        b'p' | b'P' | b' ' => TopKey::Pause,
        b's' | b'S' => TopKey::Sort,
        // Ctrl-Z
        0x1a => TopKey::Suspend,
        _ => TopKey::Other,
    });
    keys.into_iter().find(|key| *key != TopKey::Other).unwrap_or(TopKey::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_and_function_keys_mean_nothing() {
        for (bytes, key) in [
            (&b"q"[..], TopKey::Quit),
            (b"\x03", TopKey::Quit),
            (b"xs", TopKey::Sort),
            (b" ", TopKey::Pause),
            (b"\x1bOq", TopKey::Other),
            (b"\x1b[15~", TopKey::Other),
            (b"", TopKey::Other),
        ] {
            assert_eq!(meaning(bytes), key, "{bytes:?}");
        }
    }
}
