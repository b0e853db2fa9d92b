//! The copies that `fstrm_capture` has taken, decoded here and by `dnstap-ldns`.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::common::needs;

/// The content type of dnstap.
pub const TYPE: &str = "protobuf:dnstap.Dnstap";

/// `fstrm_capture`, which writes all frames to a file.
pub struct Capture {
    process: Child,
    file: PathBuf,
}

impl Capture {
    /// Reads from a socket. `None` if a program is missing.
    pub fn start(folder: &Path, name: &str) -> Option<Capture> {
        let program = needs::program("fstrm_capture", "fstrm-bin")?;
        needs::program("dnstap-ldns", "dnstap-ldns")?;
        let (socket, file) = (folder.join("dnstap.sock"), folder.join(name));
        // The socket of a reader that was killed is left.
        let _ = fs::remove_file(&socket);
        let mut command = Command::new(program);
        command.args(["-t", TYPE, "-u"]).arg(&socket).arg("-w").arg(&file);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Some(Capture { process, file })
    }

    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.process.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// The copies that it has, once the sender has ended.
    pub fn finish(mut self) -> Vec<Copy> {
        self.signal("INT");
        self.process.wait().unwrap();
        let bytes = fs::read(&self.file).unwrap();
        let frames = frames(&bytes);
        let mut copies: Vec<Copy> = frames.iter().map(|frame| Copy::read(frame)).collect();
        let quiet = read_by_ldns("-q", &self.file);
        assert_eq!(quiet.lines().count(), copies.len(), "dnstap-ldns reads all: {quiet}");
        // The program is older than the other transports, and its long form ends at the first that it does not know.
        let is_known = |copy: &Copy| matches!(copy.number(SOCKET_PROTOCOL), Some(1 | 2));
        let known: Vec<&[u8]> =
            frames.iter().zip(&copies).filter(|(_, copy)| is_known(copy)).map(|(frame, _)| *frame).collect();
        let file = self.file.with_extension("known");
        fs::write(&file, stream(&known)).unwrap();
        let text = read_by_ldns("-y", &file);
        let mut texts = text.split("\n---\n").filter(|text| text.contains("type: MESSAGE"));
        for copy in copies.iter_mut().filter(|copy| is_known(copy)) {
            copy.text = texts.next().unwrap().to_string();
        }
        assert!(texts.next().is_none());
        copies
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read_by_ldns(form: &str, file: &Path) -> String {
    let output = Command::new("dnstap-ldns").args([form, "-r"]).arg(file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The frames of data of a file, which ends in good order.
fn frames(mut bytes: &[u8]) -> Vec<&[u8]> {
    let (mut found, mut controls) = (Vec::new(), Vec::new());
    while !bytes.is_empty() {
        let (len, rest) = take(bytes);
        if len > 0 {
            let (frame, rest) = rest.split_at(len);
            found.push(frame);
            bytes = rest;
        } else {
            let (len, rest) = take(rest);
            controls.push(take(rest).0);
            bytes = &rest[len..];
        }
    }
    assert_eq!(controls, [2, 3], "START and STOP");
    found
}

fn take(bytes: &[u8]) -> (usize, &[u8]) {
    let (number, rest) = bytes.split_first_chunk().unwrap();
    (u32::from_be_bytes(*number) as usize, rest)
}

/// Frames as a file.
fn stream(frames: &[&[u8]]) -> Vec<u8> {
    let numbers =
        |numbers: &[usize]| numbers.iter().flat_map(|number| (*number as u32).to_be_bytes()).collect::<Vec<u8>>();
    let mut all = numbers(&[0, 12 + TYPE.len(), 2, 1, TYPE.len()]);
    all.extend(TYPE.bytes());
    for frame in frames {
        all.extend(numbers(&[frame.len()]));
        all.extend(*frame);
    }
    all.extend(numbers(&[0, 4, 3]));
    all
}

/// The numbers of fields in dnstap.proto.
pub const IDENTITY: u64 = 1;
pub const VERSION: u64 = 2;
pub const EXTRA: u64 = 3;
pub const MESSAGE: u64 = 14;
pub const TYPE_FIELD: u64 = 1;
pub const SOCKET_FAMILY: u64 = 2;
pub const SOCKET_PROTOCOL: u64 = 3;
pub const QUERY_ADDRESS: u64 = 4;
pub const RESPONSE_ADDRESS: u64 = 5;
pub const QUERY_PORT: u64 = 6;
pub const RESPONSE_PORT: u64 = 7;
pub const QUERY_TIME: u64 = 8;
pub const QUERY_MESSAGE: u64 = 10;
pub const QUERY_ZONE: u64 = 11;
pub const RESPONSE_TIME: u64 = 12;
pub const RESPONSE_MESSAGE: u64 = 14;
pub const HTTP_PROTOCOL: u64 = 16;

/// The value of a field of protobuf.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Number(u64),
    Bytes(Vec<u8>),
}

type Fields = BTreeMap<u64, Value>;

fn varint(bytes: &mut &[u8]) -> u64 {
    let len = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    let (own, rest) = bytes.split_at(len);
    *bytes = rest;
    own.iter().rev().fold(0, |number, byte| number << 7 | u64::from(byte & 0x7f))
}

fn fields(mut bytes: &[u8]) -> Fields {
    let mut found = Fields::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => Value::Number(varint(&mut bytes)),
            2 => {
                let len = varint(&mut bytes) as usize;
                let (own, rest) = bytes.split_at(len);
                bytes = rest;
                Value::Bytes(own.to_vec())
            }
            5 => {
                let (own, rest) = bytes.split_first_chunk().unwrap();
                bytes = rest;
                Value::Number(u32::from_le_bytes(*own).into())
            }
            other => panic!("wire type {other}"),
        };
        assert_eq!(found.insert(key >> 3, value), None, "a field is there once");
    }
    found
}

/// A copy.
#[derive(Debug)]
pub struct Copy {
    outer: Fields,
    inner: Fields,
    /// As dnstap-ldns prints it; empty if the program is older than the transport.
    pub text: String,
}

impl Copy {
    fn read(frame: &[u8]) -> Self {
        let outer = fields(frame);
        let Some(Value::Bytes(inner)) = outer.get(&MESSAGE) else { panic!("no message: {outer:?}") };
        Copy { inner: fields(inner), outer, text: String::new() }
    }

