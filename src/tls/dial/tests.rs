//! Connections to servers on loopback, and the ends of certificates.

use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

#[test]
fn the_end_of_an_intermediate_is_read_like_that_of_a_leaf() {
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let mut params = CertificateParams::new(vec!["blob.example".to_string()]).unwrap();
        params.is_ca = is_ca;
        params.not_after = date_time_ymd(2026, 3, 1);
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(super::super::facts::validity(made.der()).map(|(_, end)| end.as_secs()), Some(1_772_323_200));
    }
}

#[test]
fn a_lack_of_this_machine_is_its_own_fault_and_a_refusal_is_not() {
    let loopback: SocketAddr = "127.0.0.1:9".parse().unwrap();
    for number in [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS, libc::EADDRNOTAVAIL] {
        assert!(is_own_fault(&io::Error::from_raw_os_error(number), loopback), "{number}");
    }
    for number in [libc::ECONNREFUSED, libc::ETIMEDOUT, libc::EHOSTUNREACH, libc::ENETUNREACH] {
        assert!(!is_own_fault(&io::Error::from_raw_os_error(number), loopback), "{number}");
    }
}

#[tokio::test]
async fn interim_responses_without_end_break_the_connection() {
    let (ours, mut theirs) = tokio::io::duplex(4096);
    let allowance = Allowance::default();
    allowance.set(MAX_HEADS_LEN);
    let flood = tokio::spawn(async move {
        // Wait for the request: a response that comes before it is refused for another reason.
        theirs.read_exact(&mut [0; 4]).await.unwrap();
        let mut sent = 0;
        while theirs.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await.is_ok() {
            sent += 1;
        }
        sent
    });
    let stream = Bounded { stream: ours, allowance };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::builder().uri("/").body(Empty::<Bytes>::new()).unwrap();
    // hyper passes the error of the connection to the request that waits.
    let error = sender.send_request(request).await.unwrap_err();
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    assert_eq!(cause.as_deref(), Some("sends more than it was asked for"), "{error:?}");
    let _ = connection.await.unwrap();
    let sent: u64 = flood.await.unwrap();
    assert!(sent < 3 * MAX_HEADS_LEN / 40, "{sent} interim responses were read");
}
