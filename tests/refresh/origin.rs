//! A publisher that answers as a test says, also as no sound server would.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Answers one request, whose header it is given.
pub(crate) type Behaviour = Box<dyn Fn(&str, &mut TcpStream) -> std::io::Result<()> + Send + Sync>;

/// A running publisher.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    behaviour: Arc<Behaviour>,
    /// The headers of all requests.
    requests: Vec<String>,
}

impl Origin {
    pub(crate) fn new(behaviour: Behaviour) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(Shared { behaviour: Arc::new(behaviour), requests: Vec::new() }));
        let state = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = state.clone();
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        Origin { address, shared }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers otherwise from now on, and forgets the requests so far.
    pub(crate) fn becomes(&self, behaviour: Behaviour) {
        let mut shared = self.shared.lock().unwrap();
        shared.behaviour = Arc::new(behaviour);
        shared.requests.clear();
    }

    /// The headers of the requests since the last change of behaviour.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.lock().unwrap().requests.clone()
    }
}

fn serve(mut stream: TcpStream, shared: &Mutex<Shared>) {
    let mut header = Vec::new();
    let mut byte = [0];
    while !header.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => header.push(byte[0]),
            _ => return,
        }
    }
    let header = String::from_utf8(header).unwrap();
    let behaviour = {
        let mut shared = shared.lock().unwrap();
        shared.requests.push(header.clone());
        shared.behaviour.clone()
    };
    // The client may have gone.
    let _ = behaviour(&header, &mut stream);
}

/// A whole response.
pub(crate) fn response(status: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{more}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Answers every request with this response.
pub(crate) fn always(response: Vec<u8>) -> Behaviour {
    Box::new(move |_, stream| stream.write_all(&response))
}

/// Sends a content.
pub(crate) fn content(body: &str) -> Behaviour {
    always(response("200 OK", "", body.as_bytes()))
}

/// Sends a content with validators; a request with one of them gets 304.
pub(crate) fn conditional(body: &str, name: &'static str, value: &'static str) -> Behaviour {
    let condition = if name == "ETag" { "if-none-match" } else { "if-modified-since" };
    let whole = response("200 OK", &format!("{name}: {value}\r\n"), body.as_bytes());
    Box::new(move |header, stream| {
        let line = format!("{condition}: {}", value.to_ascii_lowercase());
        if header.to_ascii_lowercase().contains(&line) {
            stream.write_all(&response("304 Not Modified", "", b""))
        } else {
            stream.write_all(&whole)
        }
    })
}
