//! CAA, SOA and NS records: `pharos certs records`, and the warnings of `check` about records that stop an authority.

use super::service::said;
use super::world::*;

const ACCOUNTS: [&str; 2] = ["https://acme.ca.example/acct/1", "https://acme.ca.example/acct/2"];

/// A configuration whose mirrors have an account each.
fn with_accounts() -> String {
    let mirror =
        |name: &str, account: &str| format!("acme = [{{ key = \"{name}.mirrors.example\", account = \"{account}\" }}]");
    let [one, two] = ACCOUNTS;
    let text = config("[\"127.0.0.1:0\"]", [&mirror("one", one), &mirror("two", two)]);
    text.replace("allow = [", "allow = [\"secrets-exposed\", ")
}

/// The output of `check` for a zone, and the codes of its warnings.
fn checked(config: &str, zone: &str) -> (String, Vec<String>) {
    let (code, report) = said(&[("pharos.toml", config), ("zone", zone)], &["check"]);
    assert_eq!(code, Some(0), "{report}");
    let codes = report.lines().filter_map(|line| line.strip_prefix("warning[")?.split_once(']'));
    let codes = codes.map(|(code, _)| code.to_string()).collect();
    (report, codes)
}

fn record(owner: &str, account: &str) -> String {
    format!("{owner}. CAA 0 issue \"ca.example; accounturi={account}; validationmethods=dns-01\"")
}

#[test]
fn printed_records_let_the_accounts_of_the_configuration_have_certificates() {
    let text = with_accounts();
    let files = [("pharos.toml", &*text), ("zone", ZONE)];
    let (code, printed) = said(&files, &["certs", "records", "--ca", "ca.example"]);
    assert_eq!(code, Some(0), "{printed}");
    let [one, two] = ACCOUNTS;
    let expected = [
        record("blob.example", one),
        record("blob.example", two),
        record("one.blob.example", one),
        record("wild.blob.example", one),
        record("wild.blob.example", two),
        record("two.blob.example", two),
    ];
    let lines: Vec<String> =
        printed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines[1..], expected, "{printed}");
    // The zone of all tests names the same authority at `one`.
    assert_eq!(said(&files, &["certs", "records"]), (Some(0), printed.clone()));
    let bare = ZONE.replace("one CAA 0 issue \"ca.example\"\n", "");
    let zone = format!("{bare}{printed}");
    assert_eq!(checked(&text, &zone).1, [""; 0]);
    // The same records keep another account from certificates, and each mirror from the name of the other.
    let moved = text.replace("/acct/2", "/acct/3");
    let (report, codes) = checked(&moved, &zone);
    assert_eq!(codes, ["account-not-allowed"], "{report}");
    let expected = "the CAA records of `blob.example` keep the account of mirror `two` from a certificate for \
                    `blob.example`: other accounts alone are permitted";
    assert!(report.contains(expected) && report.contains("https://acme.ca.example/acct/3"), "{report}");
}

#[test]
fn the_records_that_count_are_the_nearest_above_a_name() {
    let text = with_accounts();
    let bare = ZONE.replace("one CAA 0 issue \"ca.example\"\n", "");
    let not_allowed = ["account-not-allowed"];
    let [one, two] = ACCOUNTS;
    for (records, expected) in [
        (String::new(), &[][..]),
        ("@ CAA 0 issue \"other.example\"\n".into(), &[]),
        ("@ CAA 0 iodef \"mailto:a@b.example\"\n".into(), &[]),
        (format!("@ CAA 0 issue \"ca.example; accounturi={one}\"\n"), &not_allowed),
        ("@ CAA 0 issue \";\"\n".into(), &["account-not-allowed", "account-not-allowed"]),
        (format!("two CAA 0 issue \"ca.example; accounturi={one}\"\n"), &not_allowed),
        (format!("two CAA 0 issue \"ca.example; accounturi={two}\"\n"), &[]),
        ("two CAA 0 issue \"ca.example; validationmethods=http-01\"\n".into(), &not_allowed),
        ("two CAA 128 tbs \"x\"\n".into(), &not_allowed),
        ("wild CAA 0 issuewild \";\"\n".into(), &["account-not-allowed", "account-not-allowed"]),
        ("@ CAA 0 issuewild \";\"\nwild CAA 0 issue \"ca.example\"\n".into(), &[]),
        // The records of the apex apply to `*.wild` too.
        (
            "@ CAA 0 issue \"ca.example\"\n@ CAA 0 issuewild \";\"\n".into(),
            &["account-not-allowed", "account-not-allowed"],
        ),
        // A name beside them does not count.
        ("three CAA 0 issue \";\"\n".into(), &[]),
    ] {
        let (report, codes) = checked(&text, &format!("{bare}{records}"));
        assert_eq!(codes, expected, "{records}{report}");
    }
}

