//! Asking resolvers for the addresses of a host, with hickory-resolver.
//!
//! **Invariants**: names are absolute, so no search list is tried; no answer comes from a cache, because the caller decides
//! when to ask again.
//! **Not here**: accepting the addresses ([`crate::mirror`]).

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts, ServerOrderingStrategy};
use hickory_resolver::lookup::Lookup as Answer;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::proto::serialize::binary::BinEncodable as _;
use hickory_resolver::{TokioResolver, system_conf};

use crate::base::name::NameBuf;
use crate::base::rr::Rtype;
use crate::base::time::Ttl;
use crate::config::Resolver;
use crate::files;
use crate::mirror::{Lookup, Trouble};

/// The number of times that a failed query is sent again, to the same server or another.
const RETRIES: usize = 1;

/// The longest time of a lookup, as a multiple of the timeout of one query: two tries at two servers.
const LIMIT: u32 = 4;

/// The longest wait for this system's list of resolvers.
const SYSTEM_DEADLINE: Duration = Duration::from_secs(5);

/// Asks the resolvers.
#[derive(Clone, Debug)]
pub struct HostAsker {
    resolver: TokioResolver,
    limit: Duration,
}

impl HostAsker {
    /// Reads the resolvers of this system if the config names none. The error is the reason why there is no resolver.
    pub(crate) fn new(meant: &Resolver) -> Result<Self, String> {
        let (config, hosts) = if meant.servers.is_empty() {
            // The file may be on a file system that hangs.
            let file = Path::new("/etc/resolv.conf");
            let read = files::within(file, SYSTEM_DEADLINE, |_| system_conf::read_system_conf());
            let read = read.map_err(|error| format!("{}: {error}", file.display()))?;
            let (config, _) = read.map_err(|error| error.to_string())?;
            // The same addresses as for this system's own programs: the administrator may have written hosts into a file.
            (ResolverConfig::from_name_servers(config.name_servers().to_vec()), ResolveHosts::Always)
        } else {
            let servers = meant.servers.iter().map(|server| {
                let mut named = NameServerConfig::udp_and_tcp(server.ip());
                named.connections.iter_mut().for_each(|connection| connection.port = server.port());
                named
            });
            (ResolverConfig::from_name_servers(servers.collect()), ResolveHosts::Never)
        };
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options: &mut ResolverOpts = builder.options_mut();
        options.timeout = meant.timeout;
        options.attempts = RETRIES;
        options.cache_size = 0;
        options.use_hosts_file = hosts;
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        options.try_tcp_on_error = true;
        options.preserve_intermediates = true;
        let resolver = builder.build().map_err(|error| error.to_string())?;
        Ok(HostAsker { resolver, limit: meant.timeout * LIMIT })
    }

    /// Looks up the A and AAAA records of a host.
    pub(crate) async fn ask(&self, host: &str) -> [Lookup; 2] {
        let Ok(mut name) = Name::from_ascii(host) else {
            let why = || Lookup::Failed(Trouble::Server("it is no host name".to_string()));
            return [why(), why()];
        };
        name.set_fqdn(true);
        let (v4, v6) = tokio::join!(self.lookup(&name, RecordType::A), self.lookup(&name, RecordType::AAAA));
        [v4, v6]
    }

    /// Looks up records of a name: the rdata of each, none if the name has none.
    pub(crate) async fn records(&self, name: &str, rtype: Rtype) -> Result<Vec<Vec<u8>>, Trouble> {
        let mut name = Name::from_ascii(name).map_err(|error| Trouble::Server(error.to_string()))?;
        name.set_fqdn(true);
        let rtype = RecordType::from(rtype.0);
        let Some(found) = self.find(&name, rtype).await? else { return Ok(Vec::new()) };
        let records = found.answers().iter().filter(|record| record.record_type() == rtype && record.name == name);
        Ok(records.filter_map(|record| record.data.to_bytes().ok()).collect())
    }

    /// Looks up records of a name; `None` if there are none.
    async fn find(&self, name: &Name, rtype: RecordType) -> Result<Option<Answer>, Trouble> {
        self.resolver.clear_lookup_cache(name.clone(), rtype);
        match tokio::time::timeout(self.limit, self.resolver.lookup(name.clone(), rtype)).await {
            Ok(Ok(found)) => Ok(Some(found)),
            Ok(Err(error)) => failure(error).map_or(Ok(None), Err),
            Err(_) => Err(Trouble::Timeout),
        }
    }

    async fn lookup(&self, name: &Name, rtype: RecordType) -> Lookup {
        let found = match self.find(name, rtype).await {
            Ok(Some(found)) => found,
            Ok(None) => return Lookup::Nothing,
            Err(trouble) => return Lookup::Failed(trouble),
        };
        let mut addresses: Vec<IpAddr> = Vec::new();
        let (mut aliases, mut ttl) = (Vec::new(), Ttl::MAX);
        for record in found.answers() {
            ttl = ttl.min(Ttl(record.ttl));
            match &record.data {
                RData::A(v4) => addresses.push(v4.0.into()),
                RData::AAAA(v6) => addresses.push(v6.0.into()),
                RData::CNAME(target) => aliases.extend(NameBuf::parse(&target.0.to_ascii())),
                _ => {}
            }
        }
        if addresses.is_empty() { Lookup::Nothing } else { Lookup::Found { addresses, ttl, aliases } }
    }
}

/// The trouble of a failed lookup. `None` for a response without records, which alone means that the host has no address.
fn failure(error: NetError) -> Option<Trouble> {
    let why = match error {
        NetError::Timeout => return Some(Trouble::Timeout),
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            // A referral: the queried server does not recurse for us (RFC 2308 §2.2).
            ResponseCode::NoError if none.ns.is_some() && none.soa.is_none() => {
                "the resolver does not recurse for us: it refers to other servers".to_string()
            }
            ResponseCode::NoError | ResponseCode::NXDomain => return None,
            other => format!("the resolver answered {other}"),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => format!("the resolver answered {code}"),
        NetError::NoConnections => "no resolver can be reached".to_string(),
        NetError::Io(error) => format!("no resolver can be reached: {error}"),
        other => other.to_string(),
    };
    Some(Trouble::Server(why))
}
