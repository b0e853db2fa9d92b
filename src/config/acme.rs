//! `[acme]` and `acme` of mirrors: the credentials that may set ACME challenges in zones of this server, and their owners.
//!
//! **Invariants**: each machine has a credential of its own; a key belongs to one credential or to peers; every owner is in
//! the zone of its steered owner, and no other zone or steered owner has its name.
//! **Not here**: the tokens ([`crate::challenge`]); records of a zone file at these owners ([`crate::zone`]).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use data_encoding::HEXLOWER_PERMISSIVE;

use super::check::Check;
use super::encrypted::{TlsFiles, TlsSpec};
use super::field::{Named, section};
use super::mirrors::MirrorSpec;
use super::row::{LISTEN_FORM, file, table, text, texts};
use super::spec::{PlacedText, Spec};
use super::transfer::Remote;
use super::{Config, FileUse, HorizonConfig, MirrorEntry, Placed, Steer, ZoneConfig, value};
use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::ids::{HorizonId, KeyId, MirrorId};
use crate::base::name::NameBuf;
use crate::base::prefix::Prefix;
use crate::challenge::{
    Challenges, CredentialProof, KEY_PREFIX, MirrorAddressOwner, MirrorNames, PasswordDigest, USER_PREFIX,
};

section! {
    /// `[acme]` as written.
    pub(super) struct AcmeSpec: "[acme]" {
        /// File that keeps the tokens of challenges across restarts.
        ///
        /// A token is written to it before its client gets an answer, so that it outlives even a killed server.
        state: Option<PlacedText> = file("state", FileUse::Challenges)
            .required()
            .restart_with_table()
            .example("\"/var/lib/pharos/acme.json\""),

        /// Listen addresses for clients that set challenges over HTTP (acme-dns, httpreq), with `user` and
        /// `password-sha256`. Off loopback `tls` is required.
        ///
        /// Off by default, because most clients use signed updates over DNS.
        listen: Vec<PlacedText> = texts("listen", LISTEN_FORM).restart_with_table().example("[\"127.0.0.1:8553\"]"),

        /// Certificate and key of `listen`.
        tls: Option<TlsSpec> = table::<TlsSpec>("tls")
            .otherwise("plain HTTP")
            .restart_unless_kept(|a, b| has_tls(a) == has_tls(b))
            .example("{ cert = \"fullchain.pem\", key = \"privkey.pem\" }"),

        /// The other servers of the zones, each with the key that signs its messages: `ADDRESS[:PORT] key:NAME`.
        ///
        /// A certificate authority asks any server of a zone, so that each needs the tokens that another has taken.
        peers: Vec<PlacedText> = texts("peers", "`ADDRESS[:PORT] key:NAME`")
            .otherwise("none")
            .example("[\"192.0.2.54 key:peers.example\"]"),
    }
}

section! {
    /// One entry of `acme` of a mirror as written.
    pub(super) struct CredentialSpec: "acme" {
        /// Key that signs the machine's updates (RFC 2136), by its name under `[keys]`. No other machine has it.
        ///
        /// A client removes all tokens of its credential, so that two machines with one key would remove the tokens of each
        /// other.
        key: Option<PlacedText> = text("key", "key").otherwise("required, or `user`").example("\"use1.mirrors.example\""),

        /// Name of the machine for requests over HTTP. Needs `password-sha256`, and `listen` under `[acme]`.
        user: Option<PlacedText> = text("user", "text").otherwise("required, or `key`").example("\"use1-b\""),

        /// SHA-256 of the password, as 64 hexadecimal digits. The password has 20 random characters or more.
        ///
        /// A hash of many rounds would only be needed for passwords that can be guessed.
        password_sha256: Option<PlacedText> = text("password-sha256", "64 hexadecimal digits")
            .otherwise("required with `user`"),

        /// URL of the machine's ACME account, for CAA records (RFC 8657): `check` compares the zone's, and `pharos certs records`
        /// prints a set.
        account: Option<PlacedText> = text("account", "URL").example("\"https://acme.example/acct/1\""),

        /// Prefixes that the machine's requests come from. Requests from elsewhere are refused.
        allow: Vec<PlacedText> = texts("allow", "prefix").otherwise("all addresses").example("[\"192.0.2.0/24\"]"),
    }
}

