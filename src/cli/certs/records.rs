//! `pharos certs records`: the CAA records that let the ACME accounts of the configuration have certificates, and no others.
//!
//! **Invariants**: standard output is a part of a master file; a name of one mirror has the accounts of that mirror alone.
//! **Not here**: comparing accounts with a zone's records (`pharos check`).
//!
//! RFC 8659 §4.2, RFC 8657 §3 and §4.

use super::super::locate::ConfigLocation;
use super::super::{BAD_COMMAND, CommandFailure, CommandResult, OK, put, warn};
use crate::base::diagnostic::Diagnostic;
use crate::base::name::NameBuf;
use crate::challenge::caa;
use crate::compile::check::{caa_owner, caa_records, is_large};
use crate::config::{self, Config, CredentialConfig};
use crate::load;
use crate::zone::ZoneSet;

/// Arguments of `pharos certs records`.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// The domain of an authority in CAA records; again for more [default: those of the zone's CAA records]
    #[arg(long = "ca", value_name = "NAME", value_parser = parse_issuer)]
    authorities: Vec<String>,
}

fn parse_issuer(text: &str) -> Result<String, String> {
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    if caa::is_issuer(&name) {
        Ok(name)
    } else {
        Err("not a domain; the authority documents it, such as `letsencrypt.org`".to_string())
    }
}

/// The accounts that an owner's records permit, in the order of the configuration.
struct CaaOwner {
    owner: NameBuf,
    accounts: Vec<std::sync::Arc<str>>,
}

/// Prints the records, and returns the exit code.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> CommandResult {
    let config = config::read_file(config.path())?.config;
    let credentials = config.acme.as_ref().map(|acme| &*acme.credentials).unwrap_or_default();
    let owners = owners(credentials);
    if owners.is_empty() {
        let what = "no mirror has a credential with an `account`";
        let help =
            "write `acme = [{ key = \"…\", account = \"https://…\" }]`, with the URL that the mirror's client shows";
        return Err(Diagnostic::error("no-account", what).help(help).into());
    }
    let authorities =
        if args.authorities.is_empty() { served_issuers(&config, credentials)? } else { args.authorities.clone() };
    if authorities.is_empty() {
        let help =
            "name one: `pharos certs records --ca letsencrypt.org`, with the domain that the authority documents";
        let error = "the zones have no CAA records that name an authority";
        return Err(CommandFailure::new(error, help, BAD_COMMAND));
    }
    for credential in credentials.iter().filter(|credential| credential.account.is_none()) {
        let CredentialConfig { name, mirror, .. } = credential;
        warn(&format!("{name} of mirror `{mirror}` has no `account`: with these records it gets no certificate"));
    }
    Ok(put(&master_lines(&owners, &authorities), OK))
}

/// The owners of records, each with its accounts.
fn owners(credentials: &[CredentialConfig]) -> Vec<CaaOwner> {
    let mut owners: Vec<CaaOwner> = Vec::new();
    for credential in credentials {
        let Some(account) = &credential.account else { continue };
        for certificate in &credential.names {
            let owner = caa_owner(certificate.name.as_name()).to_owned();
            let at = owners.iter().position(|known| known.owner == owner).unwrap_or_else(|| {
                owners.push(CaaOwner { owner, accounts: Vec::new() });
                owners.len() - 1
            });
            if !owners[at].accounts.contains(&account.value) {
                owners[at].accounts.push(account.value.clone());
            }
        }
    }
    owners
}

/// The authorities that the CAA records of the zones name for the certificates of mirrors.
fn served_issuers(config: &Config, credentials: &[CredentialConfig]) -> Result<Vec<String>, Vec<Diagnostic>> {
    let of_challenges = config.zones.iter().filter(|zone| !zone.reserved.is_empty());
    let zones = of_challenges.map(|zone| Ok(load::zone::read(zone, None)?.0)).collect::<Result<Vec<_>, Vec<_>>>()?;
    let zones = ZoneSet::new(zones);
    let mut found: Vec<String> = Vec::new();
    for certificate in credentials.iter().flat_map(|credential| &credential.names) {
        let Some((_, set)) = caa_records(&zones, certificate.name.as_name()) else { continue };
        let records: Vec<&[u8]> = set.rdatas().collect();
        for issuer in caa::issuers(&records) {
            if !found.contains(&issuer) {
                found.push(issuer);
            }
        }
    }
    Ok(found)
}

