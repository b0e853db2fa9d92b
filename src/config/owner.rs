//! Owners of a zone as the configuration writes them.
//!
//! **Invariants**: an owner is answered by its zone, not by one below it.
//! **Not here**: the rest of `steer` ([`super::zone`]).

use std::collections::HashMap;

use super::check::Check;
use super::{PlacedText, value};
use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::name::{Name, NameBuf, NameKey};
use crate::zone::Relative;

impl Check<'_> {
    /// The absolute owner of a text as master files have it: `@`, relative, or absolute with a dot at its end.
    pub(super) fn check_owner(
        &mut self,
        text: &PlacedText,
        apex: Name<'_>,
        apexes: &HashMap<NameKey, Place>,
    ) -> Option<NameBuf> {
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
                        .at(text.place.clone(), "over 255 bytes in all")
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
            if apexes.contains_key(&name.key()) {
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

fn outside(text: &PlacedText, owner: Name<'_>, apex: Name<'_>, help: String) -> Diagnostic {
    Diagnostic::error("owner-outside-zone", format!("owner `{owner}` is not answered by zone `{apex}`"))
        .at(text.place.clone(), "outside the zone")
        .help(help)
}

fn doubled_owner(text: &PlacedText, written: Name<'_>, apex: Name<'_>) -> Diagnostic {
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
