//! The guard: refuses a change that moves too many clients, source by source where the sources are the cause.
//!
//! **Invariants**: each changed source is judged alone against the served configuration; those that pass are judged together
//! with the new configuration. If that moves too much, the configuration is judged alone: it is refused as a whole, or it is
//! served with the served sources. The first content of a source is not judged.
//! **Not here**: counting the clients that move ([`crate::inspect`]), the limits ([`crate::config`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::diagnostic::Diagnostic;
use crate::base::prefix::Family;
use crate::base::share::Share;
use crate::compile;
use crate::config::{Config, GuardConfig, Network};
use crate::inspect::{self, Moves, Rulings, words};
use crate::live::ReloadTerms;
use crate::load::networks;
use crate::networks::{Networks, Source};
use crate::snapshot::Snapshot;

/// A configuration with its snapshot.
#[derive(Clone)]
pub(super) struct Configured {
    pub(super) config: Arc<Config>,
    pub(super) snapshot: Arc<Snapshot>,
}

impl Configured {
    /// The snapshot of the same configuration with these sources.
    fn with(&self, networks: &Networks) -> Snapshot {
        let snapshot = Snapshot::clone(&self.snapshot);
        let mut pairs = networks.sources.iter().zip(&self.networks().sources);
        if pairs.all(|(one, other)| Arc::ptr_eq(one, other)) {
            return snapshot;
        }
        let (steering, _) = compile::steering(&self.config, networks.clone());
        snapshot.with_steering(&steering)
    }

    fn networks(&self) -> &Networks {
        &self.snapshot.provenance().networks
    }
}

/// The outcome for a reload.
pub(super) struct GuardedReload {
    /// The snapshot to serve: with the served content of sources that are refused.
    pub(super) snapshot: Snapshot,
    /// The moves from the served snapshot to it.
    pub(super) moves: Moves,
    /// Warnings about sources that are refused.
    pub(super) warnings: Vec<Diagnostic>,
    /// The errors for which all of it is refused.
    pub(super) errors: Vec<Diagnostic>,
    /// The changed sources that pass, each with the addresses of IPv4 that it moves alone. Without `[guard]` sources are not
    /// judged alone.
    pub(super) by_source: Vec<(Arc<str>, u128)>,
}

/// Judges a reload. It walks whole address spaces. `command` lets a change through.
pub(super) fn judge(served: &Configured, new: &Configured, terms: &ReloadTerms, command: &str) -> GuardedReload {
    let before = Rulings::of(&served.snapshot);
    let judged = |now: &Snapshot| {
        let moves = inspect::compare(&before, &Rulings::of(now));
        let guard = new.config.guard.as_ref();
        let over = guard.map(|guard| limits_exceeded(guard, terms, &moves, command)).unwrap_or_default();
        (moves, over)
    };
    let (mut sources, mut warnings, mut by_source) = (new.networks().clone(), Vec::new(), Vec::new());
    let mut refuse = |sources: &mut Networks, source: &Source, over: &[Diagnostic]| {
        let (Some(before), Some(why)) = (changed(served, source), over.first()) else { return };
        let Some(network) = new.config.networks.iter().find(|network| network.name == source.name) else { return };
        *sources = sources.with(before);
        warnings.push(
            networks::kept(network, before, &why.message)
                .help(format!("{}; else put the former file back", why.help.as_deref().unwrap_or_default())),
        );
    };
    let changed_of = |networks: &Networks| -> Vec<Arc<Source>> {
        let is_changed = |source: &&Arc<Source>| changed(served, source).is_some();
        networks.sources.iter().filter(is_changed).cloned().collect()
    };
    if new.config.guard.is_some() {
        for source in changed_of(&sources) {
            let (moves, over) = judged(&served.with(&served.networks().with(&source)));
            by_source.push((source.name.clone(), moves.most_moved(Family::V4)));
            refuse(&mut sources, &source, &over);
        }
    }
    let mut snapshot = new.with(&sources);
    let (mut moves, mut errors) = judged(&snapshot);
    let left = if errors.is_empty() { Vec::new() } else { changed_of(&sources) };
    if !left.is_empty() {
        // If the configuration alone passes, it is served with the served sources.
        for source in &left {
            refuse(&mut sources, source, &errors);
        }
        snapshot = new.with(&sources);
        (moves, errors) = judged(&snapshot);
    }
    let is_taken = |name: &str| changed_of(&snapshot.provenance().networks).iter().any(|source| *source.name == *name);
    by_source.retain(|(name, _)| is_taken(name));
    GuardedReload { snapshot, moves, warnings, errors, by_source }
}

