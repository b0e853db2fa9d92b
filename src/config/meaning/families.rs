//! Families of addresses: the existence of a type never depends on the client (RFC 7871 §7.4).
//!
//! A resolver caches the absence of AAAA records for all of its clients. If any client of a horizon has addresses of a
//! family, all must have some. The list of a rule ends with the horizon's default, so that a default with every family is
//! enough. There is one problem per horizon and family, at `default`.

use crate::base::diagnostic::{Diagnostic, Place, list};
use crate::base::ids::MirrorId;
use crate::base::prefix::Family;
use crate::base::rr::Rtype;
use crate::config::{HorizonConfig, MirrorEntry};

/// Reports families that only some clients of a horizon would have.
///
/// A mirror with only a host name may have either family: it is enough for both, and demands none. A redirect-only mirror has
/// no say, because DNS never answers with it. A horizon with a broken mirror is skipped, because it has other errors.
pub(super) fn check_families(
    horizon: &HorizonConfig,
    mirrors: &[MirrorEntry],
    broken: impl Fn(MirrorId) -> bool,
    problems: &mut Vec<Diagnostic>,
) {
    if horizon.default.is_empty() || horizon.mirrors().any(broken) {
        return;
    }
    let mirror = |id: MirrorId| &mirrors[id.index()].mirror;
    let serves = |id: MirrorId, family| mirror(id).serves(family);
    let is_unknown = |id| !mirror(id).is_redirect_only() && Family::ALL.iter().all(|other| !serves(id, *other));
    let may_serve = |id: MirrorId, family| serves(id, family) || is_unknown(id);
    for family in Family::ALL {
        if horizon.default.iter().any(|id| may_serve(*id, family)) {
            continue;
        }
        let having = horizon.rules.iter().find_map(|rule| {
            let id = rule.mirrors.iter().chain(&rule.fallback).find(|id| serves(**id, family))?;
            Some((rule, *id))
        });
        let Some((rule, having)) = having else { continue };
        problems.push(missing_family(horizon, family, &mirror(having).name, &rule.place, mirrors));
    }
}

fn missing_family(
    horizon: &HorizonConfig,
    family: Family,
    having: &str,
    rule: &Place,
    mirrors: &[MirrorEntry],
) -> Diagnostic {
    let rtype = Rtype::of_addresses(family);
    let default = || horizon.default.iter().map(|id| &*mirrors[id.index()].mirror.name);
    let have = if horizon.default.len() == 1 { "has" } else { "have" };
    let message = format!("horizon `{}` would have {rtype} records for some clients, but not for others", horizon.name);
    let help = format!(
        "resolvers cache for all clients that there is no {rtype}: give {} an {family} address, or add `{having}`, \
         which has one, at the end of `default`",
        if horizon.default.len() == 1 { list(default()) } else { format!("one of {}", list(default())) },
    );
    Diagnostic::error("family-for-some", message)
        .at(horizon.default_place.clone(), format!("{} {have} no {family} address", list(default())))
        .related(rule.clone(), format!("clients of this rule would have {rtype}, from `{having}`"))
        .help(help)
}
