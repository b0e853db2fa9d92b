//! `[probe]`: the requirements that mirrors are probed for, and the times of probes.
//!
//! **Invariants**: the longest hold-down is not shorter than the first.
//! **Not here**: probing ([`crate::probe`]).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::check::Check;
use super::field::{Section as _, section};
use super::row::{days, duration, file, hours, millis, mins, number, secs, table, text};
use super::{FileUse, InputFile, MirrorEntry, Placed, PlacedText, RegistryConfig, ZoneConfig, limits, value};
use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::text::is_hex;
use crate::mirror::Thresholds;

/// Two lost packets are sent again within 3 s (RFC 6298 §2).
pub(crate) const TIMEOUT_DEFAULT: Duration = secs(4);

const RETRY_DEFAULT: Duration = secs(3);
const MAX_HOLD_DOWN_DEFAULT: Duration = mins(10);

section! {
    /// `[probe]` as written.
    pub(super) struct ProbeSpec: "[probe]" {
        /// Name that every mirror serves. Probes send it in TLS (SNI) and HTTP, and the certificate must be for it.
        name: Option<PlacedText> = text("name", "host name")
            .otherwise("the host of `[registry] blobs`, else the steered owner")
            .example("\"blob.example.com\""),

        /// TCP port of mirrors.
        port: Option<u16> = number("port", limits::PORT, "").otherwise("that of `[registry] blobs`, else `443`").example("8443"),

        /// Interval between probes of a healthy address, ± 20 %.
        ///
        /// With `fall` 3, a dead mirror is left within 30 s.
        interval: Duration = duration("interval", millis(100)..=hours(1)).default(secs(10)).example("\"5s\""),

        /// Interval between probes of an address that failed or is down, ± 20 %. At most `interval` by default.
        ///
        /// A dead mirror is left after some 16 s, and three of these are still shorter than a mirror's restart.
        retry: Option<Placed<Duration>> = duration("retry", millis(100)..=hours(1)).default(RETRY_DEFAULT).example("\"1s\""),

        /// The longest time of one probe.
        ///
        /// Two lost packets are sent again within 3 s (RFC 6298 §2). A slower mirror is of no use to clients.
        timeout: Duration = duration("timeout", millis(50)..=secs(60)).default(TIMEOUT_DEFAULT).example("\"2s\""),

        /// Failures in a row that take an address down. Wrong content takes it down at once.
        ///
        /// One or two lost probes may be chance; three in a row are not.
        fall: u8 = number("fall", 1..=100, "probes").default(3).example("2"),

        /// Successes in a row that bring an address back.
        ///
        /// More than `fall`, because coming back too early costs pulls, and coming back late costs only distance.
        rise: u8 = number("rise", 1..=100, "probes").default(5).example("4"),

        /// The shortest time that an address stays down.
        ///
        /// The default TTL, because a client that was steered elsewhere comes back no sooner.
        hold_down: Duration = duration("hold-down", Duration::ZERO..=hours(24)).default(secs(60)).example("\"30s\""),

        /// The longest time that an address stays down. The time doubles up to it if the address fails again soon.
        ///
        /// A mirror that fails that often is better left to its owner.
        max_hold_down: Option<Placed<Duration>> = duration("max-hold-down", Duration::ZERO..=hours(24))
            .default(MAX_HOLD_DOWN_DEFAULT)
            .example("\"5m\""),

        /// Time before its end at which a certificate is warned of, but at most a third of its life. Its issuers and the root count
        /// too.
        ///
        /// A long weekend is enough to renew by hand after automatic renewal failed.
        expiring: Duration = duration("expiring", Duration::ZERO..=days(90)).default(hours(72)).example("\"24h\""),

        /// Blob that every mirror must have. Each probe fetches all of it.
        ///
        /// A certificate alone does not show that a mirror serves content.
        canary: Option<CanarySpec> = table::<CanarySpec>("canary").otherwise("content is not checked").example(
            "{ repository = \"pause\", digest = \"sha256:7031c1b283388d2c2e09b57badb803c05ebed362dc88d84b480cc47f72a21097\", \
             size = 32 }",
        ),

        /// PEM file with the roots that certificates of mirrors must lead to. A root counts only while it is valid. A certificate of
        /// a mirror may itself be one of them.
        roots: Option<PlacedText> = file("roots", FileUse::Roots).otherwise("the system's roots").example("\"roots.pem\""),

        /// File that keeps the health and hold-down of addresses across restarts.
        ///
        /// Without it, a restarted server steers to a dead mirror until the first probes end. A damaged file is kept as
        /// `….bad`, with a warning.
        state: Option<PlacedText> = file("state", FileUse::ProbeState).otherwise("not kept").example("\"/var/lib/pharos/probes.json\""),
    }
}

