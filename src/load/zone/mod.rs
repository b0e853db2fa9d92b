//! Zones: master files in (RFC 1035 §5), [`zone::Zone`]s out.
//!
//! In: a `[[zone]]` of the config and the files it names. Out: the zone and warnings, or all of its errors.
//!
//! This module splits the text into entries and reads owners, TTLs, directives and data, each with its line. The reader of NLnet
//! Labs' `domain` is not used: it would stop at the first error, take 3600 if no TTL is given, and refuse `$TTL 1h`, which other
//! servers take.
//!
//! **Invariants**: a zone is read whole or refused; diagnostics are in the order of the files.
//! **Not here**: the list of zones ([`crate::config`]), the contents of a zone ([`crate::zone`]).

pub mod copy;
mod generate;
mod names;
mod rdata;
mod reader;
mod reason;
mod records;
mod sources;
mod split;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::base::diagnostic::{Diagnostic, Place, Severity};
use crate::base::rr::Rtype;
use crate::config;
use crate::files::FileKind;
use crate::load::hosts::{Purpose, ServedZone};
use crate::zone::{
    self, AddError, ReservedOwner, SignedZone, SigningTerms, Steered, ZoneBuilder, ZoneProblem, check_presigned,
};
use reader::ZoneReader;
pub(crate) use records::{TextRecord, records_of};
use sources::Sources;

/// The code of the warning about a zone that is served without its file.
pub(crate) const ZONE_REFUSED: &str = "zone-refused";

/// The most bytes of a zone's files together: 1 GiB, some 25 million records.
pub(crate) const MAX_FILE_LEN: usize = FileKind::Zone.max_len() as usize;

/// The most records of a zone, duplicates counted.
pub(crate) const MAX_RECORDS: usize = 50_000_000;

/// The greatest depth of inclusions: operators do not nest deeper by hand.
pub(crate) const MAX_INCLUDE_DEPTH: usize = 8;

/// The most inclusions in a zone, so that files that include each other twice do not grow without end.
pub(crate) const MAX_INCLUDES: usize = 10_000;

/// The most records that all `$GENERATE` of a zone make, each of them at most 65,536.
pub(crate) const MAX_GENERATED_IN_ZONE: u32 = 1 << 20;

/// The most diagnostics of one zone: more of them have one cause, and operators do not read so many.
pub(crate) const MAX_DIAGNOSTICS: usize = 100;

/// Reads the zone that the config describes; `terms` has its keys if it is signed here.
pub(crate) fn read(
    zone: &config::ZoneConfig,
    terms: Option<&SigningTerms>,
) -> Result<(zone::Zone, Vec<Diagnostic>), Vec<Diagnostic>> {
    let treatment = treatment(zone, terms);
    let file = match &zone.file {
        Some(file) if zone.primaries.is_empty() => file,
        _ => return Ok(copy::read(zone, treatment, SystemTime::now())),
    };
    let text = file.read().map_err(|why| vec![reason::unreadable(&file.path, zone.place.clone(), &why.into())])?;
    let (read, mut found) =
        read_as(zone, treatment, &file.path, text.bytes, &mut |path| Ok(file.read_part(path)?.bytes))?;
    found.extend(signed_faults(zone, treatment, &read, SystemTime::now()));
    if found.iter().any(Diagnostic::is_error) { Err(found) } else { Ok((read, found)) }
}

/// The treatment of DNSSEC records of a zone. If it is signed here and its keys are not known, none of its signatures is kept.
fn treatment(zone: &config::ZoneConfig, terms: Option<&SigningTerms>) -> SignedZone {
    match (terms, &zone.signing) {
        (None, Some(_)) => SignedZone::SignedHere,
        _ => SignedZone::of(terms, zone.unsigned),
    }
}

/// The problems of a signed zone that is served as it is.
fn signed_faults(
    zone: &config::ZoneConfig,
    treatment: SignedZone,
    read: &zone::Zone,
    now: SystemTime,
) -> Vec<Diagnostic> {
    if treatment != SignedZone::Kept {
        return Vec::new();
    }
    let challenge = zone.reserved.iter().find(|name| name.is_challenge).map(|name| &name.owner);
    let faults = check_presigned(read, challenge, super::unix(now));
    faults.iter().map(|fault| reason::signed_fault(zone.place.clone(), fault)).collect()
}

/// The diagnostics of a zone that is not served, so that other zones are: its errors as warnings, and the consequence. A
/// file that cannot be read at all stays an error, because then the configuration is wrong.
pub(super) fn held_back(zone: &config::ZoneConfig, mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    if found.iter().any(|problem| problem.code == reason::UNREADABLE) {
        return found;
    }
    found.iter_mut().for_each(|problem| problem.severity = Severity::Warning);
    let message = format!("zone `{}` is not served: its file is refused, and it answers SERVFAIL", zone.name);
    let what = Diagnostic::warning("zone-not-served", message).at(zone.place.clone(), "this file");
    found.push(what.help("mend the file and reload; `pharos check` shows all of its errors"));
    found
}

/// The served records of a zone whose file is refused at a reload, steered as the config says, and the consequence in words.
/// `None` if the refusal is one of the whole configuration: the zone was not served from this file, or its served records do
/// not admit the owners that are to be steered.
///
/// The steered owners are those of the new configuration, because the served ones are ids of the horizons before.
pub(super) fn stand_in(zone: &config::ZoneConfig, purpose: &Purpose) -> Option<(Arc<zone::Zone>, Diagnostic)> {
    let (Purpose::Reload(served), Some(file)) = (purpose, &zone.file) else { return None };
    let is_same = |served: &&ServedZone| served.zone.apex() == zone.name.as_name() && served.file == file.file;
    let steer: Vec<_> = zone.steer.iter().map(|steer| (steer.owner.as_name(), steered(steer))).collect();
    let kept = served.zones.iter().find(is_same)?.zone.steered_by(&steer)?;
    let (name, serial) = (&zone.name, kept.serial());
    let message = format!("zone `{name}` keeps its served records (serial {serial}): its file is refused");
    let what = Diagnostic::warning(ZONE_REFUSED, message).at(zone.place.clone(), "this file");
    Some((kept, what.help("mend the file and reload; `pharos check` shows all of its errors")))
}

