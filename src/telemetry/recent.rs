//! The prefixes of resolvers and the names that are asked for most, while an operator watches.
//!
//! A request of the desk ([`RecentQueries::read`]) has all listeners record for [`WATCH`]. Each UDP thread has a table of its
//! own, and takes its lock once per batch, without waiting. The desk empties the tables at each request, and adds up
//! the intervals of the last seconds, so that several operators see the same.
//!
//! **Invariants**: unwatched, a batch costs one relaxed load; a query thread never waits for a lock; recording allocates
//! nothing, because the desk allocates the tables; queries that come while the desk reads a table are left out.
//! **Not here**: counters ([`super::dns`]), the view ([`crate::control`]).

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use super::frequent::FrequentTable;
use crate::base::lock::locked;
use crate::base::name::{Name, NameBuf, NameKey};
use crate::base::prefix::Prefix;
use crate::base::time::Moment;

/// The time in milliseconds for which a request has queries recorded: longer than the longest interval between two requests
/// of `pharos top`, which is 10 seconds.
const WATCH: u64 = 15_000;

/// The time in milliseconds over which queries are added up. Longer times would show floods late; shorter ones would jump.
pub(crate) const WINDOW: u64 = 5_000;

/// The shortest interval in milliseconds after which the tables are emptied. It bounds the number of intervals.
const SHORTEST: u64 = 400;

/// The most keys that are kept of one interval.
const MAX_KEPT: usize = 1024;

/// The most prefixes, and the most names, that are listed.
const MAX_LISTED: usize = 100;

/// The prefix lengths of resolvers: the usual sizes of a site (RFC 7871 §11.1 has 24 for IPv4; RFC 6177 §2 has 48 for IPv6).
const PREFIX_LENS: [u8; 2] = [24, 48];

/// The length of the header of a message (RFC 1035 §4.1.1).
const HEADER_LEN: usize = 12;

/// The recorded queries of all listeners.
#[derive(Debug, Default)]
pub(crate) struct RecentQueries {
    /// The moment until which queries are recorded, in milliseconds.
    until: Arc<AtomicU64>,
    tables: Mutex<Vec<Arc<QueryTable>>>,
    window: Mutex<QueryWindow>,
}

/// The table of one UDP thread, or of all tasks of a listener.
#[derive(Debug)]
pub(crate) struct QueryTable {
    until: Arc<AtomicU64>,
    /// `None` until the first request of the desk.
    counts: Mutex<Option<QueryCounts>>,
}

/// The locked table of a batch that is recorded.
#[derive(Debug)]
pub(crate) struct WatchedBatch<'t>(MutexGuard<'t, Option<QueryCounts>>);

/// The most frequent prefixes and names of the last seconds.
#[derive(Debug, Default)]
pub(crate) struct RecentTop {
    /// The time in which queries were recorded, in milliseconds.
    pub(crate) span_ms: u64,
    /// The number of queries recorded.
    pub(crate) queries: u64,
    /// Prefixes of resolvers with their queries, most first.
    pub(crate) prefixes: Vec<(Prefix, u64)>,
    /// Names with their queries, most first.
    pub(crate) names: Vec<(NameBuf, u64)>,
}

#[derive(Debug, Default)]
struct QueryCounts {
    queries: u64,
    prefixes: FrequentTable<Prefix>,
    names: FrequentTable<NameBuf>,
}

/// The intervals of the last seconds, oldest first.
#[derive(Debug, Default)]
struct QueryWindow {
    /// The end of the last interval.
    last: Moment,
    intervals: VecDeque<QueryInterval>,
}

#[derive(Debug, Default)]
struct QueryInterval {
    begun: Moment,
    ended: Moment,
    queries: u64,
    prefixes: HashMap<Prefix, u64>,
    names: HashMap<NameKey, u64>,
}

impl RecentQueries {
    /// A table for one more writer.
    pub(crate) fn table(&self) -> Arc<QueryTable> {
        let table = Arc::new(QueryTable { until: self.until.clone(), counts: Mutex::new(None) });
        locked(&self.tables).push(table.clone());
        table
    }