section! {
    /// `probe.canary` as written.
    pub(super) struct CanarySpec: "canary" {
        /// Repository of the blob: its name without registry and tag.
        repository: Option<PlacedText> = text("repository", "name of a repository").required().example("\"pause\""),

        /// Digest of the blob: `sha256:` and 64 hexadecimal digits in lower case.
        digest: Option<PlacedText> = text("digest", "digest")
            .required_or("add `digest = \"sha256:…\"`")
            .example("\"sha256:7031c1b283388d2c2e09b57badb803c05ebed362dc88d84b480cc47f72a21097\""),

        /// Size of the blob.
        ///
        /// At most 1 MiB, because each probe fetches all of it.
        size: Option<u64> = number("size", limits::CANARY_SIZE, "bytes")
            .required_or(
                "add `size` with the bytes of the blob: `curl -sIL https://REGISTRY/v2/REPOSITORY/blobs/DIGEST` shows them \
                 as `content-length`",
            )
            .example("32"),
    }
}

/// `[probe]`: the requirements that mirrors are probed for, and the times of probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The name that every mirror serves: in TLS (SNI), in the certificate, and in HTTP.
    pub name: Arc<str>,
    /// The port of mirrors.
    pub port: u16,
    /// Interval between probes of a healthy address.
    pub interval: Duration,
    /// Interval between probes of an address that failed or is down.
    pub retry: Duration,
    /// The longest time of one probe.
    pub timeout: Duration,
    /// The numbers of probes that take an address down and bring it back.
    pub thresholds: Thresholds,
    /// Time before its end at which a certificate is warned of.
    pub expiring: Duration,
    /// The blob that every mirror must have. `None` leaves content unchecked.
    pub canary: Option<Canary>,
    /// A PEM file of the roots that clients trust. `None` means those of this system.
    pub roots: Option<InputFile>,
    /// The file that keeps health across restarts. `None` keeps nothing.
    pub state: Option<PathBuf>,
}

/// A blob that every mirror must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// Its repository.
    pub(crate) repository: Arc<str>,
    /// Its SHA-256, 64 lower-case hexadecimal digits.
    pub(crate) sha256: Arc<str>,
    /// Its size in bytes.
    pub(crate) size: u64,
}

impl Probe {
    /// Probes of a name with the defaults of `[probe]`.
    pub fn of_name(name: Arc<str>) -> Self {
        Probe::of(name, &ProbeSpec::absent(Place::whole_file(&"".into())))
    }

    /// Probes with the numbers and durations of a table; content is unchecked, the roots are the system's, and nothing is kept.
    fn of(name: Arc<str>, spec: &ProbeSpec) -> Self {
        // A default never contradicts a written key.
        let max_hold_down =
            spec.max_hold_down.as_ref().map_or(MAX_HOLD_DOWN_DEFAULT.max(spec.hold_down), |max| max.value);
        Probe {
            name,
            port: spec.port.unwrap_or(limits::MIRROR_PORT),
            interval: spec.interval,
            retry: spec.retry.as_ref().map_or(RETRY_DEFAULT.min(spec.interval), |retry| retry.value),
            timeout: spec.timeout,
            thresholds: Thresholds {
                fall: spec.fall,
                rise: spec.rise,
                hold_down_ms: spec.hold_down.as_millis() as u64,
                max_hold_down_ms: max_hold_down.as_millis() as u64,
            },
            expiring: spec.expiring,
            canary: None,
            roots: None,
            state: None,
        }
    }
}

