//! The owners of challenges, and the credentials that may set tokens there.
//!
//! For each mirror with credentials and each steered owner that may lead to it there are two owners of challenges:
//! `_acme-challenge.OWNER`, which all of these mirrors share, and `_acme-challenge.MIRROR.OWNER`, which is the mirror's alone.
//! The name `MIRROR.OWNER` has the addresses of the mirror. A certificate authority limits the number of certificates for one
//! set of names, so that a mirror asks for both names, a set that no other mirror has.
//!
//! **Invariants**: every owner of a credential is among [`Challenges::owners`]; a key belongs to one credential.
//! **Not here**: the tokens ([`super::ChallengeStore`]); the records at these owners ([`crate::snapshot`]).

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::base::ids::{KeyId, MirrorId};
use crate::base::name::{Name, NameBuf};
use crate::base::prefix::Prefix;
use crate::base::time::Ttl;

/// The label before the name that a challenge is about (RFC 8555 §8.4).
const LABEL: &[u8] = b"\x0f_acme-challenge";

/// All credentials and owners of a configuration. Without credentials, no update is taken.
#[derive(Clone, Debug, Default)]
pub struct Challenges {
    credentials: Vec<Credential>,
    owners: BTreeMap<NameBuf, ChallengeOwner>,
    /// The names with the addresses of one mirror each.
    pub mirrors: Vec<MirrorAddressOwner>,
    /// The keys of the other servers of the zones, each of which sends the tokens that it has.
    pub peer_keys: Vec<KeyId>,
}

/// The right of a machine to set tokens.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Its name: `key:NAME` or `user:NAME`.
    pub name: Arc<str>,
    /// The mirror that it belongs to.
    pub mirror: MirrorId,
    /// The proof that a request is the machine's.
    pub proof: CredentialProof,
    /// The prefixes that its requests may come from; empty if any address may send these.
    pub allow: Vec<Prefix>,
    /// The owners at which it may set tokens.
    owners: Vec<NameBuf>,
}

/// The start of the name of a credential with a key, before the name of the key.
pub(crate) const KEY_PREFIX: &str = "key:";

/// The same of a credential with a password, before the name of the user.
pub(crate) const USER_PREFIX: &str = "user:";

/// The proof that a request is that of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialProof {
    /// The key signs its updates.
    Key(KeyId),
    /// The password comes with its requests over HTTP.
    Password(PasswordDigest),
}

impl From<KeyId> for CredentialProof {
    fn from(key: KeyId) -> Self {
        CredentialProof::Key(key)
    }
}

impl From<PasswordDigest> for CredentialProof {
    fn from(digest: PasswordDigest) -> Self {
        CredentialProof::Password(digest)
    }
}

/// SHA-256 of a password, which is random.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PasswordDigest([u8; 32]);

impl PasswordDigest {
    /// The digest of no password: a digest of zeros cannot be found.
    pub(crate) const NONE: PasswordDigest = PasswordDigest([0; 32]);

    /// The digest of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        PasswordDigest(bytes)
    }

    /// The bytes. Compare these in constant time.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PasswordDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordDigest")
    }
}

/// An owner of challenges.
#[derive(Clone, Debug)]
struct ChallengeOwner {
    /// The apex of its zone.
    zone: NameBuf,
    /// The places of its credentials among all.
    credentials: Vec<usize>,
}

/// A name with the addresses of one mirror, whatever its health.
#[derive(Clone, Debug)]
pub struct MirrorAddressOwner {
    /// The apex of its zone.
    pub zone: NameBuf,
    /// The name.
    pub owner: NameBuf,
    /// The mirror.
    pub mirror: MirrorId,
    /// The TTL of the addresses: that of the steered owner.
    pub ttl: Ttl,
}

/// The names that a mirror with credentials has for one steered owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorNames {
    /// `_acme-challenge.OWNER`.
    pub shared: NameBuf,
    /// `MIRROR.OWNER` and `_acme-challenge.MIRROR.OWNER`; `None` for a wildcard, which has all names below it already.
    pub own: Option<(NameBuf, NameBuf)>,
}

impl MirrorNames {
    /// The names for a mirror, whose name is one label, and a steered owner; `None` if one would be too long.
    pub fn of(mirror: &str, steered: Name<'_>) -> Option<Self> {
        // RFC 8555 §7.1.3: the challenge for a wildcard is at the name without `*`.
        if let (true, Some(parent)) = (steered.is_wildcard(), steered.parent()) {
            return Some(MirrorNames { shared: NameBuf::joined(LABEL, parent)?, own: None });
        }
        let label = [&[u8::try_from(mirror.len()).ok()?][..], mirror.as_bytes()].concat();
        let own = NameBuf::joined(&label, steered)?;
        let challenge = NameBuf::joined(LABEL, own.as_name())?;
        Some(MirrorNames { shared: NameBuf::joined(LABEL, steered)?, own: Some((own, challenge)) })
    }
}

impl Challenges {
    /// True if there is a credential.
    pub fn has_credentials(&self) -> bool {
        !self.credentials.is_empty()
    }

    /// Adds a credential, which may set tokens at these owners, each with the apex of its zone.
    pub fn add(
        &mut self,
        (name, mirror): (Arc<str>, MirrorId),
        proof: CredentialProof,
        allow: Vec<Prefix>,
        owners: &[(NameBuf, NameBuf)],
    ) {
        let place = self.credentials.len();
        for (zone, owner) in owners {
            let new = || ChallengeOwner { zone: zone.clone(), credentials: Vec::new() };
            let known = self.owners.entry(owner.clone()).or_insert_with(new);
            if known.credentials.last() != Some(&place) {
                known.credentials.push(place);
            }
        }
        let owners = owners.iter().map(|(_, owner)| owner.clone()).collect();
        self.credentials.push(Credential { name, mirror, proof, allow, owners });
    }

