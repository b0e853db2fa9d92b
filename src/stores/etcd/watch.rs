//! A watch of keys: a request whose response never ends, with a line for each change.
//!
//! **Invariants**: a watch that ends, or says nothing for a whole interval, is replaced before the caller reads, so that no change
//! falls between both; an interval has at most one attempt more than a working watch needs, so that a member that ends each
//! watch at once is not asked in a loop.
//! **Not here**: the changes themselves, which the caller reads.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::gateway::Gateway;
use super::message::{WatchLine, WatchResult, base64};
use crate::stores::{StoreError, WatchEvent};

/// The longest line that is read whole, in bytes. Only a line with changes, which have values, is longer.
const MAX_LINE: usize = 64 << 10;

/// A watch of the objects below a folder. It is opened by the first [`StoreWatch::next`].
#[derive(Debug)]
pub struct StoreWatch {
    gateway: Arc<Gateway>,
    /// The request for the keys.
    request: Value,
    /// The open watch; `None` before the first one, and if there is no member for it.
    stream: Option<WatchStream>,
}

impl StoreWatch {
    pub(super) fn new(gateway: Arc<Gateway>, start: Vec<u8>, end: Vec<u8>) -> Self {
        let range = json!({ "key": base64(start), "range_end": base64(end) });
        StoreWatch { gateway, request: json!({ "create_request": range }), stream: None }
    }

    /// Waits until something changes, for `every` at most. The caller then reads. A change between two calls is not lost. A
    /// watch that was silent for the whole interval is replaced by one at the next member, before the caller reads.
    pub async fn next(&mut self, every: Duration) -> WatchEvent {
        let ends = Instant::now() + every;
        if let Some(stream) = &mut self.stream {
            match timeout_at(ends, stream.has_change()).await {
                Ok(true) => return WatchEvent::Changed,
                // If no other watch can be opened now, the next call does, and says that something may have changed.
                Ok(false) => self.stream = None,
                Err(_) => {
                    self.gateway.prefer_next();
                    self.replace(Instant::now() + every).await;
                    return WatchEvent::Silent;
                }
            }
            self.gateway.prefer_next();
        }
        // A watch that was not open has missed changes.
        if self.replace(ends).await {
            return WatchEvent::Changed;
        }
        tokio::time::sleep_until(ends).await;
        WatchEvent::Silent
    }

    /// Opens a watch in the place of the present one. Returns whether it is open.
    async fn replace(&mut self, ends: Instant) -> bool {
        let opening = WatchStream::open(&self.gateway, &self.request);
        self.stream = timeout_at(ends, opening).await.ok().and_then(Result::ok);
        self.stream.is_some()
    }
}

/// The response of an open watch.
#[derive(Debug)]
struct WatchStream {
    body: Incoming,
    /// The bytes that are not read yet.
    unread: Vec<u8>,
}

impl WatchStream {
    /// Opens a watch, and waits until the member says that it watches.
    async fn open(gateway: &Gateway, request: &Value) -> Result<Self, StoreError> {
        let body = gateway.open("/v3/watch", request).await?;
        let mut stream = WatchStream { body, unread: Vec::new() };
        match stream.line().await {
            Some(line) if line.created && !line.canceled => Ok(stream),
            _ => {
                gateway.prefer_next();
                Err(StoreError::Strange("a member does not begin a watch".to_string()))
            }
        }
    }

    /// Waits for the next change; false if the watch ends without one.
    async fn has_change(&mut self) -> bool {
        loop {
            match self.line().await {
                None => return false,
                Some(line) if line.canceled => return false,
                Some(line) if !line.events.is_empty() => return true,
                Some(_) => {}
            }
        }
    }

    /// Reads a line; `None` if the watch ends, or its line is not one of a watch.
    async fn line(&mut self) -> Option<WatchResult> {
        let mut is_skipped = false;
        loop {
            if let Some(at) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=at).collect();
                if is_skipped {
                    return Some(WatchResult { events: vec![IgnoredAny], ..WatchResult::default() });
                }
                let WatchLine { result } = serde_json::from_slice(&line).ok()?;
                return Some(result);
            }
            if self.unread.len() > MAX_LINE {
                self.unread.clear();
                is_skipped = true;
            }
            let frame = self.body.frame().await?.ok()?;
            self.unread.extend_from_slice(frame.data_ref().map_or(&[], |bytes| &bytes[..]));
        }
    }
}
