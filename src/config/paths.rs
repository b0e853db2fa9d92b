//! `paths` of `[registry]`: redirects of paths outside the API.
//!
//! **Invariants**: prefixes are distinct; no prefix is at a path of the API or of a page.
//! **Not here**: the redirects ([`crate::registry`]).

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::check::Check;
use super::field::section;
use super::mirrors::MirrorsConfig;
use super::row::text;
use super::{HorizonConfig, MirrorEntry, PlacedText, value};
use crate::base::diagnostic::{Diagnostic, Place};
use crate::mirror::{Mirror, TemplateValues};
use crate::registry::{PathRule, PathRules};

section! {
    /// One entry of `paths` as written.
    pub(super) struct PathSpec: "paths" {
        /// Beginning of the paths, with a slash at both ends. The longest one that a path begins with decides.
        ///
        /// `/`, `/v2`, `/healthz` and what begins with `/privacy` cannot be redirected.
        prefix: Option<PlacedText> = text("prefix", "path").required().example("\"/binaries/\""),

        /// URL of the redirect, with `https`. `{rest}` is the path after the prefix, and `{path}` the whole path without its
        /// first slash. The query string is kept, unless the URL has one.
        to: Option<PlacedText> = text("to", "URL").required().example("\"https://files.example.com/binaries/{rest}\""),

        /// Horizon whose mirrors are asked first. A client goes to its mirror if that has the file or `ask = false`, else to `to`.
        ///
        /// Each mirror of the horizon needs a `url` with `{rest}` or `{path}`, and `[probe]` is required.
        horizon: Option<PlacedText> = text("horizon", "horizon")
            .otherwise("none: all clients are sent to `to`")
            .example("\"files\""),
    }
}

impl Check<'_> {
    /// The redirects of further paths.
    pub(super) fn check_paths(
        &mut self,
        specs: &[PathSpec],
        horizons: &[HorizonConfig],
        mirrors: &MirrorsConfig,
    ) -> PathRules {
        let (mut rules, mut prefixes) = (Vec::new(), HashMap::new());
        for PathSpec { prefix: written, to, horizon, .. } in specs {
            let prefix = written.as_ref().and_then(|prefix| self.parse(prefix, value::path_prefix));
            let to = to.as_ref().and_then(|to| self.parse(to, value::path_target));
            let horizon = horizon.as_ref().and_then(|name| {
                let horizon = &horizons[self.found(self.horizons.find(name))?];
                self.check_each_has_files(horizon, name, mirrors);
                Some(horizon.name.clone())
            });
            let (Some(written), Some(prefix)) = (written, prefix) else { continue };
            match prefixes.entry(prefix.clone()) {
                Entry::Occupied(first) => {
                    let first: &Place = first.get();
                    self.report(
                        Diagnostic::error("duplicate-path", format!("`{prefix}` is redirected twice"))
                            .at(written.place.clone(), "redirected again")
                            .related(first.clone(), "first redirected here")
                            .help("remove one of the two; a longer prefix may have a target of its own"),
                    );
                }
                Entry::Vacant(free) => {
                    free.insert(written.place.clone());
                    rules.extend(to.map(|to| PathRule::new(&prefix, to, horizon)));
                }
            }
        }
        PathRules::new(rules)
    }

    /// Reports a mirror that no client could be sent to for a file.
    fn check_each_has_files(&mut self, horizon: &HorizonConfig, name: &PlacedText, mirrors: &MirrorsConfig) {
        let file = TemplateValues { blob: None, path: "", rest: "" };
        let has_files = |mirror: &Mirror| mirror.content.url.as_ref().is_some_and(|url| url.fill(&file).is_some());
        let Some(MirrorEntry { mirror, place, .. }) = mirrors.lacking(horizon.mirrors(), has_files) else { return };
        self.report(
            Diagnostic::error("mirror-without-files", format!("mirror `{}` has no `url` for files", mirror.name))
                .at(place.clone(), "cannot be asked for a file")
                .related(name.place.clone(), "this horizon names it")
                .help("add `url = \"https://files.example.com/{rest}\"`; other placeholders than `{rest}` and `{path}` are for blobs"),
        );
    }
}