/// `[acme]`: the state and the credentials of ACME challenges. Off without the table.
#[derive(Clone, Debug)]
pub(crate) struct AcmeConfig {
    /// The file that keeps tokens across restarts.
    pub(crate) state: PathBuf,
    /// Listen addresses for requests over HTTP.
    pub(crate) listen: Vec<SocketAddr>,
    /// The certificate and key of `listen`. `None` means plain HTTP.
    pub(crate) tls: Option<TlsFiles>,
    /// The other servers of the zones.
    pub(crate) peers: Vec<Remote>,
    /// The credentials and owners.
    pub(crate) challenges: Arc<Challenges>,
    /// The credentials that are written well, for commands and checks.
    pub(crate) credentials: Vec<CredentialConfig>,
}

/// A credential with the account of its machine, and the names of the machine's certificate.
#[derive(Clone, Debug)]
pub(crate) struct CredentialConfig {
    /// Its name, as in [`Challenges`].
    pub(crate) name: Arc<str>,
    /// The name of its mirror.
    pub(crate) mirror: Arc<str>,
    /// The URL of the ACME account.
    pub(crate) account: Option<Placed<Arc<str>>>,
    /// The prefixes that its requests may come from; empty for all.
    pub(crate) allow: Vec<Prefix>,
    /// The names of the certificate.
    pub(crate) names: Vec<CertificateName>,
}

/// A name of a mirror's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateName {
    /// The name: a steered owner, or that of the mirror below it.
    pub(crate) name: NameBuf,
    /// True for the name that no other mirror has.
    pub(crate) is_own: bool,
}

impl Config {
    /// The names of a certificate for a mirror, as if it had credentials; none if no steered owner leads to it. The error is
    /// the reason why it cannot have credentials.
    pub(crate) fn certificate_names(&self, mirror: MirrorId) -> Result<Vec<CertificateName>, Vec<Diagnostic>> {
        let MirrorEntry { mirror: known, place, .. } = &self.mirrors[mirror.index()];
        let placed = PlacedText { value: known.name.clone(), place: place.clone() };
        if known.content.url.is_some() {
            return Err(vec![of_url(&placed).at(place.clone(), "its certificate is not for the steered name")]);
        }
        if !is_label(&known.name) {
            return Err(vec![not_a_label(&placed)]);
        }
        let names = steers_to(mirror, &self.horizons, &self.zones)
            .filter_map(|(_, steer)| Some((steer, MirrorNames::of(&known.name, steer.owner.as_name())?)));
        let of_steer = |(steer, names): (&Steer, MirrorNames)| {
            let own = names.own.map(|(name, _)| CertificateName { name, is_own: true });
            [CertificateName { name: steer.owner.clone(), is_own: false }].into_iter().chain(own)
        };
        Ok(names.flat_map(of_steer).collect())
    }
}

/// The steered owners that may lead to a mirror, each with the index of its zone.
fn steers_to<'c>(
    mirror: MirrorId,
    horizons: &'c [HorizonConfig],
    zones: &'c [ZoneConfig],
) -> impl Iterator<Item = (usize, &'c Steer)> {
    let leads_there = move |horizon: HorizonId| {
        horizons.get(horizon.index()).is_some_and(|horizon| horizon.mirrors().any(|other| other == mirror))
    };
    let all = zones.iter().enumerate().flat_map(|(at, zone)| zone.steer.iter().map(move |steer| (at, steer)));
    all.filter(move |(_, steer)| leads_there(steer.horizon))
}

/// The error about credentials of a mirror with a URL of its own.
fn of_url(mirror: &PlacedText) -> Diagnostic {
    Diagnostic::error("acme-of-url", format!("mirror `{}` has a URL of its own, and credentials", mirror.value))
        .help("remove `acme`: the mirror's own name is proved in its own zone")
}

/// The error about credentials of a mirror whose name is no label.
fn not_a_label(mirror: &PlacedText) -> Diagnostic {
    let message = format!("the name of mirror `{}` cannot be a label of a host name", mirror.value);
    Diagnostic::error("acme-mirror-name", message)
        .at(mirror.place.clone(), "its certificate would be for this name below the steered one")
        .help("letters, digits and hyphens, 63 at most, with a letter or digit at both ends")
}

