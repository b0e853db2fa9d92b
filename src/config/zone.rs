//! `[[zone]]`: apexes that differ, and steered owners in the zones that answer for them.
//!
//! **Not here**: master files ([`crate::zone`], [`crate::load`]); primaries and parties ([`super::transfer`]).

use std::collections::HashMap;
use std::sync::Arc;

use super::check::{Check, optional};
use super::field::{Field, elements, read_tables, section};
use super::row::{KeyRow, Tables, flag, number, table, tables, text, texts};
use super::signing::{SigningConfig, SigningSpec};
use super::table::Table;
use super::transfer::{PrimaryConfig, TransferConfig, TransferSpec};
use super::{FileUse, Hints, InputFile, PlacedText, Service, SteeredExport, limits, value};
use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::ids::{HorizonId, ServiceId};
use crate::base::name::{NameBuf, NameKey};
use crate::base::time::Ttl;
use crate::snapshot::HTTPS_PORT;

section! {
    /// A zone as written.
    pub(super) struct ZoneSpec: "[[zone]]" then name_files {
        /// Apex of the zone.
        name: Option<PlacedText> = text("name", "domain name").required().example("\"blob.example.com\""),

        /// Master file (RFC 1035) with BIND's `$GENERATE`, every record type that BIND 9.18 reads, and RFC 3597 for others.
        /// Required without `primaries`; with them it is the file that keeps the copy.
        file: Option<PlacedText> = text("file", "path")
            .required_without(&["primaries"], "add `file = \"zones/blob.example.com.zone\"`")
            .example("\"zones/blob.example.com.zone\""),

        /// Owners whose A and AAAA records come from a horizon.
        steer: Vec<SteerSpec> = tables::<SteerSpec>("steer", limits::MAX_ITEMS).example("[{ owner = \"@\", horizon = \"blobs\" }]"),

        /// Parties that may transfer the zone, and servers to notify of changes.
        transfer: Option<TransferSpec> = table::<TransferSpec>("transfer").otherwise("no transfers"),

        /// Servers to fetch the zone from, asked in this order: `ADDRESS[:PORT]`, with `key:NAME` or `tls:NAME` behind it or
        /// both. Only their NOTIFY is accepted. With `tls:NAME`, the SOA and the zone come over TLS 1.3 alone, from a
        /// server whose certificate is for NAME and that selects the protocol `dot`. The port is 53, or 853 with
        /// `tls:NAME`.
        primaries: Option<Vec<PlacedText>> = texts("primaries", "server")
            .otherwise("none: the zone is read from `file`")
            .example("[\"192.0.2.1 key:xfer.example\"]"),

        /// PEM file with the roots that certificates of primaries with `tls:NAME` must lead to.
        roots: Option<PlacedText> = text("roots", "path").otherwise("the system's roots").example("\"roots.pem\""),

        /// Keys by which the zone is signed here. [DNSSEC](dnssec.md) has the steps.
        dnssec: Option<SigningSpec> = table::<SigningSpec>("dnssec")
            .otherwise("not signed here; a signed zone is served as it is")
            .example("{ keys = [\"keys/Kblob.example.com.+013+12345\"] }"),

        /// With `true`, a signed zone is served without its DNSSEC records.
        ///
        /// For a zone without a DS in the parent zone only, because resolvers that find one take unsigned answers for forged.
        unsigned: bool = flag("unsigned").default(false).example("true"),
    }
}

section! {
    /// One entry of `steer` as written.
    pub(super) struct SteerSpec: "steer" {
        /// Owner in the zone: `@` is the apex, `*.x` a wildcard.
        owner: Option<PlacedText> = text("owner", "domain name, or `@`").required().example("\"@\""),

        /// Horizon that decides.
        horizon: Option<PlacedText> = text("horizon", "horizon").required_or("add `horizon = \"…\"`").example("\"blobs\""),

        /// TTL of the addresses.
        ///
        /// A resolver that has just asked keeps a dead mirror for a minute, at one query a minute. With 0 every pull would
        /// ask again; above a day, clients would keep a dead mirror for as long.
        ttl: u32 = number("ttl", 1..=86_400, "seconds").default(60).example("30"),

        /// HTTPS record (RFC 9460) of the owner, with priority 1 and itself as target. The zone file must then have none.
        https: Option<ServiceSpec> = table::<ServiceSpec>("https").otherwise("no HTTPS record").example("{ alpn = [\"h2\", \"http/1.1\"] }"),
    }
}

section! {
    /// `https` of a steered owner as written.
    pub(super) struct ServiceSpec: "https" {
        /// Protocols of the mirrors by their TLS names, 8 at most.
        alpn: Vec<PlacedText> = texts("alpn", "protocol").otherwise("none: HTTP/1.1 alone").example("[\"h2\", \"http/1.1\"]"),

        /// Port of the mirrors.
        ///
        /// The port of URLs without one.
        port: u16 = number("port", limits::PORT, "").default(HTTPS_PORT as u64).example("8443"),

        /// With `true`, the record has the addresses of the client's A and AAAA answers as `ipv4hint` and `ipv6hint`.
        ///
        /// Without hints a client loses a round trip if it does not know the addresses yet.
        hints: bool = flag("hints").default(true).example("false"),
    }
}

