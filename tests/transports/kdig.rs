//! What Knot's kdig prints, whose TLS, HTTP/2 and QUIC are GnuTLS, nghttp2 and ngtcp2.

use std::net::IpAddr;
use std::process::Command;

use crate::world::{NAME, World};

#[test]
fn kdig_reads_every_encrypted_transport() {
    let Some(help) = run(&["--help"]) else {
        eprintln!("skipped: `kdig` is not installed (Debian: knot-dnsutils)");
        return;
    };
    let world = World::start("");
    let local: IpAddr = "127.0.0.1".parse().unwrap();
    let certificate = format!("+tls-ca={}", world.certificate().display());
    let name = format!("+tls-hostname={NAME}");
    let ways = [
        ("+tls", "DNS over TLS", "TLS session (TLS1.3)"),
        ("+https", "DNS over HTTPS", "HTTP session (HTTP/2-POST)"),
        ("+https-get", "DNS over HTTPS", "HTTP session (HTTP/2-GET)"),
        ("+quic", "DNS over QUIC", "QUIC session (QUICv1)"),
    ];
    for (option, listener, session) in ways {
        if !help.contains(option.trim_start_matches('+').trim_end_matches("-get")) {
            eprintln!("skipped: this `kdig` has no {option}");
            continue;
        }
        let port = world.server.listener(listener, local).port().to_string();
        let mut arguments = vec!["@127.0.0.1", "-p", &port, option, "www.example.net", "A", "+padding=128", "+time=20"];
        // QUIC in kdig 3.2 checks no certificate, and asks over TLS when it is to.
        if option != "+quic" {
            arguments.extend([certificate.as_str(), name.as_str()]);
        }
        let text = run(&arguments).unwrap();
        for part in [session, "status: NOERROR", "PADDING: 372 B", "A\t192.0.2.80", "Received 468 B"] {
            assert!(text.contains(part), "{option}: no `{part}` in\n{text}");
        }
        assert!(!text.contains("WARNING"), "{option}: {text}");
    }
}

fn run(arguments: &[&str]) -> Option<String> {
    let output = Command::new("kdig").args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}