/// True if both configurations have the same `[acme]`, wherever it is written. Parts that a reload applies are not compared.
pub(super) fn same_acme(a: &Config, b: &Config) -> bool {
    let values = |config: &Config| config.acme.as_ref().map(|acme| (acme.state.clone(), acme.listen.clone()));
    values(a) == values(b)
}

fn has_tls(config: &Config) -> Option<bool> {
    config.acme.as_ref().map(|acme| acme.tls.is_some())
}

/// A name that the records of challenges take in a zone, which has no records of some types there.
#[derive(Clone, Debug)]
pub(crate) struct ReservedName {
    /// The name.
    pub(crate) owner: NameBuf,
    /// True for an owner of challenges, false for the name of a mirror.
    pub(crate) is_challenge: bool,
    /// The place of the mirror in the config.
    pub(crate) place: Place,
}

/// The purpose of a reserved name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReservedFor {
    /// Tokens.
    Challenge,
    /// The addresses of a mirror.
    Addresses,
}

/// The meaning of a credential that is written well.
struct MeantCredential {
    name: Arc<str>,
    proof: CredentialProof,
    allow: Vec<Prefix>,
    account: Option<Placed<Arc<str>>>,
}

/// The credentials of all mirrors, for the service and for commands.
#[derive(Default)]
struct MeantCredentials {
    challenges: Challenges,
    configs: Vec<CredentialConfig>,
}

/// The parts of the config that credentials refer to.
struct AcmeGround<'c> {
    horizons: &'c [HorizonConfig],
    zones: &'c mut [ZoneConfig],
    /// Each key that a peer or a credential has, and the place that names it.
    keys: HashMap<KeyId, Place>,
    users: HashMap<Arc<str>, Place>,
}

