//! Asking resolvers for the addresses of a host, with hickory-resolver.
//!
//! **Invariants**: names are absolute, so no search list is tried; no answer comes from a cache, because the caller decides
//! when to ask again.
//! **Not here**: accepting the addresses ([`crate::mirror`]).

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig, ResolverOpts,
    ServerOrderingStrategy,
};
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
        let (config, hosts) = match meant.servers.is_empty() {
            true => {
                // The file may be on a file system that hangs.
                let file = Path::new("/etc/resolv.conf");
                let read = files::within(file, SYSTEM_DEADLINE, |_| system_conf::read_system_conf());
                let read = read.map_err(|error| format!("{}: {error}", file.display()))?;
                let (config, _) = read.map_err(|error| error.to_string())?;
                // The same addresses as for this system's own programs: the administrator may have written hosts into a file.
                (ResolverConfig::from_name_servers(config.name_servers().to_vec()), ResolveHosts::Always)
            }
            false => {
                let servers = meant.servers.iter().map(|server| {
                    let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp].map(|protocol| {
                        let mut connection = ConnectionConfig::new(protocol);
                        connection.port = server.port();
                        connection
                    });
                    NameServerConfig::new(server.ip(), true, connections.to_vec())
                });
                (ResolverConfig::from_name_servers(servers.collect()), ResolveHosts::Never)
            }
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
        self.resolver.clear_lookup_cache(name.clone(), rtype);
        let found = match tokio::time::timeout(self.limit, self.resolver.lookup(name.clone(), rtype)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => match failed(error) {
                Lookup::Failed(trouble) => return Err(trouble),
                _ => return Ok(Vec::new()),
            },
            Err(_) => return Err(Trouble::Timeout),
        };
        let records = found.answers().iter().filter(|record| record.record_type() == rtype && record.name == name);
        Ok(records.filter_map(|record| record.data.to_bytes().ok()).collect())
    }

    async fn lookup(&self, name: &Name, rtype: RecordType) -> Lookup {
        self.resolver.clear_lookup_cache(name.clone(), rtype);
        let found = match tokio::time::timeout(self.limit, self.resolver.lookup(name.clone(), rtype)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return failed(error),
            Err(_) => return Lookup::Failed(Trouble::Timeout),
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

/// Only a response without records means that the host has no address; after any other failure it may have some.
fn failed(error: NetError) -> Lookup {
    let server = |why: &str| Lookup::Failed(Trouble::Server(why.to_string()));
    match error {
        NetError::Timeout => Lookup::Failed(Trouble::Timeout),
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            // A referral: the queried server does not recurse for us (RFC 2308 §2.2).
            ResponseCode::NoError if none.ns.is_some() && none.soa.is_none() => {
                server("the resolver does not recurse for us: it refers to other servers")
            }
            ResponseCode::NoError | ResponseCode::NXDomain => Lookup::Nothing,
            other => server(&format!("the resolver answered {other}")),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => server(&format!("the resolver answered {code}")),
        NetError::NoConnections => server("no resolver can be reached"),
        NetError::Io(error) => server(&format!("no resolver can be reached: {error}")),
        other => server(&other.to_string()),
    }
}
