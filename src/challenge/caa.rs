//! CAA records: the ACME accounts that may have a certificate for a name.
//!
//! **Invariants**: a record that breaks the grammar permits no account, as authorities read it.
//! **Not here**: the search for the records of a name ([`crate::compile`]).
//!
//! RFC 8659 (records), RFC 8657 (`accounturi`, `validationmethods`).

use crate::base::words::words;

/// The validation method of DNS challenges (RFC 8555 §9.7.8).
const METHOD: &str = "dns-01";

/// The tags that authorities know. A critical record with another tag stops every issuance.
const KNOWN_TAGS: [&str; 5] = ["issue", "issuewild", "iodef", "issuemail", "contactemail"];

/// A property of a CAA record (RFC 8659 §4.1).
struct CaaProperty<'r> {
    is_critical: bool,
    tag: &'r str,
    value: &'r [u8],
}

/// The value of a property `issue` or `issuewild` (RFC 8659 §4.2).
struct IssueValue<'r> {
    /// The domain of the authority; empty if none may issue.
    issuer: &'r str,
    /// Tags and values.
    parameters: Vec<(&'r str, &'r str)>,
}

words! {
    /// The reason why an account may not have a certificate.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) enum CaaRefusal: Display {
        /// No record names an authority.
        Issuers = "no authority is permitted",
        /// Records name other accounts.
        Account = "other accounts alone are permitted",
        /// The record of the account has other validation methods.
        Method = "`validationmethods` of the account lacks `dns-01`",
        /// A critical record has an unknown tag.
        Critical = "a critical record has a tag that authorities do not know",
    }
}

/// Checks whether CAA records, as rdata, let an account have a certificate by a DNS challenge.
///
/// A record without `accounturi` permits all accounts of its authority. It counts for any account, because no standard
/// connects the host of an account's URL with the domain of its authority.
pub(crate) fn check_account(records: &[&[u8]], account: &str, is_wildcard: bool) -> Result<(), CaaRefusal> {
    let properties: Vec<CaaProperty<'_>> = records.iter().filter_map(|record| property(record)).collect();
    let is_known = |tag: &str| KNOWN_TAGS.iter().any(|known| tag.eq_ignore_ascii_case(known));
    if properties.iter().any(|property| property.is_critical && !is_known(property.tag)) {
        return Err(CaaRefusal::Critical);
    }
    let of = |tag: &str| -> Vec<&CaaProperty<'_>> {
        properties.iter().filter(|property| property.tag.eq_ignore_ascii_case(tag)).collect()
    };
    // RFC 8659 §4.3: `issuewild` replaces `issue` for a wildcard.
    let issuers = match of("issuewild") {
        wild if is_wildcard && !wild.is_empty() => wild,
        _ => of("issue"),
    };
    // RFC 8659 §4.2: without such a property there is no restriction.
    if issuers.is_empty() {
        return Ok(());
    }
    let verdicts = issuers.iter().map(|property| match IssueValue::parse(property.value) {
        Some(value) => value.check_account(account),
        None => Err(CaaRefusal::Issuers),
    });
    // The refusal that comes nearest to the account tells the operator most.
    verdicts.max_by_key(|verdict| verdict.err().map_or((1, None), |refusal| (0, Some(refusal)))).unwrap_or(Ok(()))
}

/// The domains of the authorities that CAA records name, each once, in the order of the records.
pub(crate) fn issuers(records: &[&[u8]]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for property in records.iter().filter_map(|record| property(record)) {
        if !["issue", "issuewild"].iter().any(|tag| property.tag.eq_ignore_ascii_case(tag)) {
            continue;
        }
        let Some(value) = IssueValue::parse(property.value) else { continue };
        let issuer = value.issuer.to_ascii_lowercase();
        if !issuer.is_empty() && !found.contains(&issuer) {
            found.push(issuer);
        }
    }
    found
}

/// The value of a record that permits one account of an authority, by DNS challenges alone.
pub(crate) fn account_value(issuer: &str, account: &str) -> String {
    format!("{issuer}; accounturi={account}; validationmethods={METHOD}")
}

/// Checks whether a text is the domain of an authority, as CAA records have it.
pub(crate) fn is_issuer(text: &str) -> bool {
    !text.is_empty() && text.split('.').all(is_tag)
}

/// The property of a record; `None` if the record is malformed.
fn property(rdata: &[u8]) -> Option<CaaProperty<'_>> {
    let (&[flags, len], rest) = rdata.split_first_chunk()?;
    let (tag, value) = rest.split_at_checked(usize::from(len))?;
    Some(CaaProperty { is_critical: flags & 0x80 != 0, tag: std::str::from_utf8(tag).ok()?, value })
}

