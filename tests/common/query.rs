//! Queries from text: the message of a case, and its circumstances.

use std::net::IpAddr;

use pharos::base::name::NameBuf;
use pharos::base::prefix::Prefix;
use pharos::base::rr::Rtype;
use pharos::mirror::Health;
use pharos::wire::Transport;

/// The ID of a query that does not say its own.
const ID: u16 = 0x1234;

/// The UDP payload of a query that says only `edns`.
const PAYLOAD: u16 = 1232;

/// A message to send, and the circumstances.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The bytes.
    pub message: Vec<u8>,
    /// The address of the sender.
    pub from: IpAddr,
    /// The transports over which the reply must be the expected one.
    pub transports: Vec<Transport>,
    /// The places at which the case can be asked: the engine alone, if a server cannot be given the circumstances.
    pub place: Place,
    /// Mirrors that are not up.
    pub health: Vec<(String, Health)>,
    /// The resolvers whose ECS option counts. `None` if all do.
    pub ecs_from: Option<Vec<Prefix>>,
    /// The length of the reply as a part of its text.
    pub size: Size,
}

/// The places at which a case can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Everywhere,
    EngineOnly,
}

/// The visibility of a reply's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Hidden,
    Shown,
}

impl Default for Asked {
    fn default() -> Self {
        Asked {
            message: Vec::new(),
            from: "127.0.0.1".parse().unwrap(),
            transports: vec![Transport::Udp, Transport::Tcp],
            place: Place::Everywhere,
            health: Vec::new(),
            ecs_from: None,
            size: Size::Hidden,
        }
    }
}

/// Reads the lines of a case that define the query: `? name type …`, or `x bytes` with `? …` for circumstances.
pub fn parse(lines: &[&str]) -> Result<Asked, String> {
    let mut asked = Asked::default();
    let mut raw: Option<Vec<u8>> = None;
    let mut query = None;
    for line in lines {
        let (kind, rest) = line.split_at(1);
        match kind {
            "x" => raw.get_or_insert_default().extend(octets(rest)?),
            _ => query = Some(Builder::read(rest, &mut asked)?),
        }
    }
    asked.message = match (raw, query) {
        (Some(raw), _) => raw,
        (None, Some(query)) => query.finish(),
        (None, None) => return Err("a case asks something".into()),
    };
    Ok(asked)
}

/// Builds a query.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    id: Option<u16>,
    flags: u16,
    question: Vec<u8>,
    edns: Option<u16>,
    version: u8,
    edns_flags: u16,
    options: Vec<u8>,
}

impl Builder {
    /// A question of class IN.
    pub fn new(name: &str, rtype: Rtype) -> Self {
        Builder { question: question(name, rtype.0, 1).unwrap(), ..Builder::default() }
    }

    /// Adds an OPT record with a payload size.
    pub fn edns(mut self, payload: u16) -> Self {
        self.edns = Some(payload);
        self
    }

    /// Sets the DO bit (and adds an OPT record).
    pub fn dnssec_ok(mut self) -> Self {
        self.edns.get_or_insert(PAYLOAD);
        self.edns_flags |= 0x8000;
        self
    }

    /// Adds a client subnet (and an OPT record).
    pub fn ecs(mut self, subnet: Prefix) -> Self {
        self.edns.get_or_insert(PAYLOAD);
        self.option(8, &ecs(subnet));
        self
    }

    fn option(&mut self, code: u16, data: &[u8]) {
        self.options.extend(code.to_be_bytes());
        self.options.extend((data.len() as u16).to_be_bytes());
        self.options.extend(data);
    }