/// All zones.
#[derive(Debug)]
pub(super) struct Zones(pub(super) Vec<ZoneSpec>);

impl Field<Tables<ZoneSpec>> for Zones {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<Tables<ZoneSpec>>) -> Self {
        let row = key.row();
        let elements = elements(table, &row);
        // A registry listener whose mirrors have URLs of their own needs no zone; `check_deployment` looks at the others.
        if elements.is_empty() && !table.has("registry") {
            table.reader.report(
                Diagnostic::error("no-zone", "no zone is configured").at(table.reader.whole_file(), "").help(
                    "add `[[zone]]` with `name = \"blob.example.com\"` and `file = \"zones/blob.example.com.zone\"`",
                ),
            );
        }
        Zones(read_tables(table, &row, "zones", elements))
    }
}

fn name_files(spec: &ZoneSpec, table: &Table<'_, '_>) {
    if let Some(roots) = &spec.roots {
        table.reader.name_file(FileUse::Roots, roots);
    }
    if let Some(file) = &spec.file {
        let usage = if spec.primaries.is_some() { FileUse::Copy } else { FileUse::Zone };
        table.reader.name_file(usage, file);
    }
}

/// `[[zone]]`
#[derive(Clone, Debug)]
pub struct ZoneConfig {
    /// The apex.
    pub(crate) name: NameBuf,
    /// The master file, or the file that keeps the copy of a zone with `primaries`. `None` only for such a zone.
    pub(crate) file: Option<InputFile>,
    /// The servers to fetch the zone from; empty for one that is read from its file.
    pub(crate) primaries: Vec<PrimaryConfig>,
    /// A PEM file of the roots that certificates of primaries must lead to. `None` means those of this system.
    pub(crate) roots: Option<InputFile>,
    /// The parties that may have it, and the servers to notify of changes.
    pub(crate) transfer: TransferConfig,
    /// The keys by which it is signed here. `None` for a zone that is served as it is.
    pub(crate) signing: Option<SigningConfig>,
    /// True if a signed zone is served without its DNSSEC records.
    pub(crate) unsigned: bool,
    /// The owners whose addresses depend on the client.
    pub(crate) steer: Vec<Steer>,
    /// The names of ACME challenges, and those of mirrors with credentials.
    pub(crate) reserved: Vec<ReservedName>,
    /// The place of its file, or of its primaries, in the config.
    pub(crate) place: Place,
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

#[cfg(test)]
impl ZoneConfig {
    /// A zone with nothing but a name: its other fields have the values of keys that are left out.
    pub(crate) fn named(name: NameBuf, place: Place) -> Self {
        let (transfer, unsigned) = (TransferConfig::default(), false);
        ZoneConfig {
            name,
            file: None,
            primaries: Vec::new(),
            roots: None,
            transfer,
            signing: None,
            unsigned,
            steer: Vec::new(),
            reserved: Vec::new(),
            place,
        }
    }
}

/// One steered owner.
#[derive(Clone, Debug)]
pub(crate) struct Steer {
    /// The owner, absolute.
    pub(crate) owner: NameBuf,
    /// The horizon that decides.
    pub(crate) horizon: HorizonId,
    /// The TTL of the addresses.
    pub(crate) ttl: Ttl,
    /// Its HTTPS record. `None` without one.
    pub(crate) service: Option<ServiceId>,
    /// The place of its owner in the config.
    pub(crate) place: Place,
}

impl Check<'_> {
    pub(super) fn check_zones(&mut self, specs: &[ZoneSpec]) -> (Vec<ZoneConfig>, Vec<Service>) {
        let mut apexes: HashMap<NameKey, Place> = HashMap::new();
        let names: Vec<Option<NameBuf>> = specs.iter().map(|spec| self.check_apex(spec, &mut apexes)).collect();
        let mut owners: HashMap<NameKey, Place> = HashMap::new();
        let (mut zones, mut services) = (Vec::with_capacity(specs.len()), Vec::new());
        for (spec, name) in specs.iter().zip(names) {
            let usage = if spec.primaries.is_some() { FileUse::Copy } else { FileUse::Zone };
            let file = optional(spec.file.as_ref(), |file| self.input(file, usage));
            let texts = spec.primaries.as_deref().unwrap_or_default();
            let (primaries, roots) = self.check_primaries(texts, spec.roots.as_ref());
            let transfer = spec.transfer.as_ref().map(|transfer| self.check_zone_transfer(transfer, spec));
            if let (Some(_), Some(steer)) = (&spec.primaries, spec.steer.first().and_then(|steer| steer.owner.as_ref()))
            {
                self.report(
                    Diagnostic::error(
                        "steered-copy",
                        "a zone that is fetched from `primaries` cannot have steered owners",
                    )
                    .at(steer.place.clone(), "steered here")
                    .help("keep the zone here with `file`, or delegate the steered name to a zone of its own"),
                );
            }
            let mut steer = Vec::with_capacity(spec.steer.len());
            for spec in &spec.steer {
                steer.extend(self.check_steer(spec, name.as_ref(), &apexes, &mut owners, &mut services));
            }
            let signing = spec.dnssec.as_ref().map(|dnssec| self.check_signing(dnssec, spec.unsigned));
            let first_primary = spec.primaries.as_ref().and_then(|texts| Some(texts.first()?.place.clone()));
            let Some(file) = file else { continue };
            let place = file.as_ref().map(|file| file.place.clone()).or(first_primary);
            if let (Some(name), Some(place)) = (name, place) {
                zones.push(ZoneConfig {
                    name,
                    file,
                    primaries,
                    roots,
                    transfer: transfer.unwrap_or_default(),
                    signing,
                    unsigned: spec.unsigned,
                    steer,
                    reserved: Vec::new(),
                    place,
                });
            }
        }
        (zones, services)
    }