impl<'r> IssueValue<'r> {
    /// `None` if the text breaks the grammar.
    fn parse(value: &'r [u8]) -> Option<Self> {
        let blanks = [' ', '\t'];
        let text = std::str::from_utf8(value).ok()?;
        let (issuer, rest) = text.split_once(';').unwrap_or((text, ""));
        let (issuer, rest) = (issuer.trim_matches(blanks), rest.trim_matches(blanks));
        if !issuer.is_empty() && !is_issuer(issuer) {
            return None;
        }
        let parameter = |text: &'r str| {
            let (tag, value) = text.split_once('=')?;
            let (tag, value) = (tag.trim_matches(blanks), value.trim_matches(blanks));
            (is_tag(tag) && value.bytes().all(|byte| byte.is_ascii_graphic())).then_some((tag, value))
        };
        let parameters = match rest {
            "" => Vec::new(),
            rest => rest.split(';').map(parameter).collect::<Option<_>>()?,
        };
        Some(IssueValue { issuer, parameters })
    }

    fn check_account(&self, account: &str) -> Result<(), CaaRefusal> {
        if self.issuer.is_empty() {
            return Err(CaaRefusal::Issuers);
        }
        // RFC 8657 §3: the URI of a parameter is compared byte for byte, and two of them match nothing.
        match self.values("accounturi")[..] {
            [] => {}
            [uri] if uri == account => {}
            _ => return Err(CaaRefusal::Account),
        }
        // RFC 8657 §4.
        match self.values("validationmethods")[..] {
            [] => Ok(()),
            [methods] if methods.split(',').any(|method| method == METHOD) => Ok(()),
            _ => Err(CaaRefusal::Method),
        }
    }

    fn values(&self, tag: &str) -> Vec<&'r str> {
        self.parameters.iter().filter(|(known, _)| known.eq_ignore_ascii_case(tag)).map(|(_, value)| *value).collect()
    }
}

/// Checks for letters, digits, and hyphens between these: the form of a tag, and of a label of an issuer.
fn is_tag(text: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !text.is_empty() && text.bytes().all(is_fine) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "https://ca.example/acct/1";

    fn record(text: &str) -> Vec<u8> {
        let (flags, rest) = text.split_once(' ').unwrap();
        let (tag, value) = rest.split_once(' ').unwrap();
        [&[flags.parse().unwrap(), tag.len() as u8][..], tag.as_bytes(), value.as_bytes()].concat()
    }

    fn verdict(records: &[&str], is_wildcard: bool) -> Result<(), CaaRefusal> {
        let records: Vec<Vec<u8>> = records.iter().map(|text| record(text)).collect();
        check_account(&records.iter().map(|record| &record[..]).collect::<Vec<_>>(), ACCOUNT, is_wildcard)
    }

    #[test]
    fn an_account_is_permitted_as_rfc_8657_says() {
        use CaaRefusal::{Account, Critical, Issuers, Method};
        let own = format!("0 issue ca.example; accounturi={ACCOUNT}");
        let other = "0 issue ca.example; accounturi=https://ca.example/acct/2";
        for (records, expected) in [
            (&[][..], Ok(())),
            (&["0 iodef mailto:a@b.example"], Ok(())),
            (&["0 issue ca.example"], Ok(())),
            (&["0 ISSUE ca.example;"], Ok(())),
            (&["0 issue ;"], Err(Issuers)),
            (&["0 issue %%"], Err(Issuers)),
            (&["0 issue ca.example; accounturi"], Err(Issuers)),
            (&["0 issue ca.example; accounturi=x;"], Err(Issuers)),
            (&[&own], Ok(())),
            (&[other], Err(Account)),
            (&[other, "0 issue ;", &own], Ok(())),
            (&[&format!("{own}; accounturi={ACCOUNT}")], Err(Account)),
            (&[&format!("{own}; validationmethods=http-01,dns-01")], Ok(())),
            (&[&format!("{own};validationmethods = http-01"), other], Err(Method)),
            (&["0 issue ca.example; validationmethods="], Err(Method)),
            (&["128 tbs x", &own], Err(Critical)),
            (&["0 tbs x", "128 iodef mailto:a@b.example", &own], Ok(())),
            (&["0 issuewild ;", &own], Ok(())),
        ] {
            assert_eq!(verdict(records, false), expected, "{records:?}");
        }
        assert_eq!(verdict(&["0 issuewild ;", &own], true), Err(Issuers));
        assert_eq!(verdict(&["0 issue ;", "0 issuewild ca.example"], true), Ok(()));
        assert_eq!(verdict(&["0 issue ;"], true), Err(Issuers));
    }

    #[test]
    fn a_printed_record_permits_its_account_and_names_its_issuer() {
        let text = format!("0 issue {}", account_value("ca.example", ACCOUNT));
        assert_eq!(text, format!("0 issue ca.example; accounturi={ACCOUNT}; validationmethods=dns-01"));
        assert_eq!(verdict(&[&text], true), Ok(()));
        let records = [record(&text), record("0 issuewild Other.example"), record("0 issue ;"), record("0 iodef x")];
        let records: Vec<&[u8]> = records.iter().map(|record| &record[..]).collect();
        assert_eq!(issuers(&records), ["ca.example", "other.example"]);
        assert!(is_issuer("pki.goog") && !is_issuer("pki..goog") && !is_issuer("") && !is_issuer("a b"));
        assert!(property(&[0, 9, b'i']).is_none() && property(&[0]).is_none());
    }
}