/// The records as lines of a master file.
fn master_lines(owners: &[CaaOwner], authorities: &[String]) -> String {
    let width = owners.iter().map(|owner| owner.owner.to_string().len() + 1).max().unwrap_or(0);
    let mut text = "; in place of all other `issue` and `issuewild` of these names\n".to_string();
    for CaaOwner { owner, accounts } in owners {
        let values: Vec<String> = accounts
            .iter()
            .flat_map(|account| authorities_of(account, authorities).map(|issuer| caa::account_value(issuer, account)))
            .collect();
        // Beside the value, the data has a byte of flags, a length and the tag.
        if is_large(values.iter().map(|value| 2 + "issue".len() + value.len())) {
            warn(&format!(
                "the CAA records of `{owner}` are over 3.5 kB: let several machines of a mirror share an account"
            ));
        }
        for value in values {
            text += &format!("{:width$} CAA 0 issue \"{value}\"\n", format!("{owner}."));
        }
    }
    text
}

/// The authorities that may have an account: those whose domain is that of the account's URL, or all if no domain is.
fn authorities_of<'a>(account: &'a str, authorities: &'a [String]) -> impl Iterator<Item = &'a String> {
    let rest = account.split_once("://").map_or(account, |(_, rest)| rest);
    let host = rest.split(['/', ':', '?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let is_host = move |issuer: &&String| {
        host.strip_suffix(issuer.as_str()).is_some_and(|sub| sub.is_empty() || sub.ends_with('.'))
    };
    let is_known = authorities.iter().any(|issuer| is_host(&issuer));
    authorities.iter().filter(move |issuer| !is_known || is_host(issuer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(config: &str, authorities: &[&str]) -> Vec<String> {
        let (config, _) = config::read("pharos.toml", config).unwrap();
        let owners = owners(&config.acme.unwrap().credentials);
        let text = master_lines(&owners, &authorities.iter().map(ToString::to_string).collect::<Vec<_>>());
        text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn a_steered_name_has_all_accounts_and_a_mirror_its_own() {
        let digest = "0".repeat(64);
        let config = format!(
            "[acme]\nstate = 's'\nlisten = '127.0.0.1:1'\n[[zone]]\nname = 'b.example'\nfile = 'z'\n\
             steer = [{{ owner = '@', horizon = 'h' }}, {{ owner = '*.w', horizon = 'h' }}]\n\
             [mirrors.one]\naddresses = '192.0.2.1'\nacme = [\n\
             {{ user = 'a', password-sha256 = '{digest}', account = 'https://acme.one.example/1' }},\n\
             {{ user = 'b', password-sha256 = '{digest}', account = 'https://acme.one.example/1' }},\n\
             {{ user = 'c', password-sha256 = '{digest}' }}]\n\
             [mirrors.two]\naddresses = '192.0.2.2'\n\
             acme = {{ user = 'd', password-sha256 = '{digest}', account = 'https://two.example:14000/2' }}\n\
             [horizons.h]\ndefault = ['one', 'two']\n"
        );
        let record = |owner: &str, issuer: &str, account: &str| {
            format!("{owner}. CAA 0 issue \"{issuer}; accounturi={account}; validationmethods=dns-01\"")
        };
        let [one, two] = ["https://acme.one.example/1", "https://two.example:14000/2"];
        assert_eq!(
            lines(&config, &["one.example", "two.example"]),
            [
                record("b.example", "one.example", one),
                record("b.example", "two.example", two),
                record("one.b.example", "one.example", one),
                record("w.b.example", "one.example", one),
                record("w.b.example", "two.example", two),
                record("two.b.example", "two.example", two),
            ]
        );
        // An account that belongs to no authority by its host may belong to any.
        assert_eq!(lines(&config, &["ne.example", "other.example"]).len(), 12);
    }

    #[test]
    fn an_authority_is_named_by_its_domain() {
        assert_eq!(parse_issuer("LetsEncrypt.org."), Ok("letsencrypt.org".to_string()));
        assert!(parse_issuer("https://letsencrypt.org").is_err() && parse_issuer("").is_err());
    }
}