    fn check_zone_transfer(&mut self, spec: &TransferSpec, zone: &ZoneSpec) -> TransferConfig {
        let transfer = self.check_transfer(spec);
        if let (Some(first), Some(_)) = (spec.allow.first(), &zone.dnssec) {
            self.report(
                Diagnostic::warning("signed-transfer", "a zone that is signed here is not transferred")
                    .at(first.place.clone(), "every request is refused")
                    .help("its signatures change without a new serial: give each server the zone and its keys instead"),
            );
        } else if let (Some(first), SteeredExport::Refused, false) =
            (spec.allow.first(), transfer.steered, zone.steer.is_empty())
        {
            self.report(
                Diagnostic::warning("steered-transfer", "a zone with steered owners is not transferred")
                    .at(first.place.clone(), "every request is refused")
                    .help("write `steered = \"default\"` to export the addresses of clients that meet no rule"),
            );
        }
        transfer
    }

    fn check_apex(&mut self, spec: &ZoneSpec, apexes: &mut HashMap<NameKey, Place>) -> Option<NameBuf> {
        let text = spec.name.as_ref()?;
        let name = self.parse(text, value::domain_name)?;
        if let Some(first) = apexes.get(&name.as_name().key()) {
            self.report(
                Diagnostic::error("duplicate-zone", format!("zone `{}` is configured twice", name.as_name()))
                    .at(text.place.clone(), "configured again")
                    .related(first.clone(), "first configured here")
                    .help("remove one of the two; one zone has one file and one list of steered owners"),
            );
            return None;
        }
        apexes.insert(name.as_name().key(), text.place.clone());
        Some(name)
    }

    fn check_steer(
        &mut self,
        spec: &SteerSpec,
        apex: Option<&NameBuf>,
        apexes: &HashMap<NameKey, Place>,
        owners: &mut HashMap<NameKey, Place>,
        services: &mut Vec<Service>,
    ) -> Option<Steer> {
        let horizon = spec.horizon.as_ref().and_then(|horizon| self.found(self.horizons.find(horizon)));
        let text = spec.owner.as_ref()?;
        let owner = self.check_owner(text, apex?.as_name(), apexes)?;
        if let Some(first) = owners.get(&owner.as_name().key()) {
            self.report(
                Diagnostic::error("duplicate-owner", format!("owner `{}` is steered twice", owner.as_name()))
                    .at(text.place.clone(), "steered again")
                    .related(first.clone(), "first steered here")
                    .help("remove one of the two; one horizon decides for an owner"),
            );
            return None;
        }
        owners.insert(owner.as_name().key(), text.place.clone());
        let https = spec.https.as_ref().map(|https| self.check_service(https));
        let horizon = HorizonId::from_index(horizon?);
        let service = https.map(|(protocols, port, hints)| {
            services.push(Service::new(horizon, &protocols, port, hints));
            ServiceId::from_index(services.len() - 1)
        });
        Some(Steer { owner, horizon, ttl: Ttl(spec.ttl), service, place: text.place.clone() })
    }

    /// The protocols, port and hints of an HTTPS record.
    fn check_service(&mut self, spec: &ServiceSpec) -> (Vec<Arc<[u8]>>, u16, Hints) {
        let protocols = self.parse_all(&spec.alpn, value::protocol);
        if let Some(over) = protocols.get(limits::MAX_PROTOCOLS) {
            let most = limits::MAX_PROTOCOLS;
            let message = format!("an HTTPS record has {} protocols", protocols.len());
            let help = format!("keep to {most}; all of them go into every answer");
            self.report(Diagnostic::error("too-many", message).at(over.place.clone(), "one too many").help(help));
        }
        let hints = if spec.hints { Hints::Tailored } else { Hints::Left };
        (protocols.into_iter().map(|protocol| protocol.value).collect(), spec.port, hints)
    }
}