impl Check<'_> {
    /// The meaning of `[acme]` and of `acme` of all mirrors. Names of their challenges are reserved in the zones.
    pub(super) fn check_acme(
        &mut self,
        spec: &Spec,
        horizons: &[HorizonConfig],
        zones: &mut [ZoneConfig],
    ) -> Option<AcmeConfig> {
        let written = spec.acme.as_ref();
        let listen = written.map(|acme| self.check_listen(&acme.listen)).unwrap_or_default();
        let tls = written.and_then(|acme| acme.tls.as_ref()).and_then(|tls| self.check_tls(&tls.cert, &tls.key));
        let mut ground = AcmeGround { horizons, zones, keys: HashMap::new(), users: HashMap::new() };
        let peers = written.map(|acme| self.check_peers(acme, &mut ground)).unwrap_or_default();
        let mut meant = MeantCredentials::default();
        peers.iter().filter_map(|peer| peer.key).for_each(|key| meant.challenges.add_peer(key));
        for (at, mirror) in spec.mirrors.iter().enumerate() {
            self.check_credentials(MirrorId::from_index(at), mirror, written, &mut ground, &mut meant);
        }
        let MeantCredentials { challenges, configs: credentials } = meant;
        let acme = written?;
        self.check_acme_listeners(acme, &listen);
        if !challenges.has_credentials() && !self.problems.iter().any(Diagnostic::is_error) {
            self.report(
                Diagnostic::warning("unused-acme", "no mirror has credentials for ACME challenges")
                    .at(acme.table.place.clone(), "no effect")
                    .help("add `acme = [{ key = \"…\" }]` to a mirror, or remove the table"),
            );
        }
        let state = acme.state.as_ref().and_then(|text| self.path(text))?;
        Some(AcmeConfig { state, listen, tls, peers, challenges: Arc::new(challenges), credentials })
    }

    fn check_acme_listeners(&mut self, acme: &AcmeSpec, listen: &[SocketAddr]) {
        let open = acme.listen.iter().find(|text| {
            let address = text.value.parse::<SocketAddr>();
            address.is_ok_and(|address| !address.ip().is_loopback())
        });
        match (open, &acme.tls) {
            (Some(open), None) => self.report(
                Diagnostic::error("acme-in-clear", format!("passwords would be sent in the clear to {}", open.value))
                    .at(open.place.clone(), "reachable from other machines")
                    .help("add `tls = { cert = \"fullchain.pem\", key = \"privkey.pem\" }`, or listen on loopback"),
            ),
            (_, Some(tls)) if listen.is_empty() => self.report(
                Diagnostic::error("acme-no-listener", "`[acme]` has a certificate, but no `listen` uses it")
                    .at(tls.table.place.clone(), "never used")
                    .help("add `listen = [\"192.0.2.53:8553\"]`, or remove `tls`"),
            ),
            _ => {}
        }
    }

    fn check_peers(&mut self, acme: &AcmeSpec, ground: &mut AcmeGround<'_>) -> Vec<Remote> {
        let mut peers = Vec::with_capacity(acme.peers.len());
        for text in &acme.peers {
            let Some(remote) = self.check_remote(text, "peers are reached over DNS in the clear, with signed messages")
            else {
                continue;
            };
            match remote.key {
                Some(key) => drop(ground.keys.entry(key).or_insert_with(|| text.place.clone())),
                None => self.report(
                    Diagnostic::error("peer-without-key", format!("peer `{}` has no key", text.value))
                        .at(text.place.clone(), "its messages could not be told from forged ones")
                        .help(format!(
                            "write `{} key:NAME`, with a key that only the servers of the zones have",
                            text.value
                        )),
                ),
            }
            peers.push(remote);
        }
        peers
    }

    fn check_credentials(
        &mut self,
        id: MirrorId,
        mirror: &Named<MirrorSpec>,
        acme: Option<&AcmeSpec>,
        ground: &mut AcmeGround<'_>,
        all: &mut MeantCredentials,
    ) {
        let Some(keys) = mirror.keys.as_ref() else { return };
        let Some(first) = keys.acme.first() else { return };
        let peers: HashMap<KeyId, Place> = ground.keys.clone();
        let mut meant = Vec::with_capacity(keys.acme.len());
        for credential in &keys.acme {
            meant.extend(self.check_credential(credential, acme, &peers, ground));
        }
        let name = &mirror.name;
        if acme.is_none() {
            self.report(
                Diagnostic::error(
                    "acme-without-table",
                    format!("mirror `{}` has credentials, but there is no `[acme]`", name.value),
                )
                .at(first.table.place.clone(), "no file would keep its challenges")
                .help("add `[acme]` with `state = \"/var/lib/pharos/acme.json\"`"),
            );
        }
        if let Some(url) = &keys.url {
            let problem = of_url(name).at(first.table.place.clone(), "its certificate is not for the steered name");
            self.report(problem.related(url.place.clone(), "reached by its own name"));
            return;
        }
        if !is_label(&name.value) {
            self.report(not_a_label(name));
            return;
        }
        self.add_owners(id, mirror, meant, ground, all);
    }

    /// Adds the credentials of a mirror with all of their owners.
    fn add_owners(
        &mut self,
        id: MirrorId,
        mirror: &Named<MirrorSpec>,
        credentials: Vec<MeantCredential>,
        ground: &mut AcmeGround<'_>,
        all: &mut MeantCredentials,
    ) {
        let name = &mirror.name;
        let steers: Vec<(usize, Steer)> =
            steers_to(id, ground.horizons, ground.zones).map(|(at, steer)| (at, steer.clone())).collect();
        let (mut owners, mut names) = (Vec::new(), Vec::new());
        for (at, steer) in &steers {
            let zone = ground.zones[*at].name.clone();
            let Some(MirrorNames { shared, own }) = MirrorNames::of(&name.value, steer.owner.as_name()) else {
                self.report(
                    Diagnostic::error(
                        "acme-long-name",
                        format!("the name of a challenge of mirror `{}` for `{}` is too long", name.value, steer.owner),
                    )
                    .at(name.place.clone(), "over 255 bytes in all")
                    .help("give the mirror a shorter name"),
                );
                continue;
            };
            names.push(CertificateName { name: steer.owner.clone(), is_own: false });
            self.reserve(shared.clone(), ReservedFor::Challenge, *at, name, ground);
            owners.push((zone.clone(), shared));
            if let Some((own, challenge)) = own {
                self.reserve(own.clone(), ReservedFor::Addresses, *at, name, ground);
                self.reserve(challenge.clone(), ReservedFor::Challenge, *at, name, ground);
                owners.push((zone.clone(), challenge));
                names.push(CertificateName { name: own.clone(), is_own: true });
                all.challenges.add_mirror(MirrorAddressOwner {
                    zone: zone.clone(),
                    owner: own,
                    mirror: id,
                    ttl: steer.ttl,
                });
            }
        }
        if steers.is_empty() && !self.has_lost_reference(self.mirrors.code) {
            self.report(
                Diagnostic::warning(
                    "unused-credential",
                    format!("mirror `{}` has credentials, and no steered owner leads to it", name.value),
                )
                .at(name.place.clone(), "there is no name to prove")
                .help("name the mirror in the horizon of a steered owner, or remove `acme`"),
            );
        }
        for MeantCredential { name: credential, proof, allow, account } in credentials {
            let (mirror, names) = (name.value.clone(), names.clone());
            all.challenges.add((credential.clone(), id), proof, allow.clone(), &owners);
            all.configs.push(CredentialConfig { name: credential, mirror, account, allow, names });
        }
    }

    /// Reserves a name in a zone, unless something else has it.
    fn reserve(
        &mut self,
        owner: NameBuf,
        purpose: ReservedFor,
        zone: usize,
        mirror: &PlacedText,
        ground: &mut AcmeGround<'_>,
    ) {
        let apex = ground.zones[zone].name.clone();
        let holds = |other: &ZoneConfig| {
            owner.as_name().ends_with(other.name.as_name()) && other.name.as_name().len() > apex.as_name().len()
        };
        let taken = |place: &Place, what: String| {
            Diagnostic::error("acme-name-taken", format!("`{owner}` of mirror `{}` is {what}", mirror.value))
                .at(mirror.place.clone(), "the mirror needs this name")
                .related(place.clone(), "the name is taken here")
                .help("give the mirror another name")
        };
        if let Some(other) = ground.zones.iter().find(|other| holds(other)) {
            let problem = taken(&other.place, format!("in zone `{}`", other.name));
            return self.report(problem);
        }
        let steered = ground.zones.iter().flat_map(|zone| &zone.steer).find(|steer| steer.owner == owner);
        if let Some(steer) = steered {
            let problem = taken(&steer.place, "steered".to_string());
            return self.report(problem);
        }
        let reserved = &mut ground.zones[zone].reserved;
        if !reserved.iter().any(|known| known.owner == owner) {
            let is_challenge = purpose == ReservedFor::Challenge;
            reserved.push(ReservedName { owner, is_challenge, place: mirror.place.clone() });
        }
    }

    fn check_credential(
        &mut self,
        spec: &CredentialSpec,
        acme: Option<&AcmeSpec>,
        peers: &HashMap<KeyId, Place>,
        ground: &mut AcmeGround<'_>,
    ) -> Option<MeantCredential> {
        let allow = self.check_prefixes(&spec.allow);
        let account = spec.account.as_ref().and_then(|text| {
            let value = self.parse(text, value::account_page)?;
            Some(Placed { value, place: text.place.clone() })
        });
        let place = spec.table.place.clone();
        match (&spec.key, &spec.user) {
            (Some(key), Some(user)) => {
                self.report(
                    Diagnostic::error("two-credentials", "one entry of `acme` has a key and a user")
                        .at(user.place.clone(), "a second credential")
                        .related(key.place.clone(), "the first one")
                        .help("write an entry for each machine"),
                );
                None
            }
            (Some(key), None) => {
                if let Some(password) = &spec.password_sha256 {
                    self.report(
                        Diagnostic::error("password-without-user", "`password-sha256` belongs to a `user`")
                            .at(password.place.clone(), "no user has this password")
                            .help("remove it: a key has its secret under `[keys]`"),
                    );
                }
                self.check_credential_key(key, peers, ground).map(|(name, id)| MeantCredential {
                    name,
                    proof: id.into(),
                    allow,
                    account,
                })
            }
            (None, Some(user)) => self.check_user(spec, user, acme, ground).map(|(name, digest)| MeantCredential {
                name,
                proof: digest.into(),
                allow,
                account,
            }),
            // A key that is not known has been reported, and may be one of the two misspelt.
            (None, None) if spec.table.unknown > 0 => None,
            (None, None) => {
                self.report(
                    Diagnostic::error("missing-key", "`acme` has no `key` or `user`")
                        .at(place, "no machine could use this credential")
                        .help("add `key = \"…\"` with the name of a key under `[keys]`"),
                );
                None
            }
        }
    }

    fn check_credential_key(
        &mut self,
        text: &PlacedText,
        peers: &HashMap<KeyId, Place>,
        ground: &mut AcmeGround<'_>,
    ) -> Option<(Arc<str>, KeyId)> {
        let at = match self.keys.find(text) {
            Ok(at) => at,
            Err(problem) => {
                self.report(*problem);
                return None;
            }
        };
        let id = KeyId::from_index(at);
        if let Some(peer) = peers.get(&id) {
            self.report(
                Diagnostic::error("peer-key", format!("key `{}` is that of a peer", text.value))
                    .at(text.place.clone(), "a mirror with this key could speak for a server")
                    .related(peer.clone(), "the peer")
                    .help("make another key for the mirror"),
            );
            return None;
        }
        if let Some(first) = ground.keys.get(&id) {
            self.report(
                Diagnostic::error("shared-key", format!("key `{}` belongs to two credentials", text.value))
                    .at(text.place.clone(), "used again")
                    .related(first.clone(), "first used here")
                    .help("make a key for each machine: with one key, each would remove the challenges of the other"),
            );
            return None;
        }
        ground.keys.insert(id, text.place.clone());
        let name = NameBuf::parse(&text.value).ok()?;
        Some((format!("{KEY_PREFIX}{}", name.to_string().to_ascii_lowercase()).into(), id))
    }

    fn check_user(
        &mut self,
        spec: &CredentialSpec,
        user: &PlacedText,
        acme: Option<&AcmeSpec>,
        ground: &mut AcmeGround<'_>,
    ) -> Option<(Arc<str>, PasswordDigest)> {
        let name = self.parse(user, value::user)?;
        let digest = spec.password_sha256.as_ref().and_then(|text| digest(&text.value));
        match &spec.password_sha256 {
            None => self.report(
                Diagnostic::error("missing-key", format!("user `{name}` has no `password-sha256`"))
                    .at(user.place.clone(), "no password")
                    .help("add `password-sha256 = \"…\"`, from `printf %s \"$PASSWORD\" | sha256sum`"),
            ),
            Some(text) if digest.is_none() => self.report(
                Diagnostic::error("bad-digest", "`password-sha256` is not a digest")
                    .at(redacted(text), "not 64 hexadecimal digits")
                    .help("write the digest from `printf %s \"$PASSWORD\" | sha256sum`"),
            ),
            Some(_) => {}
        }
        if let Some(first) = ground.users.get(&name) {
            self.report(
                Diagnostic::error("duplicate-user", format!("user `{name}` is written twice"))
                    .at(user.place.clone(), "written again")
                    .related(first.clone(), "first written here")
                    .help("give each machine a user of its own"),
            );
            return None;
        }
        ground.users.insert(name.clone(), user.place.clone());
        if acme.is_some_and(|acme| acme.listen.is_empty() && acme.table.unknown == 0) {
            self.report(
                Diagnostic::error("user-without-listener", format!("user `{name}` has no listener"))
                    .at(user.place.clone(), "passwords are taken over HTTP alone")
                    .help("add `listen = [\"127.0.0.1:8553\"]` under `[acme]`, or use a `key`"),
            );
        }
        Some((format!("{USER_PREFIX}{name}").into(), digest?))
    }
}

/// True for one label of a host name (RFC 1123 §2.1): certificate authorities accept no other characters.
fn is_label(text: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(is_fine) && !text.starts_with('-') && !text.ends_with('-')
}

/// The place of a password's digest. A diagnostic shows the line of a place, and the text may be the password itself, so that
/// dots replace it.
fn redacted(digest: &PlacedText) -> Place {
    const SHOWN: &str = "password-sha256 = \"…\"";
    Place::in_line(&digest.place.file, digest.place.line, SHOWN, "password-sha256 = ".len()..SHOWN.len())
}

fn digest(text: &str) -> Option<PasswordDigest> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
    bytes.try_into().ok().map(PasswordDigest::new)
}