    pub fn number(&self, field: u64) -> Option<u64> {
        match self.inner.get(&field)? {
            Value::Number(number) => Some(*number),
            Value::Bytes(_) => panic!("{field} has bytes"),
        }
    }

    pub fn bytes(&self, field: u64) -> Option<&[u8]> {
        match self.inner.get(&field)? {
            Value::Bytes(bytes) => Some(bytes),
            Value::Number(_) => panic!("{field} is a number"),
        }
    }

    pub fn address(&self, field: u64) -> Option<IpAddr> {
        let bytes = self.bytes(field)?;
        Some(match bytes.len() {
            4 => <[u8; 4]>::try_from(bytes).unwrap().into(),
            _ => <[u8; 16]>::try_from(bytes).unwrap().into(),
        })
    }

    pub fn text_of(&self, field: u64) -> &str {
        let Some(Value::Bytes(bytes)) = self.outer.get(&field) else { panic!("{self:?}") };
        std::str::from_utf8(bytes).unwrap()
    }

    pub fn extra(&self) -> serde_json::Value {
        serde_json::from_str(self.text_of(EXTRA)).unwrap()
    }

    /// The value of a key in the text of dnstap-ldns; empty if it has none.
    pub fn get(&self, key: &str) -> &str {
        let line = self.text.lines().find_map(|line| line.trim_start().strip_prefix(key)?.strip_prefix(": "));
        line.unwrap_or_default().trim_matches('"')
    }

    /// True if the message has these bytes.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        self.bytes(RESPONSE_MESSAGE).unwrap().windows(bytes.len()).any(|window| window == bytes)
    }
}
