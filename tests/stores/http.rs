//! A hand-written HTTP server: a handler for each request, one request per connection.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
    }
}

/// A response: status, further headers, body.
pub(crate) type Reply = (u16, Vec<(String, String)>, Vec<u8>);

/// A response without further headers.
pub(crate) fn reply(status: u16, body: &str) -> Reply {
    (status, Vec::new(), body.into())
}

/// A running server.
pub(crate) struct HttpServer {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl HttpServer {
    pub(crate) fn start(handle: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> HttpServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (handle, noted) = (Arc::new(handle), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (handle, noted) = (handle.clone(), noted.clone());
                std::thread::spawn(move || serve(stream, &*handle, &noted));
            }
        });
        HttpServer { address, asked }
    }

    /// A server that accepts connections, reads, and answers nothing.
    pub(crate) fn silent() -> HttpServer {
        HttpServer::start(|_| {
            loop {
                std::thread::park();
            }
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, handle: &dyn Fn(&Asked) -> Reply, noted: &Mutex<Vec<Asked>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_string()),
        }
    }
    let mut first = lines.first()?.split(' ');
    let (method, target) = (first.next()?.to_string(), first.next()?.to_string());
    let split =
        |line: &String| line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_string()));
    let headers: Vec<_> = lines[1..].iter().filter_map(split).collect();
    let mut asked = Asked { method, target, headers, body: Vec::new() };
    let len = asked.header("content-length").and_then(|len| len.parse().ok()).unwrap_or(0);
    asked.body.resize(len, 0);
    reader.read_exact(&mut asked.body).ok()?;
    noted.lock().unwrap().push(asked.clone());
    let (status, more, body) = handle(&asked);
    let mut head = format!("HTTP/1.1 {status} x\r\nConnection: close\r\n");
    if !matches!(status, 204 | 304) {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    for (name, value) in more {
        head += &format!("{name}: {value}\r\n");
    }
    let mut stream = reader.into_inner();
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    stream.write_all(&body).ok()
}