    /// Has queries recorded from now on, and returns the most frequent of the last seconds.
    pub(crate) fn read(&self, now: Moment) -> RecentTop {
        let mut window = locked(&self.window);
        let was_watched = now.0 < self.until.load(Relaxed);
        if !was_watched {
            // Records from before the pause say nothing about now.
            self.empty();
            *window = QueryWindow { last: now, intervals: VecDeque::new() };
        }
        self.until.store(now.0 + WATCH, Relaxed);
        if now.0 >= window.last.0 + SHORTEST {
            let interval = self.take(window.last, now);
            window.last = now;
            window.intervals.push_back(interval);
        }
        window.intervals.retain(|interval| interval.ended.0 + WINDOW > now.0);
        window.top()
    }

    fn empty(&self) {
        for table in locked(&self.tables).iter() {
            *locked(&table.counts) = Some(QueryCounts::default());
        }
    }

    fn take(&self, begun: Moment, ended: Moment) -> QueryInterval {
        let mut interval = QueryInterval { begun, ended, ..QueryInterval::default() };
        for table in locked(&self.tables).iter() {
            let mut counts = locked(&table.counts);
            let counts = counts.get_or_insert_default();
            interval.queries += std::mem::take(&mut counts.queries);
            for (prefix, hits) in counts.prefixes.drain() {
                *interval.prefixes.entry(prefix).or_default() += hits;
            }
            for (name, hits) in counts.names.drain() {
                *interval.names.entry(name.as_name().key()).or_default() += hits;
            }
        }
        // A long interval may have many keys, because there may be many tables.
        interval.prefixes = most(interval.prefixes, MAX_KEPT).into_iter().collect();
        interval.names = most(interval.names, MAX_KEPT).into_iter().collect();
        interval
    }
}

impl QueryWindow {
    fn top(&self) -> RecentTop {
        let (mut prefixes, mut names) = (HashMap::new(), HashMap::new());
        for interval in &self.intervals {
            interval.prefixes.iter().for_each(|(key, count)| *prefixes.entry(*key).or_default() += count);
            interval.names.iter().for_each(|(key, count)| *names.entry(&**key).or_default() += count);
        }
        let name = |(wire, count): (&[u8], u64)| Some((Name::from_wire(wire)?.to_owned(), count));
        RecentTop {
            span_ms: self.intervals.iter().map(|interval| interval.ended.0 - interval.begun.0).sum(),
            queries: self.intervals.iter().map(|interval| interval.queries).sum(),
            prefixes: most(prefixes, MAX_LISTED),
            names: most(names, MAX_LISTED).into_iter().filter_map(name).collect(),
        }
    }
}

/// The most frequent keys, most first; keys with equal counts in their own order.
fn most<K: Ord>(counts: HashMap<K, u64>, max: usize) -> Vec<(K, u64)> {
    let mut all: Vec<(K, u64)> = counts.into_iter().collect();
    all.sort_unstable_by(|(a, of_a), (b, of_b)| of_b.cmp(of_a).then_with(|| a.cmp(b)));
    all.truncate(max);
    all
}

