//! Telemetry: counters that services keep, and their rendering as Prometheus text.
//!
//! A service owns a struct of [`Counter`]s and [`Gauge`]s, one field per thing counted, and adds to a field; nothing is
//! looked up by text. `counters!` declares such a struct together with its metric families ([`cells`]). The struct implements
//! [`Collect`]; [`render`] asks each part in turn when the page is scraped.
//!
//! **Invariants**: adding is one relaxed atomic operation; every family begins with `pharos_` and has its help and type
//! once; labels come from the program, never from a request, so that no client can make the page grow.
//! **Not here**: listening ([`crate::http`]), counters per query that several threads write (each worker keeps its own
//! block, and the `Collect` of these counters adds them up).
//!
//! Prometheus text exposition format 0.0.4.

pub(crate) mod acme;
pub mod admin;
pub mod blobs;
pub(crate) mod cells;
pub(crate) mod dns;
pub(crate) mod fleet;
mod frequent;
pub(crate) mod histogram;
pub(crate) mod hosts;
pub mod http;
pub(crate) mod probe;
pub(crate) mod recent;
pub(crate) mod request_log;
pub(crate) mod served;
pub mod tap;
pub(crate) mod traffic;
pub(crate) mod transfer;

use std::fmt;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use histogram::{BOUNDS_US, BUCKETS};

/// The target of log lines with commands to try, which only a terminal shows.
pub(crate) const HINTS: &str = "pharos::hint";

/// The media type of the page that [`render`] writes.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A source of metric families.
pub trait Collect: Send + Sync {
    /// Writes its families to the page.
    fn collect(&self, page: &mut MetricsPage);
}

/// Renders the page: each part's families, in order.
pub(crate) fn render<'a>(parts: impl IntoIterator<Item = &'a dyn Collect>) -> String {
    let mut page = MetricsPage::default();
    for part in parts {
        part.collect(&mut page);
    }
    page.text
}

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    #[inline]
    pub(crate) fn increment(&self) {
        self.add(1);
    }

    /// Adds a number.
    #[inline]
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    /// The count so far.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The number of things that exist now.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// One more exists, until the returned guard is dropped.
    pub(crate) fn hold(&self) -> HeldCount<'_> {
        self.0.fetch_add(1, Relaxed);
        HeldCount(self)
    }

    /// The number that exists now.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One of the things that a [`Gauge`] counts.
#[derive(Debug)]
pub(crate) struct HeldCount<'g>(&'g Gauge);

impl Drop for HeldCount<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// The page being written.
#[derive(Debug, Default)]
pub struct MetricsPage {
    text: String,
}

impl MetricsPage {
    /// Begins a family of counters; its name should end in `_total`.
    pub(crate) fn counter<'p>(&'p mut self, name: &'p str, help: &str) -> MetricFamily<'p> {
        self.family(name, help, "counter")
    }

    /// Begins a family of gauges.
    pub(crate) fn gauge<'p>(&'p mut self, name: &'p str, help: &str) -> MetricFamily<'p> {
        self.family(name, help, "gauge")
    }

    /// Begins a family of histograms of seconds; its name should end in `_seconds`.
    pub(crate) fn histogram<'p>(&'p mut self, name: &'p str, help: &str) -> MetricFamily<'p> {
        self.family(name, help, "histogram")
    }

    fn family<'p>(&'p mut self, name: &'p str, help: &str, kind: &str) -> MetricFamily<'p> {
        debug_assert!(name.starts_with("pharos_"), "{name} lacks the prefix");
        debug_assert!(!self.text.contains(&format!("# TYPE {name} ")), "{name} is begun twice");
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        MetricFamily { page: self, name }
    }
}

/// One metric family, to which samples are added.
#[derive(Debug)]
pub(crate) struct MetricFamily<'p> {
    page: &'p mut MetricsPage,
    name: &'p str,
}

