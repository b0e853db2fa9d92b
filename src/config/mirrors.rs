//! `[mirrors]`: addresses that clients can reach, and names of their own.
//!
//! **Invariants**: a mirror has addresses, a host, or both; or a URL alone.
//! **Not here**: mirrors that no horizon names ([`super::meaning`]); probing ([`crate::probe`]).

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::check::Check;
use super::credential::CredentialSpec;
use super::field::{Field, Named, section};
use super::row::{KeyRow, Other, flag, numbers, other, tables, text, texts};
use super::table::Table;
use super::{Number, PlacedText, ZoneConfig, limits, value};
use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::geo::Coordinates;
use crate::base::ids::MirrorId;
use crate::base::name::NameBuf;
use crate::base::prefix::Prefix;
use crate::base::time::Ttl;
use crate::mirror::{Addressing, ContentPlace, Mirror, Redirects, is_steered};

section! {
    /// A mirror as written.
    pub(super) struct MirrorSpec: "mirror" then complete {
        /// IPv4 and IPv6 addresses, 32 at most. One of `addresses`, `host` and `url` is required.
        ///
        /// All addresses of a family are one answer, and 32 AAAA records fit a datagram that is not fragmented.
        addresses: Vec<PlacedText> = texts("addresses", "address")
            .otherwise("those of `host`")
            .example("[\"192.0.2.10\", \"2001:db8::10\"]"),

        /// Host name of the mirror, for `[registry] direct`. Without `addresses` it is resolved, and its addresses are kept
        /// up to date.
        ///
        /// A load balancer or CDN changes its addresses, and a CNAME cannot stand beside other records of the steered
        /// name.
        host: Option<PlacedText> = text("host", "host name").example("\"mirror-a.example.com\""),

        /// URL of a blob at a mirror that cannot serve the steered name, such as a bucket, instead of `addresses` and `host`.
        /// DNS never answers with such a mirror; the registry listener redirects clients to it. Placeholders are
        /// `{digest}`, `{algorithm}`, `{hex}`, `{name}`, `{path}` and `{rest}`.
        ///
        /// It is probed and asked at its own name, which its certificate must have. Only https is accepted.
        url: Option<PlacedText> = text("url", "URL with placeholders")
            .otherwise("the mirror serves the steered name")
            .example("\"https://bucket.s3.dualstack.us-east-2.amazonaws.com/containers/images/{digest}\""),

        /// Path of a blob at the mirror, with the placeholders of `url`.
        ///
        /// The registry listener redirects to it. All mirrors that DNS may give one client need the same path, because the
        /// listener does not see which of them the client takes.
        path: Option<PlacedText> = text("path", "path with placeholders")
            .otherwise("`/v2/{name}/blobs/{digest}`")
            .example("\"/containers/images/{digest}\""),

        /// Statuses by which the mirror says that it lacks a blob, besides 404 and 410.
        ///
        /// S3 answers 403 instead of 404 if its bucket cannot be listed.
        missing: Option<Vec<Number>> = numbers("missing", 400..=499).otherwise("404 and 410 alone").example("[403]"),

        /// With `"follow"`, a redirect for a blob means that the mirror has it, unless it leads to the host of `canonical`, of
        /// `blobs` or of `[probe] name`. Probes follow it over https, three times at most.
        ///
        /// Registries that keep blobs in a bucket redirect to a signed URL of it. Elsewhere a redirect is the sign of a missing
        /// blob.
        redirects: Option<PlacedText> = text("redirects", "`\"refuse\"` or `\"follow\"`").default("refuse").example("\"follow\""),

        /// With `false`, the registry listener asks this mirror for no blob and no file of `paths`, and counts it as having all of
        /// them.
        ///
        /// A question makes a pull-through cache fetch the blob.
        ask: bool = flag("ask").default(true).example("false"),

        /// Position for `nearest`: `[LATITUDE, LONGITUDE]` in degrees, from -90 to 90 and from -180 to 180.
        location: Option<LocationSpec> = other("location", "two numbers").otherwise("unknown").example("[50.11, 8.68]"),

        /// Contact of the mirror's operator: a mail address, a URL or a channel, in one line of 256 bytes at most. `status`
        /// shows it beside trouble, `mirror list` and `explain --json` always, and alerts get it from `pharos_mirror_info`.
        contact: Option<PlacedText> = text("contact", "line of text").example("\"mirrors@example.com\""),

        /// Credentials of the machines that renew this mirror's certificate, one for each machine. The mirror then has the
        /// name `MIRROR.OWNER` below each steered owner that leads to it, with its own addresses, and proves both names at
        /// `_acme-challenge`. Its name must be one label of letters, digits and hyphens. Needs `[acme]`.
        acme: Vec<CredentialSpec> = tables::<CredentialSpec>("acme", limits::MAX_CREDENTIALS)
            .example("[{ key = \"use1.mirrors.example\" }]"),
    }
}

