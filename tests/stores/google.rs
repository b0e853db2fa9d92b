//! The part of Google Cloud Storage's XML API that a store uses, in memory: no server of it is packaged for Debian or PyPI.
//!
//! Conditions are those of the documentation: `x-goog-if-generation-match` for writes, `If-None-Match` for reads.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::http::{Asked, HttpServer, Reply, reply};

pub(crate) const BUCKET: &str = "fleet";

/// Objects by key: generation and content.
type Objects = BTreeMap<String, (u64, Vec<u8>)>;

/// Starts a server with an empty bucket. `token` is the bearer token that it accepts.
pub(crate) fn start(token: &'static str) -> HttpServer {
    let state: Mutex<(u64, Objects)> = Mutex::default();
    HttpServer::start(move |asked| {
        if asked.header("authorization") != Some(&format!("Bearer {token}")) {
            return reply(
                401,
                "<Error><Code>AuthenticationRequired</Code><Message>Authentication required.</Message></Error>",
            );
        }
        let (generation, objects) = &mut *state.lock().unwrap();
        answer(asked, generation, objects)
    })
}

fn answer(asked: &Asked, last: &mut u64, objects: &mut Objects) -> Reply {
    let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
    let path = decoded(path.trim_start_matches('/'));
    let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
    if bucket != BUCKET {
        return reply(
            404,
            "<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist.</Message></Error>",
        );
    }
    let no_key = || reply(404, "<Error><Code>NoSuchKey</Code></Error>");
    let generation = objects.get(key).map_or(0, |(generation, _)| *generation);
    match asked.method.as_str() {
        "GET" if query.contains("list-type=2") => list(query, objects),
        "GET" => match objects.get(key) {
            None => no_key(),
            Some(_) if asked.header("if-none-match") == Some(&etag(generation)) => {
                (304, headers(generation), Vec::new())
            }
            Some((_, bytes)) => (200, headers(generation), bytes.clone()),
        },
        "PUT" => {
            let expected = asked.header("x-goog-if-generation-match").map(|expected| expected.parse().unwrap());
            if expected.is_some_and(|expected: u64| expected != generation) {
                return reply(412, "<Error><Code>PreconditionFailed</Code></Error>");
            }
            *last += 1;
            objects.insert(key.to_string(), (*last, asked.body.clone()));
            (200, headers(*last), Vec::new())
        }
        "DELETE" => match objects.remove(key) {
            None => no_key(),
            Some(_) => (204, Vec::new(), Vec::new()),
        },
        other => panic!("{other} {}", asked.target),
    }
}

fn list(query: &str, objects: &Objects) -> Reply {
    let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix=")).map(decoded).unwrap_or_default();
    let entries = objects.iter().filter(|(key, _)| key.starts_with(&prefix)).map(|(key, (generation, bytes))| {
        format!(
            "<Contents><Key>{key}</Key><Size>{}</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>{}</ETag></Contents>",
            bytes.len(),
            etag(*generation).replace('"', "&quot;")
        )
    });
    reply(200, &format!("<ListBucketResult>{}</ListBucketResult>", entries.collect::<String>()))
}

fn etag(generation: u64) -> String {
    format!("\"e{generation}\"")
}

fn headers(generation: u64) -> Vec<(String, String)> {
    [
        ("ETag", etag(generation)),
        ("x-goog-generation", generation.to_string()),
        ("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT".to_string()),
    ]
    .map(|(name, value)| (name.to_string(), value))
    .into()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        rest = more;
        match first {
            b'%' => {
                bytes.push(u8::from_str_radix(std::str::from_utf8(&more[..2]).unwrap(), 16).unwrap());
                rest = &more[2..];
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).unwrap()
}