impl MetricFamily<'_> {
    /// Adds a sample.
    pub(crate) fn sample(&mut self, labels: &[(&str, &str)], value: u64) -> &mut Self {
        self.write("", labels, format_args!("{value}"))
    }

    /// Adds samples that have values of the same labels.
    pub(crate) fn samples<const N: usize, V: AsRef<str>>(
        &mut self,
        labels: [&str; N],
        samples: impl IntoIterator<Item = ([V; N], u64)>,
    ) {
        for (values, count) in samples {
            self.sample(&std::array::from_fn::<_, N, _>(|at| (labels[at], values[at].as_ref())), count);
        }
    }

    /// Adds a duration in seconds, from microseconds.
    pub(crate) fn duration(&mut self, labels: &[(&str, &str)], micros: u64) -> &mut Self {
        self.write("", labels, format_args!("{}", Seconds(micros)))
    }

    /// Adds a histogram: the count of each bucket, and the sum of all durations in microseconds.
    pub(crate) fn distribution(&mut self, labels: &[(&str, &str)], buckets: &[u64; BUCKETS], sum_us: u64) -> &mut Self {
        let mut count = 0;
        for (at, hits) in buckets.iter().enumerate() {
            count += hits;
            let bound = BOUNDS_US.get(at).map_or("+Inf".to_string(), |us| Seconds(*us).to_string());
            let labels: Vec<_> = labels.iter().copied().chain([("le", &*bound)]).collect();
            self.write("_bucket", &labels, format_args!("{count}"));
        }
        self.write("_sum", labels, format_args!("{}", Seconds(sum_us)));
        self.write("_count", labels, format_args!("{count}"))
    }

    fn write(&mut self, suffix: &str, labels: &[(&str, &str)], value: fmt::Arguments<'_>) -> &mut Self {
        let text = &mut self.page.text;
        text.push_str(self.name);
        text.push_str(suffix);
        for (at, (key, value)) in labels.iter().enumerate() {
            let _ = write!(text, "{}{key}=\"", if at == 0 { '{' } else { ',' });
            escape(text, value);
            text.push('"');
        }
        if !labels.is_empty() {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
        self
    }
}

/// Microseconds, written as seconds.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// Label values may hold anything but these three, which are escaped.
fn escape(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::cells::{Cell, counters};
    use super::*;

    counters! {
        struct Lamps {
            "pharos_lamps_lit_total" "Lamps lit." { lit: Counter ["by" = "the \"keeper\"\n", "oil" = "yes"], }
            "pharos_lamps_burning" "Lamps that burn now." { burning: Gauge [], }
        }
    }

    #[test]
    fn a_page_is_prometheus_text() {
        let lamps = Lamps::default();
        lamps.lit.increment();
        lamps.lit.increment();
        let held = lamps.burning.hold();
        drop(lamps.burning.hold());
        let expected = "\
# HELP pharos_lamps_lit_total Lamps lit.
# TYPE pharos_lamps_lit_total counter
pharos_lamps_lit_total{by=\"the \\\"keeper\\\"\\n\",oil=\"yes\"} 2
# HELP pharos_lamps_burning Lamps that burn now.
# TYPE pharos_lamps_burning gauge
pharos_lamps_burning 1
";
        assert_eq!(render([&lamps as &dyn Collect]), expected);
        drop(held);
        assert_eq!(lamps.burning.value(), 0);
    }

    #[test]
    fn a_histogram_counts_what_is_below_each_bound() {
        let histogram = histogram::Histogram::default();
        for us in [3, 16, 300, 2_000_000, 60_000_000] {
            histogram.observe(std::time::Duration::from_micros(us));
        }
        let mut page = MetricsPage::default();
        let mut family = page.histogram("pharos_lamps_seconds", "How long.");
        Cell::write(&[&histogram], &mut family, &mut [("oil", "yes")]);
        let mut lines = page.text.lines().skip(1);
        assert_eq!(lines.next(), Some("# TYPE pharos_lamps_seconds histogram"));
        let counts = [2, 2, 2, 3, 3, 3, 3, 3, 3, 4, 4, 5];
        let bounds: Vec<String> = BOUNDS_US.iter().map(|us| Seconds(*us).to_string()).chain(["+Inf".into()]).collect();
        for (bound, count) in bounds.iter().zip(counts) {
            let line = format!("pharos_lamps_seconds_bucket{{oil=\"yes\",le=\"{bound}\"}} {count}");
            assert_eq!(lines.next(), Some(&*line));
        }
        assert_eq!(lines.next(), Some("pharos_lamps_seconds_sum{oil=\"yes\"} 62.000319"));
        assert_eq!(lines.next(), Some("pharos_lamps_seconds_count{oil=\"yes\"} 5"));
        assert_eq!(bounds[..3], ["0.000016", "0.000064", "0.000256"]);
    }
}