/// `location` of a mirror. `None` for a text that is no position, which has been reported.
#[derive(Debug)]
pub(super) struct LocationSpec(Option<Coordinates>);

impl Field<Other> for Option<LocationSpec> {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<Other>) -> Self {
        Some(LocationSpec(table.value(&key.row())?.coordinates()))
    }
}

/// Reports a mirror without any address, and one with keys that exclude each other.
fn complete(spec: &MirrorSpec, table: &Table<'_, '_>) {
    // A key left over is likely one of these misspelt, and is reported as unknown.
    if !table.has("addresses") && !table.has("host") && !table.has("url") && table.len() == 0 {
        table.reader.report(
            Diagnostic::error("missing-key", format!("{} has no `addresses`, `host` or `url`", table.title))
                .at(table.place.clone(), "nothing to steer to")
                .help(
                    "add `addresses = [\"192.0.2.10\", \"2001:db8::10\"]`, `host = \"…\"` to have a name resolved, or \
                     `url = \"…\"` for a bucket",
                ),
        );
    }
    let Some(url) = &spec.url else { return };
    let addresses = spec.addresses.first().map(|address| ("addresses", address));
    let others =
        [addresses, spec.host.as_ref().map(|host| ("host", host)), spec.path.as_ref().map(|path| ("path", path))];
    for (key, text) in others.into_iter().flatten() {
        table.reader.report(
            Diagnostic::error("url-and-more", format!("`url` and `{key}` exclude each other"))
                .at(text.place.clone(), "of a mirror that serves the steered name")
                .related(url.place.clone(), "of a mirror with a URL of its own")
                .help("remove `url` if the mirror has a certificate for the steered name, and write its `path`; else remove the other"),
        );
    }
}

/// One `[mirrors.*]`.
#[derive(Clone, Debug)]
pub(crate) struct MirrorEntry {
    /// The mirror.
    pub(crate) mirror: Mirror,
    /// Its position. `None` if `location` is not written.
    pub(crate) location: Option<Coordinates>,
    /// The place of its name in the config.
    pub(crate) place: Place,
}

/// All mirrors.
pub(super) struct MirrorsConfig {
    /// In file order, the wrong ones too.
    pub(super) entries: Vec<MirrorEntry>,
    /// Mirrors with an error, which may have more addresses than are known.
    pub(super) broken: HashSet<MirrorId>,
}

impl MirrorsConfig {
    /// The first of these mirrors that lacks something, without those with an error.
    pub(super) fn lacking(
        &self,
        mut ids: impl Iterator<Item = MirrorId>,
        has: impl Fn(&Mirror) -> bool,
    ) -> Option<&MirrorEntry> {
        let id = ids.find(|id| !has(&self.entries[id.index()].mirror) && !self.broken.contains(id))?;
        Some(&self.entries[id.index()])
    }

    /// Lets no mirror redirect to these hosts, which lead back to mirrors or to canonical.
    pub(super) fn except_from_redirects(&mut self, hosts: &[Arc<str>]) {
        for entry in &mut self.entries {
            if let Redirects::Followed { except } = &mut Arc::make_mut(&mut entry.mirror.content).redirects {
                *except = hosts.into();
            }
        }
    }

    /// Leaves the hosts of redirect-only mirrors to clients: without probes nothing here connects to them.
    pub(super) fn leave_urls_unresolved(&mut self) {
        for entry in self.entries.iter_mut().filter(|entry| entry.mirror.is_redirect_only()) {
            entry.mirror.addressing = Addressing::Written;
        }
    }
}

/// The addressing of a mirror whose host has not been resolved yet.
const UNRESOLVED: Addressing = Addressing::Resolved { at: None, ttl: Ttl(0) };

/// True for the blocks of RFC 1918, RFC 6598 and RFC 4193.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64,
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

