//! The real binary as a process, and clients for it.

use std::cell::RefCell;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use pharos::base::rr::Rtype;
use socket2::{Domain, Socket, Type};

use super::query::Builder;

/// The deadline of any wait, so that a test fails instead of hanging.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running server; it is killed when dropped.
pub struct Server {
    process: Child,
    lines: Receiver<String>,
    /// The log lines of the start.
    pub start_lines: Vec<String>,
    addresses: Vec<SocketAddr>,
    /// Every listener's address with the server's description of the listener.
    listeners: RefCell<Vec<(SocketAddr, String)>>,
}

impl Server {
    /// Starts the binary and waits until it says that it serves.
    pub fn start(config: &Path) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
        command.arg("serve").arg("--config").arg(config);
        Server::run(command)
    }

    /// The same with variables of the environment, whose values are paths.
    pub fn start_with(config: &Path, variables: &[(&str, &Path)]) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
        command.arg("serve").arg("--config").arg(config).envs(variables.iter().copied());
        Server::run(command)
    }

    /// The same in the network namespace of a process.
    pub fn start_in_network(config: &Path, process: u32) -> Server {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{process}/ns/net")).arg(env!("CARGO_BIN_EXE_pharos"));
        command.arg("serve").arg("--config").arg(config);
        Server::run(command)
    }

    /// The same with no more open files than this.
    pub fn start_with_open_files(config: &Path, limit: u32) -> Server {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit -n {limit}; exec \"$0\" \"$@\"")).arg(env!("CARGO_BIN_EXE_pharos"));
        command.arg("serve").arg("--config").arg(config);
        Server::run(command)
    }

    /// The same with its standard output in a file, pipe or device.
    pub fn start_with_output(config: &Path, output: &Path) -> Server {
        let mut command = Command::new("sh");
        command.arg("-c").arg("exec \"$0\" serve --config \"$1\" >>\"$2\"").arg(env!("CARGO_BIN_EXE_pharos"));
        command.arg(config).arg(output);
        Server::run(command)
    }

    /// The same with mounts of its own, which a script makes first.
    pub fn start_with_mounts(config: &Path, setup: &str) -> Server {
        let mut command = Command::new("unshare");
        let script = format!("{setup}; exec \"$0\" serve --config \"$1\"");
        command.args(["-m", "sh", "-c", &script, env!("CARGO_BIN_EXE_pharos")]).arg(config);
        Server::run(command)
    }

    fn run(mut command: Command) -> Server {
        command.env_remove("NOTIFY_SOCKET").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        let (send, lines) = mpsc::channel();
        // Goes on reading, so that the server never waits for the pipe; ends with the process.
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let (start_lines, addresses) = (Vec::new(), Vec::new());
        let mut server = Server { process, lines, start_lines, addresses, listeners: RefCell::default() };
        server.start_lines = server.wait_for("serving ");
        let listeners = server.listeners.borrow();
        let plain = listeners.iter().filter(|(_, what)| what.contains("DNS over UDP"));
        let addresses = plain.map(|(address, _)| *address).collect();
        drop(listeners);
        server.addresses = addresses;
        server
    }

    /// Waits for a log line with this text, and returns all lines up to it.
    pub fn wait_for(&self, text: &str) -> Vec<String> {
        let (mut said, deadline) = (Vec::new(), Instant::now() + PATIENCE);
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.note_listener(&line);
                    said.push(line);
                }
                Err(RecvTimeoutError::Timeout) => panic!("the server did not say `{text}` in time: {said:#?}"),
                Err(RecvTimeoutError::Disconnected) => panic!("the server ended: {said:#?}"),
            }
            if said.last().is_some_and(|line| line.contains(text)) {
                return said;
            }
        }
    }

    /// The log lines since the last read, without waiting.
    pub fn lines(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Returns whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// Its resident memory, in KiB.
    pub fn memory_kib(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel says how much");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Waits for some time, in which the server must not end, and returns the lines that it wrote.
    pub fn wait_for_nothing_in(&self, time: Duration) -> Vec<String> {
        let (mut said, until) = (Vec::new(), Instant::now() + time);
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => said.push(line),
                Err(RecvTimeoutError::Timeout) => return said,
                Err(RecvTimeoutError::Disconnected) => panic!("the server ended"),
            }
        }
    }

    /// The address of the listener with this description, in the family of an address.
    pub fn listener(&self, what: &str, family_of: IpAddr) -> SocketAddr {
        let find = || {
            let listeners = self.listeners.borrow();
            let mut fitting = listeners.iter().filter(|(address, _)| address.is_ipv4() == family_of.is_ipv4());
            fitting.find(|(_, said)| said.contains(what)).map(|(address, _)| *address)
        };
        // HTTP listeners for other purposes than DNS are announced last, when all others serve.
        find().unwrap_or_else(|| {
            self.wait_for(what);
            find().unwrap_or_else(|| panic!("no listener for {what}"))
        })
    }

    /// The descriptions of the listeners that the server has announced so far.
    pub fn announced(&self) -> Vec<String> {
        self.listeners.borrow().iter().map(|(_, what)| what.clone()).collect()
    }

    fn note_listener(&self, line: &str) {
        if let Some((_, rest)) = line.split_once("listening on ")
            && let Some((address, what)) = rest.split_once(' ')
        {
            let address = address.parse().unwrap_or_else(|_| panic!("no address: {line}"));
            self.listeners.borrow_mut().push((address, what.to_string()));
        }
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The CPU time of the process, in hundredths of a second.
    pub fn cpu_time(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// The metrics page. The config must have an admin listener on 127.0.0.1.
    pub fn metrics(&self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut stream = TcpStream::connect(self.listener("health and metrics", [127, 0, 0, 1].into())).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
            let mut page = String::new();
            stream.read_to_string(&mut page).unwrap();
            if page.starts_with("HTTP/1.0 200") {
                return page.split_once("\r\n\r\n").unwrap().1.to_string();
            }
            // Until everything has started there is nothing to show.
            assert!(page.starts_with("HTTP/1.0 503") && Instant::now() < deadline, "{page}");
        }
    }

    /// The value of a line of [`Server::metrics`].
    pub fn metric(&self, line: &str) -> u64 {
        let page = self.metrics();
        let found = page.lines().find_map(|other| other.strip_prefix(line)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or_else(|| panic!("no {line} in {page}"))
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for the end of the process, and returns its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }

    /// The address at which it answers DNS, in the family of an address.
    pub fn address(&self, family_of: IpAddr) -> SocketAddr {
        *self.addresses.iter().find(|address| address.is_ipv4() == family_of.is_ipv4()).expect("a listener")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A query that is always answered. If its reply comes first, the message before it gets no reply.
pub fn sentinel() -> Vec<u8> {
    let mut message = Builder::new("example.net.", Rtype::SOA).finish();
    message[..2].copy_from_slice(&0xfeedu16.to_be_bytes());
    message
}

/// Returns whether a reply is the one to [`sentinel`], and not to the message before it.
pub fn is_sentinel(message: &[u8], reply: &[u8]) -> bool {
    message.get(..2) != Some(&[0xfe, 0xed]) && reply.starts_with(&[0xfe, 0xed])
}

/// Sends a datagram from an address; `None` if it gets no reply.
pub fn ask_udp(message: &[u8], from: IpAddr, server: SocketAddr) -> io::Result<Option<Vec<u8>>> {
    let socket = UdpSocket::bind((from, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(server)?;
    socket.send(message)?;
    // One socket is served by one thread, so this one's reply comes second if there is a first.
    socket.send(&sentinel())?;
    let (mut reply, mut room) = (None, vec![0; 65535]);
    // Wait for both replies: the next socket on this port would take the second one for its own.
    loop {
        let len = socket.recv(&mut room)?;
        if is_sentinel(message, &room[..len]) {
            return Ok(reply);
        }
        reply.get_or_insert_with(|| room[..len].to_vec());
    }
}

/// Sends a message over a connection from an address; `None` if it gets no reply.
pub fn ask_tcp(message: &[u8], from: IpAddr, server: SocketAddr) -> io::Result<Option<Vec<u8>>> {
    let domain = if server.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.connect(&server.into())?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut octets = Vec::new();
    for message in [message, &sentinel()] {
        octets.extend((message.len() as u16).to_be_bytes());
        octets.extend(message);
    }
    stream.write_all(&octets)?;
    let mut len = [0; 2];
    match stream.read_exact(&mut len) {
        Ok(()) => {}
        // A server may close the connection after bytes that are not a message.
        Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    }
    let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut reply)?;
    Ok((!is_sentinel(message, &reply)).then_some(reply))
}
