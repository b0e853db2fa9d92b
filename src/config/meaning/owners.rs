//! The owners of ACME challenges: the names that each mirror with credentials proves, in the zones of their steered owners.
//!
//! **Invariants**: every owner is in the zone of its steered owner, and no other zone or steered owner has its name.
//! **Not here**: the proofs of credentials ([`super::credentials`]), records of a zone file at these owners
//! ([`crate::zone`]).

use std::net::SocketAddr;
use std::sync::Arc;

use super::credentials::{MeantCredential, MeantCredentials, TakenProofs};
use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::ids::{HorizonId, MirrorId};
use crate::base::name::NameBuf;
use crate::challenge::{MirrorAddressOwner, MirrorNames};
use crate::config::acme::{AcmeConfig, AcmeSpec};
use crate::config::check::Check;
use crate::config::credential::{CertificateName, CredentialConfig};
use crate::config::field::Named;
use crate::config::mirrors::MirrorSpec;
use crate::config::spec::Spec;
use crate::config::transfer::Remote;
use crate::config::zone::ReservedName;
use crate::config::{Config, HorizonConfig, MirrorEntry, PlacedText, Steer, ZoneConfig};

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

/// The parts of the config that credentials refer to.
struct AcmeGround<'c> {
    horizons: &'c [HorizonConfig],
    zones: &'c mut [ZoneConfig],
    taken: TakenProofs,
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
        let mut ground = AcmeGround { horizons, zones, taken: TakenProofs::default() };
        let peers = written.map(|acme| self.check_peers(acme, &spec.dns.listen, &mut ground)).unwrap_or_default();
        let mut meant = MeantCredentials::default();
        meant.challenges.peer_keys.extend(peers.iter().filter_map(|peer| peer.key));
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

    /// `listen` is that of `[dns]`.
    fn check_peers(
        &mut self,
        acme: &AcmeSpec,
        listen: &Option<Vec<PlacedText>>,
        ground: &mut AcmeGround<'_>,
    ) -> Vec<Remote> {
        let own: Vec<SocketAddr> = listen.iter().flatten().filter_map(|text| text.value.parse().ok()).collect();
        let mut peers: Vec<Remote> = Vec::with_capacity(acme.peers.len());
        for text in &acme.peers {
            let Some(remote) = self.check_remote(text, "peers are reached over DNS in the clear, with signed messages")
            else {
                continue;
            };
            let address = remote.address;
            let fault = if address.port() == 0 || address.ip().is_unspecified() {
                Some("no server can have this address")
            } else if own.contains(&address) {
                Some("this server has this address itself")
            } else if peers.iter().any(|known| known.address == address) {
                Some("written twice")
            } else {
                None
            };
            if let Some(fault) = fault {
                self.report(
                    Diagnostic::error("bad-peer", format!("peer `{address}` is not another server"))
                        .at(text.place.clone(), fault)
                        .help("write the address at which the other server answers DNS, once for each server"),
                );
                continue;
            }
            match remote.key {
                Some(key) => drop(ground.taken.peers.entry(key).or_insert_with(|| text.place.clone())),
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
        let keys = &mirror.keys;
        let Some(first) = keys.acme.first() else { return };
        let mut meant = Vec::with_capacity(keys.acme.len());
        for credential in &keys.acme {
            meant.extend(self.check_credential(credential, acme, &mut ground.taken));
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
        let reserved = |owner: &NameBuf, is_challenge| ReservedName {
            owner: owner.clone(),
            is_challenge,
            place: name.place.clone(),
        };
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
            self.reserve(reserved(&shared, true), *at, name, ground);
            owners.push((zone.clone(), shared));
            if let Some((own, challenge)) = own {
                self.reserve(reserved(&own, false), *at, name, ground);
                self.reserve(reserved(&challenge, true), *at, name, ground);
                owners.push((zone.clone(), challenge));
                names.push(CertificateName { name: own.clone(), is_own: true });
                all.challenges.mirrors.push(MirrorAddressOwner {
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
    fn reserve(&mut self, name: ReservedName, zone: usize, mirror: &PlacedText, ground: &mut AcmeGround<'_>) {
        let (owner, apex) = (&name.owner, ground.zones[zone].name.clone());
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
        let steered = ground.zones.iter().flat_map(|zone| &zone.steer).find(|steer| steer.owner == *owner);
        if let Some(steer) = steered {
            let problem = taken(&steer.place, "steered".to_string());
            return self.report(problem);
        }
        let reserved = &mut ground.zones[zone].reserved;
        if !reserved.iter().any(|known| known.owner == *owner) {
            reserved.push(name);
        }
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

/// True for one label of a host name (RFC 1123 §2.1): certificate authorities accept no other characters.
fn is_label(text: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(is_fine) && !text.starts_with('-') && !text.ends_with('-')
}