impl Check<'_> {
    /// `private` are the private networks of `[resolver]`: its clients are in them.
    pub(super) fn check_mirrors(&mut self, specs: &[Named<MirrorSpec>], private: &[Prefix]) -> MirrorsConfig {
        let mut seen: HashMap<IpAddr, (Place, usize)> = HashMap::new();
        let mut mirrors = MirrorsConfig { entries: Vec::with_capacity(specs.len()), broken: HashSet::new() };
        for (index, spec) in specs.iter().enumerate() {
            let before = self.problems.len();
            let mirror = self.check_mirror(index, specs, private, &mut seen);
            let has_no_address = mirror.v4.is_empty() && mirror.v6.is_empty() && mirror.host.is_none();
            let location = spec.keys.location.as_ref();
            let is_wrong = self.problems[before..].iter().any(Diagnostic::is_error)
                || matches!(location, Some(LocationSpec(None)));
            if has_no_address || is_wrong {
                mirrors.broken.insert(MirrorId::from_index(index));
            }
            let location = location.and_then(|location| location.0);
            mirrors.entries.push(MirrorEntry { mirror, location, place: spec.name.place.clone() });
        }
        mirrors
    }

    /// The mirror at an index; `seen` are the addresses of those before it, with their places and mirrors.
    fn check_mirror(
        &mut self,
        index: usize,
        specs: &[Named<MirrorSpec>],
        private: &[Prefix],
        seen: &mut HashMap<IpAddr, (Place, usize)>,
    ) -> Mirror {
        let Named { name, keys } = &specs[index];
        self.parse(name, value::word);
        let mut mirror = Mirror::named(name.value.clone());
        let url = keys.url.as_ref().and_then(|url| self.parse(url, value::mirror_url));
        mirror.host = match &url {
            Some(url) => Some(url.host.clone()),
            None => keys.host.as_ref().and_then(|host| self.parse(host, value::host_name)),
        };
        let path = keys.path.as_ref().and_then(|path| self.parse(path, value::mirror_path));
        // The range of the row keeps numbers within 16 bits.
        let missing = keys.missing.iter().flatten().filter_map(|status| u16::try_from(status.value).ok()).collect();
        let redirects = keys.redirects.as_ref().map_or(Redirects::Refused, |text| self.check_redirects(text));
        mirror.content = Arc::new(ContentPlace { url, path, missing, redirects });
        mirror.is_asked = keys.ask;
        mirror.contact = keys.contact.as_ref().and_then(|contact| self.parse(contact, value::contact));
        if keys.addresses.is_empty() {
            mirror.addressing = UNRESOLVED;
        }
        for text in &keys.addresses {
            let Some(address) = self.parse(text, value::mirror_address) else { continue };
            let (first, of) = seen.entry(address).or_insert_with(|| (text.place.clone(), index));
            if *first != text.place {
                self.report(repeated_address(address, text, first, &specs[*of].name, *of == index));
            }
            if is_private(address) && !private.iter().any(|prefix| prefix.contains(address)) {
                self.report(private_address(address, text));
            }
            match address {
                IpAddr::V4(v4) if !mirror.v4.contains(&v4) => mirror.v4.push(v4),
                IpAddr::V6(v6) if !mirror.v6.contains(&v6) => mirror.v6.push(v6),
                _ => {}
            }
        }
        if let Some(over) = keys.addresses.get(limits::MAX_ADDRESSES) {
            let most = limits::MAX_ADDRESSES;
            let message = format!("mirror `{}` has {} addresses", mirror.name, keys.addresses.len());
            let help = format!("keep to {most}: all of them go into one answer");
            self.report(Diagnostic::error("too-many", message).at(over.place.clone(), "one too many").help(help));
        }
        mirror
    }

    fn check_redirects(&mut self, text: &PlacedText) -> Redirects {
        match &*text.value {
            "follow" => return Redirects::Followed { except: Box::default() },
            "refuse" => {}
            other => self.report(
                Diagnostic::error("unknown-redirects", format!("`{other}` is no treatment of redirects"))
                    .at(text.place.clone(), "neither `refuse` nor `follow`")
                    .help("write `follow` for a registry that redirects to its storage, or leave it out"),
            ),
        }
        Redirects::Refused
    }

    /// A mirror must not follow a name whose addresses come from mirrors.
    pub(super) fn check_hosts(&mut self, specs: &[Named<MirrorSpec>], mirrors: &[MirrorEntry], zones: &[ZoneConfig]) {
        let steered: Vec<_> = zones.iter().flat_map(|zone| &zone.steer).map(|steer| steer.owner.clone()).collect();
        for (spec, entry) in specs.iter().zip(mirrors) {
            let host = spec.keys.host.as_ref().or(spec.keys.url.as_ref());
            let Some((text, host)) = host.zip(entry.mirror.followed_host()) else { continue };
            let name = NameBuf::parse(host);
            if name.is_ok_and(|name| is_steered(name.as_name(), &steered)) {
                self.report(
                    Diagnostic::error("steered-host", format!("`{host}` is steered: its addresses come from mirrors"))
                        .at(text.place.clone(), "a mirror cannot follow it")
                        .help("write a name of the mirror's own, or its `addresses`"),
                );
            }
        }
    }
}

/// An address that is written again; `first` is its first place, in the mirror `of`.
fn repeated_address(
    address: IpAddr,
    again: &PlacedText,
    first: &Place,
    of: &PlacedText,
    is_same_mirror: bool,
) -> Diagnostic {
    let help = if is_same_mirror {
        "remove one of the two"
    } else {
        "check both: mirrors that share an address are one machine, and fail together"
    };
    Diagnostic::warning("repeated-address", format!("address `{address}` is written twice"))
        .at(again.place.clone(), "written again")
        .related(first.clone(), format!("first written here, for mirror `{}`", of.value))
        .help(help)
}

fn private_address(address: IpAddr, text: &PlacedText) -> Diagnostic {
    let message = format!("`{address}` is a private address, which clients on the internet cannot reach");
    Diagnostic::warning("private-address", message)
        .at(text.place.clone(), "not reachable from elsewhere")
        .help("write the public address; if all clients are in the same network, name that under `[resolver] private`")
}
