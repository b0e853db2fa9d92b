//! The output of dig, and of Knot's kdig, whose TLS, HTTP/2 and QUIC are GnuTLS, nghttp2 and ngtcp2.

use std::net::IpAddr;
use std::process::Command;

use crate::common::needs;
use crate::world::{NAME, World};

#[test]
fn kdig_reads_every_encrypted_transport() {
    let Some(help) = run(&["--help"]) else { return };
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
            needs::missing(format!("this kdig has no {option}"));
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
    run_tool("kdig", arguments)
}

fn run_tool(tool: &str, arguments: &[&str]) -> Option<String> {
    let package = if tool == "kdig" { "knot-dnsutils" } else { "bind9-dnsutils" };
    let output = Command::new(needs::program(tool, package)?).args(arguments).output().unwrap();
    Some(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

/// RFC 9460 §2.1: the tools of BIND and Knot print the records that the server sends in the form of master files.
#[test]
fn rfc9460_s2_1_dig_and_kdig_read_https_records() {
    let world = World::start("");
    let local: IpAddr = "127.0.0.1".parse().unwrap();
    let port = world.server.address(local).port().to_string();
    for tool in ["dig", "kdig"] {
        let ask =
            |name: &str| run_tool(tool, &["@127.0.0.1", "-p", &port, name, "HTTPS", "+subnet=30.1.3.0/24", "+short"]);
        let Some(tailored) = ask("https.blob.k8s.io") else { continue };
        let expected = "1 . alpn=\"h2,http/1.1\" port=8443 ipv4hint=192.0.2.20 ipv6hint=2001:db8:b::20";
        // kdig leaves out the quotes, which RFC 9460 §2.1 allows.
        let plain = |text: &str| text.replace('"', "");
        assert_eq!(plain(tailored.trim()), plain(expected), "{tool}");
        assert_eq!(plain(ask("no-hints.blob.k8s.io").unwrap().trim()), "1 . alpn=h2", "{tool}");
    }
}
