//! The guard: refuses a reload that moves too many clients.
//!
//! **Not here**: counting them ([`crate::inspect`]), the limits ([`crate::config`]).

use crate::base::diagnostic::Diagnostic;
use crate::base::prefix::FAMILIES;
use crate::base::share::Share;
use crate::config::GuardConfig;
use crate::inspect::{Moves, words};
use crate::live::ReloadTerms;

/// The problems of a reload that moves more clients than the guard, or the operator, allows.
pub(super) fn guarded(guard: &GuardConfig, terms: &ReloadTerms, moves: &Moves) -> Vec<Diagnostic> {
    let limit = |of_guard: Share| terms.allow_moved.unwrap_or(of_guard);
    let mut found: Vec<(&'static str, &str, Share, f64, String)> = Vec::new();
    let families = moves.horizons.iter().flat_map(|one| one.families.iter().map(move |family| (&one.horizon, family)));
    for (horizon, family) in families {
        let (most, share) = (limit(guard.moved), family.share());
        if share > most.get() {
            let of = format!("of the {} addresses that rules decide for in horizon `{horizon}`", family.family);
            let message = format!("{} {of} would get other mirrors", words::percent(share));
            found.push(("guard-moved", "moved", most, share, message));
        }
    }
    for source in &moves.sources {
        for family in FAMILIES {
            let (new, labelled) = (source.new[family as usize], source.labelled[family as usize]);
            let (most, share) = (limit(guard.new), new as f64 / labelled.max(1) as f64);
            // The first good content of a source is new as a whole.
            let had_some = labelled - new + source.lost[family as usize] > 0;
            if had_some && share > most.get() {
                let share_words = words::percent(share);
                let message =
                    format!("{share_words} of the {family} addresses that network `{}` labels are new", source.source);
                found.push(("guard-new", "new", most, share, message));
            }
        }
    }
    // One share lets all of them through.
    let needed = found.iter().map(|(.., share, _)| (share * 100.0).ceil()).fold(0.0, f64::max);
    let problem = |(code, key, most, _, message): (&'static str, &str, Share, f64, String)| {
        Diagnostic::error(code, message).at(guard.place.clone(), format!("`{key}` is {most}")).help(format!(
            "look at `pharos simulate` with the configuration before; if the change is meant, `pharos reload --allow-moved \
             {needed:.0}%` lets it through"
        ))
    };
    found.into_iter().map(problem).collect()
}