#[test]
fn check_warns_of_servers_and_sizes_that_stop_an_authority() {
    let text = with_accounts().replace(", \"servers-without-peers\"", "");
    let only = ZONE.replace("@ NS ns2\n", "");
    assert_eq!(checked(&text, &format!("{only}@ NS ns.elsewhere.example.\n")).1, ["servers-without-peers"]);
    let (report, codes) = checked(&text, ZONE);
    assert_eq!(codes, ["servers-without-peers"], "{report}");
    assert!(report.contains("zone `blob.example` has name servers that are under no `peers` of `[acme]`: `ns.blob.example`, `ns2.blob.example`"), "{report}");
    // Two names of one server.
    assert_eq!(checked(&text, &ZONE.replace("ns2 A 192.0.2.54", "ns2 A 192.0.2.53")).1, [""; 0]);
    // A peer that is no name server does not stand for one; a peer that is one does.
    let peered = |peer: &str| {
        let keys = format!("[keys.peers]\nalgorithm = \"hmac-sha256\"\nsecret = \"{}\"\n", secret("peers"));
        text.replace("[acme]\n", &format!("{keys}[acme]\npeers = [\"{peer} key:peers\"]\n"))
    };
    assert_eq!(checked(&peered("192.0.2.99"), ZONE).1, ["servers-without-peers"]);
    assert_eq!(checked(&peered("192.0.2.54"), ZONE).1, [""; 0]);
    let allowed = with_accounts();
    let (report, codes) = checked(&allowed, &ZONE.replace("SOA ns ", "SOA hidden "));
    assert_eq!(codes, ["server-without-address"], "{report}");
    let expected = "the SOA of `blob.example` names `hidden.blob.example` as its primary, which has no address";
    assert!(report.contains(expected), "{report}");
    assert_eq!(checked(&allowed, &ZONE.replace("SOA ns ", "SOA ns.elsewhere.example. ")).1, [""; 0]);
    let many: String =
        (0..50).map(|at| record("blob.example", &format!("https://acme.ca.example/acct/{at}")) + "\n").collect();
    let (report, codes) = checked(&allowed, &format!("{ZONE}{many}"));
    assert_eq!(codes, ["large-caa"], "{report}");
    assert!(report.contains("the CAA records of `blob.example` have 4"), "{report}");
}

#[test]
fn without_an_authority_or_an_account_there_is_a_remedy() {
    let text = with_accounts();
    let bare = ZONE.replace("one CAA 0 issue \"ca.example\"\n", "");
    let (code, report) = said(&[("pharos.toml", &text), ("zone", &bare)], &["certs", "records"]);
    assert!(code == Some(2) && report.contains("`pharos certs records --ca letsencrypt.org`"), "{report}");
    let text = config("[\"127.0.0.1:0\"]", [ONE, TWO]);
    let (code, report) = said(&[("pharos.toml", &text), ("zone", ZONE)], &["certs", "records"]);
    assert!(code == Some(1) && report.contains("no mirror has a credential with an `account`"), "{report}");
    let [one, _] = ACCOUNTS;
    let half = format!("acme = [{{ key = \"one.mirrors.example\", account = \"{one}\" }}]");
    let text = config("[\"127.0.0.1:0\"]", [&half, TWO]);
    let (code, report) = said(&[("pharos.toml", &text), ("zone", ZONE)], &["certs", "records"]);
    let warning = "key:two.mirrors.example of mirror `two` has no `account`: with these records it gets no certificate";
    assert!(code == Some(0) && report.contains(warning) && report.matches(" CAA 0 issue ").count() == 3, "{report}");
}