impl Canary {
    /// A canary by its digest as OCI writes it. `None` if that is not `sha256:` and 64 digits in lower case, or the
    /// repository is not the name of one.
    pub fn new(repository: &str, digest: &str, size: u64) -> Option<Self> {
        let repository = value::repository(repository).ok()?;
        let sha256 = digest.strip_prefix("sha256:").filter(|hex| is_hex(hex, 64))?;
        Some(Canary { repository, sha256: sha256.into(), size })
    }
}

impl Check<'_> {
    pub(super) fn check_probe(
        &mut self,
        spec: &ProbeSpec,
        registry: Option<&RegistryConfig>,
        zones: &[ZoneConfig],
        mirrors: &[MirrorEntry],
    ) -> Option<Probe> {
        let name = match &spec.name {
            Some(text) => self.parse(text, value::host_name)?,
            None => self.shared_name(spec, registry, zones, mirrors)?,
        };
        let hold_down = spec.hold_down;
        if let Some(max) = spec.max_hold_down.as_ref().filter(|max| max.value < hold_down) {
            self.report(
                Diagnostic::error("hold-down", "`max-hold-down` is shorter than `hold-down`")
                    .at(max.place.clone(), format!("less than `{}`", value::written(hold_down)))
                    .help("make it at least as long: the hold-down doubles up to it"),
            );
        }
        let of_registry = registry.map_or(limits::MIRROR_PORT, RegistryConfig::mirror_port);
        Some(Probe {
            port: spec.port.unwrap_or(of_registry),
            canary: spec.canary.as_ref().and_then(|canary| self.check_canary(canary)),
            roots: spec.roots.as_ref().and_then(|roots| self.input(roots, FileUse::Roots)),
            state: spec.state.as_ref().and_then(|state| self.path(state)),
            ..Probe::of(name, spec)
        })
    }

    /// The host of the registry's `blobs`, else the one steered owner. If every mirror has a URL, no mirror is probed by this
    /// name, and it is the host of one.
    fn shared_name(
        &mut self,
        spec: &ProbeSpec,
        registry: Option<&RegistryConfig>,
        zones: &[ZoneConfig],
        mirrors: &[MirrorEntry],
    ) -> Option<Arc<str>> {
        if let Some(name) = registry.and_then(RegistryConfig::mirror_name) {
            return Some(name.into());
        }
        let mut owners = zones.iter().flat_map(|zone| &zone.steer).map(|steer| steer.owner.to_string());
        match (owners.next(), owners.next()) {
            (Some(owner), None) => Some(owner.into()),
            (None, _) if mirrors.iter().all(|entry| entry.mirror.is_redirect_only()) && !mirrors.is_empty() => {
                mirrors[0].mirror.host.clone()
            }
            _ => {
                self.report(
                    Diagnostic::error("probe-name", "the name that mirrors serve is unknown")
                        .at(spec.table.place.clone(), "`name` is missing")
                        .help("add `name = \"blob.example.com\"`: the name that clients pull from"),
                );
                None
            }
        }
    }

    fn check_canary(&mut self, spec: &CanarySpec) -> Option<Canary> {
        let digest = spec.digest.as_ref()?;
        let repository = spec.repository.as_ref().and_then(|text| self.parse(text, value::repository));
        // Judge the digest without the other two, which have problems of their own.
        let canary = Canary::new(repository.as_deref().unwrap_or("any"), &digest.value, spec.size.unwrap_or(1));
        if canary.is_none() {
            self.report(
                Diagnostic::error("bad-digest", format!("`{}` is not a SHA-256 digest", digest.value))
                    .at(digest.place.clone(), "not a digest")
                    .help("write `sha256:` and 64 hexadecimal digits in lower case"),
            );
        }
        canary.filter(|_| repository.is_some() && spec.size.is_some())
    }
}
