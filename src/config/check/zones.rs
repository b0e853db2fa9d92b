//! `[[zone]]`: apexes that differ, and steered owners in the zones that answer for them.

use std::collections::HashMap;
use std::sync::Arc;

use super::Check;
use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::ids::{HorizonId, ServiceId};
use crate::base::name::{Name, NameBuf};
use crate::base::time::Ttl;
use crate::config::spec::{ServiceSpec, SteerSpec, Text, ZoneSpec};
use crate::config::{Hints, Service, Steer, Zone, limits, value};
use crate::snapshot::HTTPS_PORT;
use crate::zone::Relative;

/// A name as a key: its octets in lower case.
type NameKey = Vec<u8>;

fn key(name: Name<'_>) -> NameKey {
    name.as_wire().to_ascii_lowercase()
}

impl Check<'_> {
    pub(super) fn check_zones(&mut self, specs: &[ZoneSpec]) -> (Vec<Zone>, Vec<Service>) {
        let mut apexes: HashMap<NameKey, Place> = HashMap::new();
        let names: Vec<Option<NameBuf>> = specs.iter().map(|spec| self.check_apex(spec, &mut apexes)).collect();
        let mut owners: HashMap<NameKey, Place> = HashMap::new();
        let (mut zones, mut services) = (Vec::with_capacity(specs.len()), Vec::new());
        for (spec, name) in specs.iter().zip(names) {
            let file = spec.file.as_ref().map(|file| (self.path(file), file.place.clone()));
            let (primaries, roots) = self.check_primaries(spec);
            let transfer = spec.transfer.as_ref().map(|transfer| self.check_transfer(transfer, spec));
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
            let unsigned = spec.unsigned.as_ref().is_some_and(|unsigned| unsigned.value);
            let first_primary = spec.primaries.as_ref().and_then(|texts| Some(texts.first()?.place.clone()));
            let place = file.as_ref().map(|(_, place)| place.clone()).or(first_primary);
            let file = match file {
                // What is wrong with it has been reported.
                Some((None, _)) => continue,
                Some((Some(path), _)) => Some(path),
                None => None,
            };
            if let (Some(name), Some(place)) = (name, place) {
                let transfer = transfer.unwrap_or_default();
                zones.push(Zone { name, file, primaries, roots, transfer, unsigned, steer, place });
            }
        }
        (zones, services)
    }

    fn check_apex(&mut self, spec: &ZoneSpec, apexes: &mut HashMap<NameKey, Place>) -> Option<NameBuf> {
        let text = spec.name.as_ref()?;
        let name = self.parse(text, value::domain_name)?;
        if let Some(first) = apexes.get(&key(name.as_name())) {
            self.report(
                Diagnostic::error("duplicate-zone", format!("zone `{}` is configured twice", name.as_name()))
                    .at(text.place.clone(), "configured again")
                    .related(first.clone(), "first configured here")
                    .help("remove one of the two; one zone has one file and one list of steered owners"),
            );
            return None;
        }
        apexes.insert(key(name.as_name()), text.place.clone());
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
        let horizon = spec.horizon.as_ref().and_then(|horizon| match self.horizons.find(horizon) {
            Ok(at) => Some(HorizonId::from_index(at)),
            Err(problem) => {
                self.report(*problem);
                None
            }
        });
        let text = spec.owner.as_ref()?;
        let owner = self.check_owner(text, apex?.as_name(), apexes)?;
        if let Some(first) = owners.get(&key(owner.as_name())) {
            self.report(
                Diagnostic::error("duplicate-owner", format!("owner `{}` is steered twice", owner.as_name()))
                    .at(text.place.clone(), "steered again")
                    .related(first.clone(), "first steered here")
                    .help("remove one of the two; one horizon decides for an owner"),
            );
            return None;
        }
        owners.insert(key(owner.as_name()), text.place.clone());
        let ttl = spec.ttl.as_ref().map_or(limits::TTL_DEFAULT, |ttl| ttl.value);
        // The range has been checked when it was read.
        let ttl = Ttl(u32::try_from(ttl).unwrap_or(Ttl::MAX.0));
        let https = spec.https.as_ref().map(|https| self.check_service(https));
        let horizon = horizon?;
        let service = match https {
            Some((protocols, port, hints)) => {
                services.push(Service::new(horizon, &protocols, port, hints));
                Some(ServiceId::from_index(services.len() - 1))
            }
            None => None,
        };
        Some(Steer { owner, horizon, ttl, service, place: text.place.clone() })
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
        // The range has been checked when it was read.
        let port = spec.port.as_ref().and_then(|port| u16::try_from(port.value).ok()).unwrap_or(HTTPS_PORT);
        let hints = match &spec.hints {
            Some(hints) if !hints.value => Hints::Left,
            // Without them a client asks for A and AAAA all the same, and loses a round trip where they are not at hand.
            _ => Hints::Tailored,
        };
        (protocols.into_iter().map(|protocol| protocol.value).collect(), port, hints)
    }

    /// The absolute owner of a text as master files have it: `@`, relative, or absolute with a dot at its end.
    fn check_owner(&mut self, text: &Text, apex: Name<'_>, apexes: &HashMap<NameKey, Place>) -> Option<NameBuf> {
        if &*text.value == "@" {
            return Some(apex.to_owned());
        }
        let written = self.parse(text, value::domain_name)?;
        let is_absolute = text.value.ends_with('.') && !text.value.ends_with("\\.");
        let owner = if is_absolute {
            written
        } else {
            if !apex.is_root() && written.as_name().ends_with(apex) {
                self.report(doubled_owner(text, written.as_name(), apex));
                return None;
            }
            let octets = written.as_name().as_wire();
            let Some(owner) = NameBuf::joined(&octets[..octets.len() - 1], apex) else {
                self.report(
                    Diagnostic::error("bad-name", format!("`{}` is too long below `{apex}`", text.value))
                        .at(text.place.clone(), "over 255 octets in all")
                        .help("write a shorter owner"),
                );
                return None;
            };
            if let Relative::Absolute(name) = Relative::of(owner.as_name(), apex) {
                let message = format!("owner `{name}` is relative to the zone, so it is `{}`", owner.as_name());
                self.report(
                    Diagnostic::warning("missing-dot", message)
                        .at(text.place.clone(), "no final dot")
                        .help(format!("if `{name}.` is meant, move it to the zone that holds it")),
                );
            }
            owner
        };
        let mut ancestor = Some(owner.as_name());
        while let Some(name) = ancestor {
            if name == apex {
                return Some(owner);
            }
            if apexes.contains_key(&key(name)) {
                self.report(outside(text, owner.as_name(), apex, format!("move it to the zone `{name}`")));
                return None;
            }
            ancestor = name.parent();
        }
        let help = format!("write an owner relative to the zone, like `www`, or `@` for `{apex}` itself");
        self.report(outside(text, owner.as_name(), apex, help));
        None
    }
}

fn outside(text: &Text, owner: Name<'_>, apex: Name<'_>, help: String) -> Diagnostic {
    Diagnostic::error("owner-outside-zone", format!("owner `{owner}` is not answered by zone `{apex}`"))
        .at(text.place.clone(), "outside the zone")
        .help(help)
}

fn doubled_owner(text: &Text, written: Name<'_>, apex: Name<'_>) -> Diagnostic {
    let relative: Vec<String> = written
        .labels()
        .take(written.labels().count() - apex.labels().count())
        .map(|label| String::from_utf8_lossy(label).into_owned())
        .collect();
    let meant = if relative.is_empty() { "@".to_string() } else { relative.join(".") };
    let message = format!("owner `{written}` is relative to the zone, so it would be `{written}.{apex}`");
    Diagnostic::error("doubled-owner", message)
        .at(text.place.clone(), "a dot at its end is missing")
        .help(format!("did you mean `{meant}`? that is the same as `{written}.` with the dot"))
}
