//! A server with two mirrors that have credentials, and updates signed by these.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use pharos::base::name::NameBuf;
use pharos::base::rr::Rtype;
use pharos::base::time::UnixTime;
use pharos::base::tsig::{Algorithm, Key};
use pharos::wire::tsig::Exchange;
use tempfile::TempDir;

use super::common::query::Builder;
use super::common::server::{PATIENCE, Server};

pub const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub const SHARED: &str = "_acme-challenge.blob.example";
pub const OWN: &str = "_acme-challenge.one.blob.example";

/// The classes of records in updates.
pub const IN: u16 = 1;
pub const NONE: u16 = 254;
pub const ANY: u16 = 255;

pub const ZONE: &str = "$ORIGIN blob.example.\n$TTL 300\n@ SOA ns hostmaster 7 3600 600 86400 60\n@ NS ns\n@ NS ns2\nns A \
                        192.0.2.53\nns2 A 192.0.2.54\none CAA 0 issue \"ca.example\"\nwild TXT x\n";

/// The secret of a credential's key, in base64.
pub fn secret(credential: &str) -> String {
    data_encoding::BASE64.encode(&secret_bytes(credential))
}

fn secret_bytes(credential: &str) -> Vec<u8> {
    format!("{credential:>32}").into_bytes()
}

/// A configuration whose zone steers its apex and `*.wild` to the mirrors `one` and `two`; `credentials` are those of each.
pub fn config(listen: &str, credentials: [&str; 2]) -> String {
    let keys: String = ["one", "two", "transfer"]
        .map(|name| {
            format!("[keys.\"{name}.mirrors.example\"]\nalgorithm = \"hmac-sha256\"\nsecret = \"{}\"\n", secret(name))
        })
        .concat();
    let [one, two] = credentials;
    format!(
        "allow = [\"private-address\", \"unused-acme\", \"servers-without-peers\"]\n[dns]\nlisten = {listen}\n[acme]\nstate = \"acme.json\"\n{keys}\
         [[zone]]\nname = \"blob.example\"\nfile = \"zone\"\n\
         steer = [{{ owner = \"@\", horizon = \"all\" }}, {{ owner = \"*.wild\", horizon = \"all\", ttl = 30 }}]\n\
         transfer = {{ allow = \"key:transfer.mirrors.example\", steered = \"default\" }}\n\
         [mirrors.one]\naddresses = [\"127.0.0.11\", \"::1\"]\n{one}\n[mirrors.two]\naddresses = [\"127.0.0.12\", \"2001:db8::2\"]\n{two}\n\
         [horizons.all]\ndefault = [\"one\", \"two\"]\n"
    )
}

/// The same with a listener for requests over HTTP.
pub fn http_config(credentials: [&str; 2]) -> String {
    config("[\"127.0.0.1:0\"]", credentials).replace("[acme]\n", "[acme]\nlisten = \"127.0.0.1:0\"\n")
}

pub const ONE: &str = "acme = [{ key = \"one.mirrors.example\" }]";
pub const TWO: &str = "acme = [{ key = \"two.mirrors.example\", allow = [\"127.0.0.0/8\"] }]";

/// A running server with its folder.
pub struct World {
    pub folder: TempDir,
    pub server: Server,
    pub address: SocketAddr,
}

impl World {
    pub fn start() -> World {
        World::start_with(&config("[\"127.0.0.1:0\"]", [ONE, TWO]))
    }

    pub fn start_with(config: &str) -> World {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("zone"), ZONE).unwrap();
        fs::write(folder.path().join("pharos.toml"), config).unwrap();
        let server = Server::start(&folder.path().join("pharos.toml"));
        let address = server.address(HERE);
        World { folder, server, address }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The listener for requests over HTTP.
    pub fn http(&self) -> SocketAddr {
        self.server.listener("ACME challenges", HERE)
    }

    /// Ends the process as `kill -9` does, and starts it again.
    pub fn kill_and_restart(self) -> World {
        let World { folder, server, .. } = self;
        drop(server);
        let server = Server::start(&folder.path().join("pharos.toml"));
        let address = server.address(HERE);
        World { folder, server, address }
    }

    pub fn reload_with(&self, config: &str) {
        fs::write(self.path().join("pharos.toml"), config).unwrap();
        self.server.signal("HUP");
        self.server.wait_for("reloaded");
    }

    /// The tokens at an owner, by their numbers, in the order of the answer.
    pub fn tokens(&self, owner: &str) -> Vec<u8> {
        let reply = self.ask(owner, Rtype::TXT);
        assert_eq!(reply.metadata.response_code, ResponseCode::NoError, "{owner} exists");
        assert!(reply.answers.iter().all(|record| record.ttl == 0));
        if reply.answers.is_empty() {
            assert_eq!(reply.authorities[0].ttl, 0, "the absence is not kept");
        }
        reply.answers.iter().map(|record| record.data.to_string().trim_matches('"').parse().unwrap()).collect()
    }

