//! A browser without a window, driven over a pipe by the DevTools protocol.
//!
//! **Invariants**: each browser has a profile of its own, which goes away with it; a wait ends when its condition holds, and fails
//! after [`PATIENCE`].
//! **Not here**: the server ([`super::world`]).

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use serde_json::{Value, json};

use crate::common::needs;
use crate::common::server::PATIENCE;

/// The size of a window, in CSS pixels.
pub(crate) type Size = (u32, u32);

/// The window of most tests.
pub(crate) const DESK: Size = (1440, 1000);

/// A browser with one page.
pub(crate) struct Browser {
    process: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    session: String,
    /// The events since the last navigation.
    events: Vec<Value>,
    last_id: u64,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts a browser with an empty page. `None` if it is not installed, which is counted.
    #[track_caller]
    pub(crate) fn start() -> Option<Browser> {
        let program = needs::program("chromium", "chromium")?;
        let profile = tempfile::tempdir().unwrap();
        // The pipe is at descriptors 3 and 4, which the standard library cannot pass on by itself.
        let script = "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null";
        let mut process = Command::new("sh")
            .args(["-c", script])
            .arg(program)
            .args(["--remote-debugging-pipe", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--force-device-scale-factor=1", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let (send, messages) = mpsc::channel();
        std::thread::spawn(move || {
            for message in BufReader::new(output).split(0).map_while(Result::ok) {
                let _ = send.send(serde_json::from_slice(&message).unwrap());
            }
        });
        let session = String::new();
        let mut browser =
            Browser { process, input, messages, session, events: Vec::new(), last_id: 0, _profile: profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        browser.session = attached["sessionId"].as_str().unwrap().to_string();
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.size(DESK);
        Some(browser)
    }

    /// Sends a command, and returns its result. Events on the way are kept.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        let message = self.exchange(method, &params);
        assert!(message["error"].is_null(), "{method} {params}: {message}");
        message["result"].clone()
    }

    /// Sends a command, and returns the whole reply, which may be an error.
    fn exchange(&mut self, method: &str, params: &Value) -> Value {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.messages.recv_timeout(left).unwrap_or_else(|_| panic!("no reply to {method}: {params}"));
            if message["id"] == self.last_id {
                return message;
            }
            if message["method"].is_string() {
                self.events.push(message);
            }
        }
    }

    /// Opens a page, and waits until it has shown data or a notice.
    pub(crate) fn open(&mut self, url: &str) {
        self.events.clear();
        // From an empty page a fragment alone also leads to a new document.
        self.call("Page.navigate", json!({ "url": "about:blank" }));
        self.call("Page.navigate", json!({ "url": url }));
        self.wait("document.readyState === 'complete' && document.querySelector('#notice, main, body > *')");
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let params =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let result = self.call("Runtime.evaluate", params);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// The text of the first element of a selector, as a reader sees it.
    #[track_caller]
    pub(crate) fn text(&mut self, selector: &str) -> String {
        let text = self.eval(&format!("document.querySelector({}).innerText", json!(selector)));
        text.as_str().unwrap().to_string()
    }

    /// Waits until an expression is true in the page.
    #[track_caller]
    pub(crate) fn wait(&mut self, condition: &str) {
        let millis = PATIENCE.as_millis() - 5000;
        let script = format!(
            "new Promise(done => {{ const until = Date.now() + {millis}; const look = () => {{ let is = false; \
             try {{ is = !!({condition}); }} catch {{}} \
             if (is || Date.now() > until) done(is); else setTimeout(look, 20); }}; look(); }})"
        );
        // A navigation ends the script; the page after it is asked again.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let params = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
            let reply = self.exchange("Runtime.evaluate", &params);
            match reply["result"]["result"]["value"].as_bool() {
                Some(true) => return,
                None if Instant::now() < deadline => {}
                _ => {
                    let body = self.eval("document.body.innerText");
                    panic!("{condition} does not hold: {}", body.as_str().unwrap_or_default());
                }
            }
        }
    }

    /// Sets the size of the window.
    pub(crate) fn size(&mut self, (width, height): Size) {
        let params = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", params);
    }

    /// Sets the preferred scheme of colours: `light` or `dark`.
    pub(crate) fn scheme(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Presses a key: a name such as `Enter`, or one letter. `shift` holds Shift.
    pub(crate) fn press(&mut self, key: &str, shift: bool) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            " " => 32,
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            other => u32::from(other.bytes().next().unwrap().to_ascii_uppercase()),
        };
        let text = match key {
            "Enter" => "\r",
            " " => " ",
            _ => "",
        };
        for kind in ["keyDown", "keyUp"] {
            let mut params = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": if shift { 8 } else { 0 } });
            if kind == "keyDown" && !text.is_empty() {
                params["text"] = text.into();
            }
            self.call("Input.dispatchKeyEvent", params);
        }
    }

    /// Types a text into the focused control.
    pub(crate) fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Presses Tab until the focused element fits a selector.
    #[track_caller]
    pub(crate) fn tab_to(&mut self, selector: &str) {
        for _ in 0..400 {
            self.press("Tab", false);
            if self.eval(&format!("document.activeElement.matches({})", json!(selector))) == true {
                return;
            }
        }
        panic!("Tab does not lead to {selector}");
    }

    /// Clicks at a point of the window.
    pub(crate) fn click(&mut self, x: f64, y: f64) {
        for kind in ["mousePressed", "mouseReleased"] {
            let params = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", params);
        }
    }

    /// Errors of the console, exceptions, and violations of the policy, since the page was opened.
    pub(crate) fn errors(&mut self) -> Vec<String> {
        // A reply to any command comes after the events before it.
        self.eval("0");
        let is_error = |event: &&Value| match event["method"].as_str().unwrap() {
            "Runtime.exceptionThrown" => true,
            "Runtime.consoleAPICalled" => {
                ["error", "warning", "assert"].contains(&event["params"]["type"].as_str().unwrap())
            }
            "Log.entryAdded" => ["error", "warning"].contains(&event["params"]["entry"]["level"].as_str().unwrap()),
            _ => false,
        };
        self.events.iter().filter(is_error).map(|event| event["params"].to_string()).collect()
    }

    /// [`Browser::errors`] without the browser's own lines about replies with a status from 400 to 409.
    pub(crate) fn errors_but_refusals(&mut self) -> Vec<String> {
        self.errors().into_iter().filter(|error| !error.contains("with a status of 40")).collect()
    }

    /// The addresses of all requests since the page was opened.
    pub(crate) fn requests(&mut self) -> Vec<String> {
        self.eval("0");
        let sent = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["params"]["request"]["url"].as_str().unwrap().to_string()).collect()
    }

    /// The bytes of all responses since the page was opened.
    pub(crate) fn received(&mut self) -> u64 {
        self.eval("0");
        let done = self.events.iter().filter(|event| event["method"] == "Network.loadingFinished");
        done.filter_map(|event| event["params"]["encodedDataLength"].as_f64()).sum::<f64>() as u64
    }

    /// Roles and accessible names of all elements, as a screen reader gets them.
    pub(crate) fn names(&mut self) -> Vec<(String, String)> {
        let tree = self.call("Accessibility.getFullAXTree", json!({}));
        let text = |node: &Value, key: &str| node[key]["value"].as_str().unwrap_or_default().to_string();
        let nodes = tree["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] == false);
        nodes.map(|node| (text(node, "role"), text(node, "name"))).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
