//! One connection to a reader: the handshake, frames of data, and the end.
//!
//! **Invariants**: every wait has an end; frames of data come between START and STOP, and never in parts unless the
//! connection ends.
//! **Not here**: connecting ([`super`]), the frames ([`super::frames`]).
//!
//! Frame Streams, bidirectional: READY, ACCEPT, START, frames of data, STOP, FINISH.

use std::time::Duration;
use std::{fmt, io};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};

use super::{TapStream, TapTarget, TapWriter};
use crate::dnstap::frame::{ControlType, LEN_LEN, ReadControl, control, control_len, read_control};

/// The interval at which the rings are looked at.
const INTERVAL: Duration = Duration::from_millis(10);

/// The longest time for which a reader may take no bytes: it may be busy with its disk, but a machine that is gone answers
/// nothing at all.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest wait for a reader at the end of a connection.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// The failure of a connection.
#[derive(Debug)]
pub(super) enum SessionError {
    /// A call of the system failed.
    Io(io::Error),
    /// The reader did not answer, or took no bytes, in time.
    Timeout,
    /// The reader closed the connection.
    Closed,
    /// The bytes of the reader are not those of Frame Streams.
    Protocol,
    /// The reader does not take dnstap.
    ContentType,
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SessionError::Io(error) => error.fmt(f),
            SessionError::Timeout => f.write_str("no answer in time"),
            SessionError::Closed => f.write_str("the connection was closed"),
            SessionError::Protocol => f.write_str("the answer is not one of Frame Streams"),
            SessionError::ContentType => f.write_str("the reader does not accept `protobuf:dnstap.Dnstap`"),
        }
    }
}

impl From<io::Error> for SessionError {
    fn from(error: io::Error) -> Self {
        SessionError::Io(error)
    }
}

/// Offers dnstap to the reader, and begins if it accepts.
pub(super) async fn open(stream: &mut TapStream) -> Result<(), SessionError> {
    stream.write_all(&control(ControlType::Ready)).await?;
    let ReadControl { kind, has_dnstap } = receive(stream).await?;
    match (kind, has_dnstap) {
        (ControlType::Accept, true) => Ok(stream.write_all(&control(ControlType::Start)).await?),
        (ControlType::Accept, false) => Err(SessionError::ContentType),
        _ => Err(SessionError::Protocol),
    }
}

/// Receives a control frame.
async fn receive(stream: &mut TapStream) -> Result<ReadControl, SessionError> {
    let mut head = [0; 2 * LEN_LEN];
    stream.read_exact(&mut head).await?;
    let mut body = vec![0; control_len(head).ok_or(SessionError::Protocol)?];
    stream.read_exact(&mut body).await?;
    read_control(&body).ok_or(SessionError::Protocol)
}

/// Tells the reader that all frames are sent, and waits until it has taken these.
async fn close(stream: &mut TapStream) -> Result<(), SessionError> {
    stream.write_all(&control(ControlType::Stop)).await?;
    match receive(stream).await?.kind {
        ControlType::Finish => Ok(()),
        _ => Err(SessionError::Protocol),
    }
}

impl TapWriter {
    /// Writes frames until there is another reader, or a stop. Fails if the connection ends before that.
    pub(super) async fn write(&mut self, mut stream: TapStream, target: &TapTarget) -> Result<(), SessionError> {
        loop {
            match self.send_batch(&mut stream, target).await {
                Ok(true) => {}
                Ok(false) => {
                    let mut byte = [0];
                    tokio::select! {
                        biased;
                        () = self.asked(Some(target)) => {
                            self.end(stream, target).await;
                            return Ok(());
                        }
                        read = stream.read(&mut byte) => {
                            return Err(if read? == 0 { SessionError::Closed } else { SessionError::Protocol });
                        }
                        () = sleep(INTERVAL) => {}
                    }
                }
                // A reader that takes nothing while another is asked for is given up.
                Err(_) if self.is_asked(target) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a batch. Returns false if the rings are empty.
    async fn send_batch(&mut self, stream: &mut TapStream, target: &TapTarget) -> Result<bool, SessionError> {
        let origin = self.origin(target);
        let count = self.frames.gather(&origin);
        if count == 0 {
            return Ok(false);
        }
        let batch = std::mem::take(&mut self.frames.batch);
        let sent = tokio::select! {
            biased;
            sent = timeout(WRITE_TIMEOUT, stream.write_all(&batch)) => match sent {
                Ok(sent) => sent.map_err(SessionError::Io),
                Err(_) => Err(SessionError::Timeout),
            },
            () = async {
                self.asked(Some(target)).await;
                sleep(END_TIMEOUT).await;
            } => Err(SessionError::Timeout),
        };
        self.frames.batch = batch;
        match sent {
            Ok(()) => self.taps.written.add(count),
            Err(_) => self.taps.failed.add(count),
        }
        sent.map(|()| true)
    }

    /// Sends the copies that are left, and ends in good order if the reader takes part in that.
    async fn end(&mut self, mut stream: TapStream, target: &TapTarget) {
        let all = async {
            while self.send_batch(&mut stream, target).await? {}
            close(&mut stream).await
        };
        // The connection ends either way, and the frames that failed are counted.
        let _ = timeout(END_TIMEOUT, all).await;
    }
}
