//! Connections to servers on loopback, and the lifetimes of chains.

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

#[test]
fn a_certificate_of_six_days_is_good_for_the_first_four() {
    let authority = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&authority).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    let dialer = Dialer::new("blob.example".into(), 443, Arc::new(roots)).unwrap();
    let mut leaf = CertificateParams::new(vec!["blob.example".to_string()]).unwrap();
    (leaf.not_before, leaf.not_after) = (date_time_ymd(2026, 2, 1), date_time_ymd(2026, 2, 7));
    let issuer = rcgen::Issuer::new(params, authority);
    let chain = [leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().clone()];
    let lasts = |day: u8, ahead: u64| {
        let now = date_time_ymd(2026, 2, day).unix_timestamp() as u64;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now + 1));
        dialer.lasts_from(&chain, Duration::from_secs(ahead * 3600), now)
    };
    assert_eq!([1, 4, 5, 6].map(|day| lasts(day, 72)), [true, true, false, false]);
    // A shorter configured window applies.
    assert_eq!([5, 6].map(|day| lasts(day, 24)), [true, false]);
}
