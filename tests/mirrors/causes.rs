//! Each cause by its name, with a remedy of its own: in the probe, in `pharos verify`, in `pharos status` and in the log.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use super::common::server::Server;
use super::find;
use super::world::{Authority, CANARY, Fault, Ledger, NAME, REPOSITORY, canary_sha256, loopback};

/// The text of the cause and words of the remedy.
const STATUSES: [(Fault, &str, &str); 23] = [
    (Fault::NoCanary, "answers 404 for the canary", "load the blob into the mirror"),
    (
        Fault::Status(301),
        "answers 301 for the canary, and leads to `https://elsewhere.example/blob`",
        "rule that redirects",
    ),
    (
        Fault::Status(302),
        "answers 302 for the canary, and leads to `https://elsewhere.example/blob`",
        "redirects = \"follow\"",
    ),
    (
        Fault::Status(307),
        "answers 307 for the canary, and leads to `https://elsewhere.example/blob`",
        "redirects = \"follow\"",
    ),
    (
        Fault::Status(308),
        "answers 308 for the canary, and leads to `https://elsewhere.example/blob`",
        "rule that redirects",
    ),
    (Fault::Status(401), "answers 401 for the canary, which demands a login", "allow anonymous pulls"),
    (Fault::Status(403), "answers 403 for the canary, which forbids the request", "allow anonymous reads of blobs"),
    (Fault::Status(405), "answers 405 for the canary, because it does not allow HEAD", "allow HEAD beside GET"),
    (
        Fault::GetStatus(405),
        "answers 405 to GET of the canary, after 200 to HEAD, because it does not allow GET",
        "allow GET",
    ),
    (Fault::Status(421), "answers 421 for the canary, because it does not serve this host name", "`server_name`"),
    (Fault::Status(429), "answers 429 for the canary, because it limits the rate of requests", "rate limit"),
    (Fault::Status(500), "answers 500 for the canary, because it fails or is overloaded", "error log"),
    (Fault::Status(502), "answers 502 for the canary, because it fails or is overloaded", "behind the proxy"),
    (
        Fault::Status(503),
        "answers 503 for the canary, because it fails or is overloaded",
        "overloaded or in maintenance",
    ),
    (Fault::NoLength, "does not say how many bytes the canary has", "`Content-Length`"),
    (Fault::WrongLength, "says that the canary has 35 bytes, not 34", "replace the mirror's copy"),
    (Fault::WrongOctets, "the bytes that it serves for the canary have another digest", "out of service"),
    (Fault::NoRanges, "answers 200 with the whole canary to a range request", "turn range requests on"),
    (Fault::RangeStatus(416), "answers 416 to a range request for the canary", "its last byte included"),
    (Fault::OpenRangeStatus(416), "answers 416 to a range request for the canary", "its last byte included"),
    (Fault::OpenRangeStatus(200), "answers 200 with the whole canary to a range request", "turn range requests on"),
    (
        Fault::FalseGzip,
        "sends the canary with `Content-Encoding: gzip`, and its bytes do not decode to the digest",
        "remove `Content-Encoding`",
    ),
    (Fault::OtherRange, "answers a range request with another range, `bytes 0-33/34`", "Content-Range"),
];

#[tokio::test]
async fn every_response_has_its_cause_and_remedy() {
    let authority = Authority::new();
    let more = [
        (Fault::LongRange, "answers a range request with other bytes than those of the range", "exactly the bytes"),
        (Fault::AnswersEverything, "answers 200 for a digest that cannot exist", "answer 404"),
        (Fault::NotHttp, "does not speak HTTP", "speak HTTP/1.1"),
        (Fault::BreaksOff, "closes the connection before the HTTP response is complete", "log of the HTTP server"),
    ];
    for (fault, text, remedy) in STATUSES.into_iter().chain(more) {
        let cause = find(&authority, fault).await.cause.unwrap();
        assert_eq!(cause.to_string(), text, "{fault:?}");
        assert!(cause.remedy().contains(remedy), "{fault:?}: {}", cause.remedy());
    }
}

