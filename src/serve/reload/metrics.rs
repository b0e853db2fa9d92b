//! Metrics of the served configuration, its sources and the outcomes of reloads.
//!
//! **Not here**: reloading ([`super`]), the fetches themselves ([`crate::refresh`]).

use std::sync::Arc;

use crate::live::{FetchOutcome, Published, ReloadHistory, ServedConfig, SourceStates};
use crate::networks::Source;
use crate::process::Clock;
use crate::telemetry::{Collect, MetricsPage};

/// Shows the configuration that is served with its sources, and the outcomes of reloads.
pub(in crate::serve) struct ReloadMetrics {
    pub(in crate::serve) history: Arc<ReloadHistory>,
    pub(in crate::serve) published: Arc<Published>,
    pub(in crate::serve) sources: SourceStates,
}

impl Collect for ReloadMetrics {
    fn collect(&self, page: &mut MetricsPage) {
        let ServedConfig { since, digest, restart_keys, .. } = self.history.served();
        let help = "The time at which the configuration that is served was taken over, by the start or a reload, in seconds since 1970.";
        page.gauge("pharos_reload_last_success", help).sample(&[], since.0);
        page.counter("pharos_reload_failures_total", "Reloads that were refused.").sample(&[], self.history.refused());
        let is_refused = self.history.last().is_some_and(|last| last.refused.is_some());
        let help = "1 if the last reload was refused as a whole or in part, until one succeeds.";
        page.gauge("pharos_reload_refused", help).sample(&[], is_refused.into());
        page.gauge("pharos_config_digest", "1, with the SHA-256 of the files of the configuration that is served.")
            .sample(&[("sha256", &digest)], 1);
        page.gauge("pharos_config_restart_keys", "Keys whose new values take a restart; until then the old ones stay.")
            .sample(&[], restart_keys.len() as u64);
        let snapshot = self.published.load_full();
        let sources = &snapshot.provenance().networks.sources;
        page.gauge("pharos_source_prefixes", "The prefixes that are served of each source of networks.")
            .samples(["source"], sources.iter().map(|source| ([&source.name], source.prefix_count() as u64)));
        let zones = snapshot.zones().iter().zip(snapshot.zone_origins());
        let of_files = zones.filter(|(_, origin)| origin.file.is_some());
        let help = "1 if a zone of a file keeps its served records, because the last reload refused the file.";
        page.gauge("pharos_zone_refused", help).samples(
            ["zone"],
            of_files.map(|((_, zone), origin)| ([zone.apex().to_string()], origin.is_refused.into())),
        );
        self.collect_sources(sources, page);
    }
}

impl ReloadMetrics {
    fn collect_sources(&self, sources: &[Arc<Source>], page: &mut MetricsPage) {
        let (states, now) = (self.sources.all(), Clock::civil());
        let ages = sources.iter().filter_map(|source| {
            let checked = states.get(&source.name).and_then(|state| state.fetch.as_ref()?.checked);
            Some(([&source.name], now.0.saturating_sub(checked.or(source.modified)?.0)))
        });
        let help = "How long ago the publisher of each source of networks had the content that is served; for a file of the operator, how long ago it was last changed.";
        page.gauge("pharos_source_age_seconds", help).samples(["source"], ages);
        let help =
            "When the content that is served of each source of networks was last changed, in seconds since 1970.";
        page.gauge("pharos_source_changed_timestamp", help)
            .samples(["source"], sources.iter().filter_map(|source| Some(([&source.name], source.modified?.0))));
        let refused = |source: &Source| states.get(&source.name).map_or(0, |state| state.refused);
        let help = "Contents of each source of networks that were refused, by a reload or after a fetch.";
        page.counter("pharos_source_refused_total", help)
            .samples(["source"], sources.iter().map(|source| ([&source.name], refused(source))));
        let fetched = || states.iter().filter_map(|(name, state)| Some((name, state.fetch.as_ref()?)));
        let help = "1 if the last content that was fetched of a source with a `url` is refused, until one is taken.";
        page.gauge("pharos_source_refused", help)
            .samples(["source"], fetched().map(|(name, fetch)| ([name], fetch.is_refused.into())));
        let outcomes = fetched().flat_map(|(name, fetch)| {
            let outcomes = FetchOutcome::WORDS.into_iter().zip(fetch.outcomes);
            outcomes.map(|(word, count)| ([&**name, word], count))
        });
        let help = "Fetches of each source of networks with a `url`, by outcome; `peer-taken` and `peer-unchanged` are copies and checks of other servers of the fleet.";
        page.counter("pharos_source_fetches_total", help).samples(["source", "outcome"], outcomes);
    }
}