fn steered(steer: &config::Steer) -> Steered {
    Steered { horizon: steer.horizon, ttl: steer.ttl, service: steer.service }
}

/// Reads the zone that the config describes, without a look at its signatures. `text` is the contents of `file`; `read_file`
/// reads included files.
pub fn read_text(
    zone: &config::ZoneConfig,
    file: &Path,
    text: Vec<u8>,
    read_file: &mut dyn FnMut(&Path) -> io::Result<Vec<u8>>,
) -> Result<(zone::Zone, Vec<Diagnostic>), Vec<Diagnostic>> {
    read_as(zone, treatment(zone, None), file, text, read_file)
}

fn read_as(
    zone: &config::ZoneConfig,
    treatment: SignedZone,
    file: &Path,
    text: Vec<u8>,
    read_file: &mut dyn FnMut(&Path) -> io::Result<Vec<u8>>,
) -> Result<(zone::Zone, Vec<Diagnostic>), Vec<Diagnostic>> {
    let places = zone.steer.iter().map(|steer| &steer.place).chain(zone.reserved.iter().map(|name| &name.place));
    let sources = Sources::new(places.cloned().collect());
    let mut reader =
        ZoneReader::new(zone.name.as_name(), treatment, ZoneBuilder::new(zone.name.clone()), sources, read_file);
    reader.read(file, text);
    let ZoneReader { mut builder, sources, mut diagnostics, records, left_out, .. } = reader;
    if let Some(place) = left_out.first {
        diagnostics.push(reason::signed_zone(place, treatment, left_out.count));
    }
    for (steer, tag) in zone.steer.iter().zip(0..) {
        if let Err(error) = builder.steer(steer.owner.as_name(), steered(steer), tag) {
            diagnostics.push(cannot_steer(steer, zone, error));
        }
    }
    for (name, tag) in zone.reserved.iter().zip(zone.steer.len() as u32..) {
        // A record of the file with a TTL would keep a new token from resolvers.
        let types: &[Rtype] =
            if name.is_challenge { &[Rtype::A, Rtype::AAAA, Rtype::TXT] } else { &[Rtype::A, Rtype::AAAA] };
        builder.reserve(ReservedOwner { owner: name.owner.clone(), types, tag });
    }
    let whole = Place::whole_file(&file.display().to_string().into());
    let is_whole = !diagnostics.iter().any(Diagnostic::is_error);
    if is_whole && records == 0 {
        diagnostics.push(reason::no_records(whole));
        return Err(diagnostics);
    }
    // After a parse error, skip the whole-zone checks: missing records would cause false errors.
    if !is_whole {
        return Err(cut(diagnostics));
    }
    let (built, problems) = match builder.finish() {
        Ok((built, problems)) => (Some(built), problems),
        Err(problems) => (None, problems),
    };
    // Finding a line is slow, so that it is done only for diagnostics that are shown.
    let mut room = [MAX_DIAGNOSTICS + 1; 2];
    for problem in &problems {
        let left = &mut room[usize::from(problem.fault.severity() == Severity::Error)];
        if *left > 0 {
            *left -= 1;
            diagnostics.push(show(problem, &sources, &whole));
        }
    }
    let diagnostics = cut(diagnostics);
    match built {
        Some(built) => Ok((built, diagnostics)),
        None => Err(diagnostics),
    }
}

fn cannot_steer(steer: &config::Steer, zone: &config::ZoneConfig, error: AddError) -> Diagnostic {
    Diagnostic::error("cannot-steer", format!("cannot steer `{}`: {error}", steer.owner))
        .at(steer.place.clone(), "")
        .help(format!("an owner is steered once, and is `{}` or below it", zone.name))
}

/// A problem of the zone as a whole, with its place.
fn show(problem: &ZoneProblem, sources: &Sources, whole: &Place) -> Diagnostic {
    let place = problem.tag.and_then(|tag| sources.place(tag)).unwrap_or_else(|| whole.clone());
    let related = problem.related.and_then(|(tag, label)| Some((sources.place(tag)?, label)));
    let diagnostic = Diagnostic::new(problem.fault.severity(), problem.fault.as_str(), problem.to_string());
    let diagnostic = diagnostic.at(place, problem.label()).help(problem.help());
    related.into_iter().fold(diagnostic, |diagnostic, (place, label)| diagnostic.related(place, label))
}

/// As many diagnostics as are of use, errors rather than warnings, and a word if there are more.
fn cut(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    if diagnostics.len() > MAX_DIAGNOSTICS {
        let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
        let (mut errors, mut warnings) = (errors.min(MAX_DIAGNOSTICS), MAX_DIAGNOSTICS.saturating_sub(errors));
        diagnostics.retain(|diagnostic| {
            let room = if diagnostic.is_error() { &mut errors } else { &mut warnings };
            let stays = *room > 0;
            *room = room.saturating_sub(1);
            stays
        });
        let left_out = format!("the first {MAX_DIAGNOSTICS} problems are shown, and there are more");
        let severity = if diagnostics.iter().any(Diagnostic::is_error) { Severity::Error } else { Severity::Warning };
        let more = Diagnostic::new(severity, "more-problems", left_out);
        diagnostics.push(more.help("these problems probably have the same cause"));
    }
    diagnostics
}

#[cfg(test)]
mod tests;