impl QueryTable {
    /// The table, if queries are recorded now and the desk is not reading it.
    #[inline]
    pub(crate) fn watched(&self, now: Moment) -> Option<WatchedBatch<'_>> {
        if now.0 < self.until.load(Relaxed) { self.lock() } else { None }
    }

    #[cold]
    fn lock(&self) -> Option<WatchedBatch<'_>> {
        match self.counts.try_lock() {
            Ok(counts) => Some(WatchedBatch(counts)),
            // A panic while a message was answered leaves counts as good as others.
            Err(TryLockError::Poisoned(poisoned)) => Some(WatchedBatch(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl WatchedBatch<'_> {
    /// Records a query that was answered.
    #[cold]
    pub(crate) fn record(&mut self, resolver: IpAddr, message: &[u8]) {
        let Some(counts) = &mut *self.0 else { return };
        counts.queries += 1;
        let prefix = site(resolver);
        let hash = match prefix.first() {
            IpAddr::V4(v4) => fnv(v4.octets()),
            IpAddr::V6(v6) => fnv(v6.octets()),
        };
        counts.prefixes.count(hash, |known| *known == prefix, || prefix);
        // A reply to an unreadable question has no name.
        if let Some((name, _)) = message.get(HEADER_LEN..).and_then(Name::split_from) {
            // Lengths of labels are below the letters, so that lowering the case does not change them.
            let hash = fnv(name.as_wire().iter().map(u8::to_ascii_lowercase));
            counts.names.count(hash, |known| known.as_name() == name, || name.to_owned());
        }
    }
}

/// The prefix of a resolver's site.
fn site(resolver: IpAddr) -> Prefix {
    let resolver = resolver.to_canonical();
    Prefix::holding(resolver, PREFIX_LENS[usize::from(resolver.is_ipv6())])
}

/// FNV-1a, which spreads short keys well. It has no seed, because keys made to collide would only make counts less exact.
fn fnv(octets: impl IntoIterator<Item = u8>) -> u64 {
    let step = |hash: u64, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
    let hash = octets.into_iter().fold(0xcbf2_9ce4_8422_2325, step);
    // The low bits choose the set, and have the best part of the hash after this.
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str) -> Vec<u8> {
        let name = NameBuf::parse(name).unwrap();
        [&[0; HEADER_LEN][..], name.as_name().as_wire(), &[0, 1, 0, 1]].concat()
    }

    fn ask(table: &QueryTable, at: u64, resolver: &str, name: &str) {
        if let Some(mut batch) = table.watched(Moment(at)) {
            batch.record(resolver.parse().unwrap(), &message(name));
        }
    }

    fn shown(top: &RecentTop) -> (Vec<String>, Vec<String>) {
        let prefixes = top.prefixes.iter().map(|(prefix, count)| format!("{prefix} {count}")).collect();
        (prefixes, top.names.iter().map(|(name, count)| format!("{name} {count}")).collect())
    }

    #[test]
    fn queries_are_recorded_while_a_request_is_recent_and_added_up_over_all_tables() {
        let recent = RecentQueries::default();
        let (one, two) = (recent.table(), recent.table());
        ask(&one, 5, "192.0.2.1", "before.example");
        assert_eq!(recent.read(Moment(1000)).queries, 0);
        ask(&one, 1001, "192.0.2.1", "Blob.example");
        ask(&two, 1002, "192.0.2.99", "blob.EXAMPLE");
        ask(&two, 1003, "2001:db8:1:2::3", "www.example");
        ask(&two, 1004, "::ffff:198.51.100.7", "blob.example");
        let top = recent.read(Moment(3000));
        assert_eq!((top.span_ms, top.queries), (2000, 4));
        let (prefixes, names) = shown(&top);
        assert_eq!(prefixes, ["192.0.2.0/24 2", "198.51.100.0/24 1", "2001:db8:1::/48 1"]);
        assert_eq!(names, ["blob.example 3", "www.example 1"]);
        // A second operator sees the same, and takes nothing from the first.
        assert_eq!(shown(&recent.read(Moment(3001))), (prefixes, names));
        assert!(one.watched(Moment(3001 + WATCH)).is_none(), "the watch ends by itself");
    }

    #[test]
    fn queries_leave_the_window_and_a_pause_begins_anew() {
        let recent = RecentQueries::default();
        let table = recent.table();
        recent.read(Moment(0));
        ask(&table, 1, "192.0.2.1", "blob.example");
        assert_eq!(recent.read(Moment(1000)).queries, 1);
        assert_eq!(recent.read(Moment(1000 + WINDOW - 1)).queries, 1);
        assert_eq!(recent.read(Moment(1001 + WINDOW)).queries, 0);
        ask(&table, 1002 + WINDOW, "192.0.2.1", "blob.example");
        let top = recent.read(Moment(1001 + WINDOW + WATCH));
        assert_eq!((top.queries, top.span_ms), (0, 0), "nothing was watched since");
    }

    #[test]
    fn a_message_without_a_name_counts_for_its_resolver() {
        let recent = RecentQueries::default();
        let table = recent.table();
        recent.read(Moment(0));
        for message in [&[0; HEADER_LEN][..], &[0; 3], &[0xff; 40]] {
            table.watched(Moment(1)).unwrap().record("192.0.2.1".parse().unwrap(), message);
        }
        let top = recent.read(Moment(1000));
        assert_eq!(shown(&top), (vec!["192.0.2.0/24 3".into()], vec![]));
    }

    #[test]
    fn a_thread_never_waits_for_the_desk() {
        let recent = RecentQueries::default();
        let table = recent.table();
        recent.read(Moment(0));
        let reading = locked(&table.counts);
        assert!(table.watched(Moment(1)).is_none());
        drop(reading);
        assert!(table.watched(Moment(1)).is_some());
    }
}