    /// All credentials.
    pub fn credentials(&self) -> &[Credential] {
        &self.credentials
    }

    /// The credential of a name.
    pub fn credential(&self, name: &str) -> Option<&Credential> {
        self.credentials.iter().find(|credential| &*credential.name == name)
    }

    /// The credential whose updates a key signs.
    pub fn of_key(&self, key: KeyId) -> Option<&Credential> {
        self.credentials.iter().find(|credential| credential.proof == CredentialProof::Key(key))
    }

    /// The owners of challenges, each with the apex of its zone and its credentials.
    pub fn owners(&self) -> impl Iterator<Item = (&NameBuf, &NameBuf, impl Iterator<Item = &Credential>)> {
        self.owners.iter().map(move |(name, owner)| {
            let credentials = owner.credentials.iter().map(move |place| &self.credentials[*place]);
            (&owner.zone, name, credentials)
        })
    }

    /// The apex of the zone of an owner of challenges; `None` if it is no such owner.
    pub fn zone_of(&self, owner: &NameBuf) -> Option<&NameBuf> {
        self.owners.get(owner).map(|owner| &owner.zone)
    }

    /// The credentials that may set tokens at an owner; empty if it is no owner of challenges.
    pub fn credentials_at(&self, owner: &NameBuf) -> impl Iterator<Item = &Credential> {
        let places = self.owners.get(owner).into_iter().flat_map(|owner| &owner.credentials);
        places.map(|place| &self.credentials[*place])
    }

    /// True if a credential may set tokens at an owner.
    pub fn permits(&self, credential: &str, owner: &NameBuf) -> bool {
        self.credentials_at(owner).any(|known| &*known.name == credential)
    }
}

impl Credential {
    /// True if requests may come from an address.
    pub fn admits(&self, address: IpAddr) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|prefix| prefix.contains(address))
    }

    /// The digest of its password; `None` for a key.
    pub(crate) fn password(&self) -> Option<&PasswordDigest> {
        match &self.proof {
            CredentialProof::Key(_) => None,
            CredentialProof::Password(digest) => Some(digest),
        }
    }

    /// The owners at which it may set tokens.
    pub fn owners(&self) -> &[NameBuf] {
        &self.owners
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NameBuf {
        NameBuf::parse(text).unwrap()
    }

    #[test]
    fn a_mirror_has_a_challenge_of_its_own_and_shares_one() {
        let names = MirrorNames::of("aws-use1", name("blob.k8s.io").as_name()).unwrap();
        let own = (name("aws-use1.blob.k8s.io"), name("_acme-challenge.aws-use1.blob.k8s.io"));
        assert_eq!(names, MirrorNames { shared: name("_acme-challenge.blob.k8s.io"), own: Some(own) });
        let names = MirrorNames::of("aws-use1", name("*.x.k8s.io").as_name()).unwrap();
        assert_eq!(names, MirrorNames { shared: name("_acme-challenge.x.k8s.io"), own: None });
        let long = [&[b'a'; 60][..], b".", &[b'b'; 60], b".", &[b'c'; 60], b".", &[b'd'; 55]].concat();
        let long = name(std::str::from_utf8(&long).unwrap());
        assert!(MirrorNames::of("m", long.as_name()).is_none());
    }

    #[test]
    fn a_credential_is_found_by_its_key_and_has_its_owners_alone() {
        let mut challenges = Challenges::default();
        assert!(!challenges.has_credentials());
        let (zone, shared, own) = (name("x"), name("_acme-challenge.x"), name("_acme-challenge.one.x"));
        let allow = vec!["192.0.2.0/24".parse().unwrap()];
        let both = [(zone.clone(), shared.clone()), (zone.clone(), own.clone()), (zone.clone(), shared.clone())];
        challenges.add(("key:one".into(), MirrorId(0)), KeyId(3).into(), allow, &both);
        challenges.add(
            ("user:two".into(), MirrorId(1)),
            PasswordDigest::NONE.into(),
            Vec::new(),
            &[(zone, shared.clone())],
        );
        assert!(challenges.has_credentials());
        assert_eq!(challenges.of_key(KeyId(3)).map(|credential| &*credential.name), Some("key:one"));
        assert!(challenges.of_key(KeyId(0)).is_none() && challenges.credential("user:one").is_none());
        let permits = |credential, owner: &NameBuf| challenges.permits(credential, owner);
        assert!(
            permits("key:one", &shared) && permits("key:one", &own) && permits("user:two", &name("_ACME-challenge.X"))
        );
        assert!(!permits("user:two", &own) && !permits("key:two", &shared) && !permits("key:one", &name("x")));
        let owners: Vec<(String, usize)> =
            challenges.owners().map(|(_, owner, credentials)| (owner.to_string(), credentials.count())).collect();
        assert_eq!(owners, [("_acme-challenge.x".into(), 2), ("_acme-challenge.one.x".into(), 1)]);
        let one = challenges.credential("key:one").unwrap();
        assert!(one.admits("192.0.2.7".parse().unwrap()) && !one.admits("198.51.100.7".parse().unwrap()));
        assert!(challenges.credential("user:two").unwrap().admits("2001:db8::1".parse().unwrap()));
    }
}