    /// Reads `name type [class] key…` and notes circumstances in `asked`.
    fn read(text: &str, asked: &mut Asked) -> Result<Self, String> {
        let mut builder = Builder::default();
        let mut words = text.split_whitespace().peekable();
        let is_key = |word: &&str| word.contains('=') || word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        let mut positional = Vec::new();
        // A name is never mistaken for a key: it ends in a dot.
        while let Some(word) = words.next_if(|word| word.ends_with('.') || !is_key(word)) {
            positional.push(word);
        }
        if let [name, rtype, class @ ..] = &positional[..] {
            let rtype: Rtype = rtype.parse().map_err(|error| format!("`{rtype}`: {error}"))?;
            let class = match class {
                [] | ["IN"] => 1,
                ["CH"] => 3,
                ["NONE"] => 254,
                ["ANY"] => 255,
                [number] => number.strip_prefix("CLASS").and_then(|n| n.parse().ok()).ok_or("a class")?,
                _ => return Err(format!("too many words: {positional:?}")),
            };
            builder.question = question(name, rtype.0, class)?;
        } else if !positional.is_empty() {
            return Err(format!("a name and a type, not {positional:?}"));
        }
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            builder.key(key, value, asked).ok_or_else(|| format!("`{word}` is no key"))?;
        }
        Ok(builder)
    }

    fn key(&mut self, key: &str, value: &str, asked: &mut Asked) -> Option<()> {
        match key {
            "id" => self.id = Some(u16::from_str_radix(value, 16).ok()?),
            "opcode" => self.flags |= value.parse::<u16>().ok()? << 11,
            "aa" => self.flags |= 0x0400,
            "tc" => self.flags |= 0x0200,
            "rd" => self.flags |= 0x0100,
            "ra" => self.flags |= 0x0080,
            "z" => self.flags |= 0x0040,
            "ad" => self.flags |= 0x0020,
            "cd" => self.flags |= 0x0010,
            "rcode" => self.flags |= value.parse::<u16>().ok()?,
            "edns" if value.is_empty() => self.edns = Some(PAYLOAD),
            "edns" => self.edns = Some(value.parse().ok()?),
            "version" => self.version = value.parse().ok()?,
            "do" => self.edns_flags |= 0x8000,
            "ednsflags" => self.edns_flags |= u16::from_str_radix(value, 16).ok()?,
            // The host bits are dropped, as a resolver does.
            "ecs" => {
                let (address, len) = value.split_once('/')?;
                self.option(8, &ecs(Prefix::holding(address.parse().ok()?, len.parse().ok()?)));
            }
            "option" => {
                let (code, data) = value.split_once(':')?;
                self.option(code.parse().ok()?, &octets(data).ok()?);
            }
            "from" => {
                asked.from = value.parse().ok()?;
                if !asked.from.is_loopback() {
                    asked.place = Place::EngineOnly;
                }
            }
            "udp" => asked.transports = vec![Transport::Udp],
            "tcp" => asked.transports = vec![Transport::Tcp],
            "tls" => asked.transports = vec![Transport::Tls],
            "https" => asked.transports = vec![Transport::Https],
            "framed" => asked.transports = vec![Transport::Tcp, Transport::Tls],
            "encrypted" => asked.transports = vec![Transport::Tls, Transport::Https, Transport::Quic],
            "size" => asked.size = Size::Shown,
            "mirror" => {
                let (name, health) = value.split_once(':')?;
                let health = match health {
                    "down" => Health::Down,
                    "bad" => Health::Bad,
                    _ => return None,
                };
                asked.health.push((name.into(), health));
                asked.place = Place::EngineOnly;
            }
            "ecs-from" => {
                asked.ecs_from.get_or_insert_default().push(value.parse().ok()?);
                asked.place = Place::EngineOnly;
            }
            _ => return None,
        }
        if matches!(key, "version" | "do" | "ednsflags" | "ecs" | "option") {
            self.edns.get_or_insert(PAYLOAD);
        }
        Some(())
    }

    /// The bytes.
    pub fn finish(self) -> Vec<u8> {
        let mut message = self.id.unwrap_or(ID).to_be_bytes().to_vec();
        message.extend(self.flags.to_be_bytes());
        let counts = [u16::from(!self.question.is_empty()), 0, 0, u16::from(self.edns.is_some())];
        message.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
        message.extend(self.question);
        if let Some(payload) = self.edns {
            message.extend([0, 0, 41]);
            message.extend(payload.to_be_bytes());
            message.extend([0, self.version]);
            message.extend(self.edns_flags.to_be_bytes());
            message.extend((self.options.len() as u16).to_be_bytes());
            message.extend(self.options);
        }
        message
    }
}

fn question(name: &str, rtype: u16, class: u16) -> Result<Vec<u8>, String> {
    let mut wire = wire_name(name)?;
    wire.extend(rtype.to_be_bytes());
    wire.extend(class.to_be_bytes());
    Ok(wire)
}

fn wire_name(name: &str) -> Result<Vec<u8>, String> {
    let parsed = NameBuf::parse(name).map_err(|error| format!("`{name}`: {error}"))?;
    Ok(parsed.as_name().as_wire().to_vec())
}

/// The data of an ECS option with scope 0 (RFC 7871 §6).
fn ecs(subnet: Prefix) -> Vec<u8> {
    let len = subnet.prefix_len();
    let (family, address) = match subnet.first() {
        IpAddr::V4(v4) => (1, v4.octets().to_vec()),
        IpAddr::V6(v6) => (2, v6.octets().to_vec()),
    };
    [&[0, family, len, 0], &address[..usize::from(len).div_ceil(8)]].concat()
}

/// Bytes from words of hexadecimal digits, `name:www.example.net.`, and `n*word` for repetition.
fn octets(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for word in text.split_whitespace() {
        let (times, word) = match word.split_once('*') {
            Some((times, word)) => (times.parse().map_err(|_| format!("`{times}` is no number"))?, word),
            None => (1, word),
        };
        let once = match word.strip_prefix("name:") {
            Some(name) => wire_name(name)?,
            None => hex(word).ok_or_else(|| format!("`{word}` is not hexadecimal"))?,
        };
        out.extend(once.repeat(times));
    }
    Ok(out)
}

fn hex(word: &str) -> Option<Vec<u8>> {
    if !word.len().is_multiple_of(2) || !word.is_ascii() {
        return None;
    }
    (0..word.len()).step_by(2).map(|at| u8::from_str_radix(&word[at..at + 2], 16).ok()).collect()
}