#[tokio::test]
async fn every_fault_of_tls_has_its_cause_and_remedy() {
    let authority = Authority::new();
    let certificate = "clients do not accept its certificate: ";
    let expected = [
        (Fault::WrongName, "it is for `other.example`", "among its names"),
        (Fault::Expired, "it expired at 20", "renew the certificate"),
        (Fault::NotYetValid, "it is not valid before 20", "check the clocks"),
        (Fault::SelfSigned, "it is signed by itself", "issued by an authority"),
        (
            Fault::MissingIntermediate,
            "its chain stops before `intermediate`, which is no trusted root",
            "`fullchain.pem`, not `cert.pem`",
        ),
        (Fault::OtherRoot, "its chain ends at `stranger`, which is no trusted root", "name its root"),
        (Fault::AuthorityAsLeaf, "it is the certificate of an authority", "serve a leaf"),
        (Fault::ForClients, "it is not for a TLS server", "serverAuth"),
    ];
    for (fault, text, remedy) in expected {
        let finding = find(&authority, fault).await;
        let cause = finding.cause.unwrap();
        assert!(cause.to_string().starts_with(&format!("{certificate}{text}")), "{fault:?}: {cause}");
        assert!(cause.remedy().contains(remedy), "{fault:?}: {}", cause.remedy());
        let issuer = finding.certificate.unwrap().issuer;
        assert!(["intermediate", "stranger"].contains(&&*issuer) || fault == Fault::SelfSigned, "{fault:?}: {issuer}");
    }
    let expected = [
        (Fault::NotTls, "the TLS handshake fails: the port does not speak TLS", "listen 443 ssl"),
        (Fault::Gone, "the TLS handshake fails: the server closes the connection", "log of the TLS server"),
        (
            Fault::ClientCertificate,
            "the TLS handshake fails: the server requires a certificate of the client",
            "do not ask clients",
        ),
        (Fault::HandshakeHangs, "connects, but the TLS handshake does not end in time", "load of the TLS server"),
        (Fault::Silent, "no complete HTTP response in time", "`[probe] timeout`"),
    ];
    for (fault, text, remedy) in expected {
        let cause = find(&authority, fault).await.cause.unwrap();
        assert_eq!(cause.to_string(), text, "{fault:?}");
        assert!(cause.remedy().contains(remedy), "{fault:?}: {}", cause.remedy());
    }
}

/// The output of a command, both channels, with its exit code.
fn pharos(config: &std::path::Path, args: &[&str]) -> (String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
    let output = command.args(args).arg("--config").arg(config).output().unwrap();
    (String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(), output.status.code())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_status_and_log_print_the_same_cause_and_remedy() {
    let authority = Authority::new();
    let (good, bad) = (loopback(81), loopback(82));
    let (at, _good) = authority.mirror(SocketAddr::new(good, 0), Fault::None).await;
    let ledger = Arc::new(Ledger::well());
    let (_, _bad) = authority.mirror_with(SocketAddr::new(bad, at.port()), Fault::Status(421), ledger.clone()).await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("roots.pem", authority.root_pem());
    write("zone", "$TTL 60\n@ SOA ns1 hostmaster 1 3600 600 86400 60\n@ NS ns1\nns1 A 127.0.0.1\n");
    let text = format!(
        "[dns]\nlisten = \"127.0.0.1:0\"\n[control]\nsocket = \"s\"\nstate = \"state\"\n\
         [probe]\nport = {}\nroots = \"roots.pem\"\n{}\
         canary = {{ repository = \"{REPOSITORY}\", digest = \"sha256:{}\", size = {} }}\n\
         [[zone]]\nname = \"{NAME}\"\nfile = \"zone\"\nsteer = [{{ owner = \"@\", horizon = \"h\" }}]\n\
         [mirrors.good]\naddresses = \"{good}\"\n[mirrors.bad]\naddresses = \"{bad}\"\n\
         [horizons.h]\ndefault = [\"good\", \"bad\"]\n",
        at.port(),
        super::QUICK,
        canary_sha256(),
        CANARY.len()
    );
    write("pharos.toml", &text);
    let config = folder.path().join("pharos.toml");
    let (cause, remedy) = (
        "answers 421 for the canary, because it does not serve this host name",
        "add the shared name to the names that the HTTP server answers for",
    );

    let server = Server::start(&config);
    ledger.break_down();
    let said = server.wait_for("mirror bad at ");
    let line = said.last().unwrap();
    assert!(line.contains(&format!("is down, missing: {cause}; {remedy}")), "{line}");

    let (text, code) = pharos(&config, &["verify", "--all"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.starts_with(&format!("good  {good}  up: connection, certificate and content are right\n")), "{text}");
    let more =
        "\n  protocols: TLS 1.3, HTTP/1.1 up\n  certificate: for `blob.example`, issued by `intermediate`, ends 20";
    assert!(text.contains(more), "{text}");
    assert!(text.contains("\n  canary: `pause`, 34 bytes, has its digest, whole and in ranges\n"), "{text}");
    assert!(text.contains("\n  time: connection "), "{text}");
    assert!(text.contains(&format!("\nbad  {bad}  missing: {cause}\n  = help: {remedy}")), "{text}");
    assert!(text.ends_with("\n1 of 2 addresses are fit for clients\n"), "{text}");
    let (text, _) = pharos(&config, &["verify", "--all", "--json"]);
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["mirror"], &lines[0]["steered_to"]), (&"good".into(), &true.into()));
    assert_eq!(lines[0]["certificate"]["issuer"], "intermediate");
    assert_eq!(lines[0]["protocols"].to_string(), r#"{"http/1.1":"up"}"#);
    assert_eq!((&lines[0]["tls"], &lines[0]["canary"]["size"]), (&"TLS 1.3".into(), &34.into()));
    assert!(lines[0]["milliseconds"]["total"].as_f64().unwrap() > 0.0);
    assert_eq!((&lines[1]["cause"], &lines[1]["reason"]), (&"canary-status".into(), &cause.into()));
    assert_eq!(pharos(&config, &["verify", "good"]).1, Some(0));

    let (text, _) = pharos(&config, &["status"]);
    assert!(text.contains(cause) && text.contains(remedy), "{text}");
    let (text, _) = pharos(&config, &["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status["troubles"][0]["address"]["reason"], cause, "{text}");
}