    pub fn ask(&self, name: &str, rtype: Rtype) -> Message {
        let reply = tcp(self.address, &Builder::new(name, rtype).finish());
        Message::from_vec(&reply).unwrap()
    }

    /// The addresses of a name, with their TTL.
    pub fn addresses(&self, name: &str) -> Vec<String> {
        let of = |rtype| self.ask(name, rtype).answers;
        let records = [of(Rtype::A), of(Rtype::AAAA)].concat();
        let addresses =
            records.iter().filter(|record| [RecordType::A, RecordType::AAAA].contains(&record.record_type()));
        addresses.map(|record| format!("{} {}", record.ttl, record.data)).collect()
    }

    /// The serial of the zone.
    pub fn serial(&self) -> String {
        self.ask("blob.example", Rtype::SOA).answers[0].data.to_string()
    }

    /// The response code of an update over UDP, whose reply must be signed.
    pub fn send(&self, by: &str, changes: &[Change<'_>]) -> u8 {
        let mut signed = Signed::new(by, changes);
        let reply = udp(self.address, &signed.message);
        signed.verified(&reply)
    }

    /// The same over TCP.
    pub fn send_tcp(&self, by: &str, changes: &[Change<'_>]) -> u8 {
        let mut signed = Signed::new(by, changes);
        let reply = tcp(self.address, &signed.message);
        signed.verified(&reply)
    }
}

/// A change of an update: owner, type, class and rdata.
pub type Change<'c> = (&'c str, Rtype, u16, Vec<u8>);

pub fn token(number: u8) -> String {
    format!("{number:043}")
}

fn rdata(number: u8) -> Vec<u8> {
    [&[43][..], token(number).as_bytes()].concat()
}

pub fn add(owner: &str, number: u8) -> Change<'_> {
    (owner, Rtype::TXT, IN, rdata(number))
}

pub fn remove(owner: &str, number: u8) -> Change<'_> {
    (owner, Rtype::TXT, NONE, rdata(number))
}

pub fn remove_all(owner: &str, rtype: Rtype) -> Change<'_> {
    (owner, rtype, ANY, Vec::new())
}

/// A signed update.
pub struct Signed {
    pub message: Vec<u8>,
    exchange: Exchange,
}

pub fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

impl Signed {
    pub fn new(by: &str, changes: &[Change<'_>]) -> Signed {
        let name = NameBuf::parse(&format!("{by}.mirrors.example")).unwrap();
        let key = Arc::new(Key::new(name.as_name(), Algorithm::ALL[0], &secret_bytes(by)).unwrap());
        let mut message = unsigned(changes);
        let exchange = Exchange::begin(&key, &mut message, now());
        Signed { message, exchange }
    }

    /// The code of a reply, which must be signed.
    pub fn verified(&mut self, reply: &[u8]) -> u8 {
        assert_eq!(self.exchange.verify(reply, now()), Ok(()), "{reply:02x?}");
        assert_eq!((reply[..2].to_vec(), reply[2]), (self.message[..2].to_vec(), 0x80 | 5 << 3));
        reply[3] & 0x0f
    }
}

/// An update without a signature.
pub fn unsigned(changes: &[Change<'_>]) -> Vec<u8> {
    let name = |text: &str| NameBuf::parse(text).unwrap().as_name().as_wire().to_vec();
    let mut message = vec![0x12, 0x34, 5 << 3, 0, 0, 1, 0, 0, 0, changes.len() as u8, 0, 0];
    message.extend([name("blob.example"), vec![0, 6, 0, 1]].concat());
    for (owner, rtype, class, rdata) in changes {
        message.extend(name(owner));
        message.extend([rtype.0.to_be_bytes(), class.to_be_bytes(), [0, 0], [0, 0]].concat());
        message.extend((rdata.len() as u16).to_be_bytes());
        message.extend(rdata);
    }
    message
}

/// Sends a datagram, and waits for the reply.
pub fn udp(server: SocketAddr, message: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind((HERE, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(server).unwrap();
    socket.send(message).unwrap();
    let mut reply = vec![0; 4096];
    let len = socket.recv(&mut reply).unwrap();
    reply.truncate(len);
    reply
}

/// Sends messages over one connection, and returns the reply to each.
pub fn pipelined(server: SocketAddr, messages: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let framed = |message: &&[u8]| [&(message.len() as u16).to_be_bytes()[..], message].concat();
    stream.write_all(&messages.iter().flat_map(framed).collect::<Vec<u8>>()).unwrap();
    let one = |_: &&[u8]| {
        let mut len = [0; 2];
        stream.read_exact(&mut len).unwrap();
        let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut reply).unwrap();
        reply
    };
    messages.iter().map(one).collect()
}

pub fn tcp(server: SocketAddr, message: &[u8]) -> Vec<u8> {
    pipelined(server, &[message]).remove(0)
}