/// The share of clients that a change of each source may move, as an operator writes it. Without `[guard]`, a source that is
/// fetched has the default limit, and others have none.
pub(super) fn guards(config: &Config) -> BTreeMap<Arc<str>, String> {
    let of = |network: &Network| {
        let of_fetch = || network.fetched().map(|fetch| GuardConfig::of_fetch(fetch.place.clone()));
        let guard = config.guard.clone().or_else(of_fetch)?;
        Some((network.name.clone(), guard.moved.to_string()))
    };
    config.networks.iter().filter_map(of).collect()
}

/// The served content of a source, if the source has another one now. The first content is no change.
fn changed<'s>(served: &'s Configured, source: &Source) -> Option<&'s Arc<Source>> {
    let before = served.networks().sources.iter().find(|before| before.name == source.name)?;
    (before.prefix_count() > 0 && !before.has_content_of(source)).then_some(before)
}

/// The command that lets a reload through.
pub(super) const RELOAD_COMMAND: &str = "pharos reload";

/// The command that lets a bundle through.
pub(super) const PUSH_COMMAND: &str = "pharos fleet push";

/// The problems of a change that moves more clients than the guard, or the operator, allows. `command` lets it through.
pub(super) fn limits_exceeded(
    guard: &GuardConfig,
    terms: &ReloadTerms,
    moves: &Moves,
    command: &str,
) -> Vec<Diagnostic> {
    /// A limit that is exceeded.
    struct Exceeded {
        code: &'static str,
        key: &'static str,
        most: Share,
        share: f64,
        message: String,
    }
    let limit = |of_guard: Share| terms.allow_moved.unwrap_or(of_guard);
    let mut found = Vec::new();
    let families = moves.horizons.iter().flat_map(|one| one.families.iter().map(move |family| (&one.horizon, family)));
    for (horizon, family) in families {
        let (most, share) = (limit(guard.moved), family.share());
        if share > most.get() {
            let of = format!("of the {} addresses that rules decide for in horizon `{horizon}`", family.family);
            let message = format!("{} {of} would get other mirrors", words::percent(share));
            found.push(Exceeded { code: "guard-moved", key: "moved", most, share, message });
        }
    }
    for source in &moves.sources {
        for family in Family::ALL {
            let (new, labelled) = (source.new[family as usize], source.labelled[family as usize]);
            let (most, share) = (limit(guard.new), new as f64 / labelled.max(1) as f64);
            // The first good content of a source is new as a whole.
            let had_some = labelled - new + source.lost[family as usize] > 0;
            if had_some && share > most.get() {
                let message = format!(
                    "{} of the {family} addresses that network `{}` labels are new",
                    words::percent(share),
                    source.source
                );
                found.push(Exceeded { code: "guard-new", key: "new", most, share, message });
            }
        }
    }
    // One share lets all of them through.
    let needed = found.iter().map(|one| (one.share * 100.0).ceil()).fold(0.0, f64::max);
    let problem = |Exceeded { code, key, most, message, .. }: Exceeded| {
        Diagnostic::error(code, message).at(guard.place.clone(), format!("`{key}` is {most}")).help(format!(
            "look at `pharos simulate` with the configuration before; if the change is meant, `{command} --allow-moved \
             {needed:.0}%` lets it through"
        ))
    };
    found.into_iter().map(problem).collect()
}
