//! Addresses that are listened on: none twice, over TCP or over UDP.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use super::Check;
use crate::base::diagnostic::{Diagnostic, Place};
use crate::config::Placed;
use crate::config::spec::{Spec, Text};
use crate::config::value::{self, Fault};

impl Check<'_> {
    pub(in crate::config) fn check_listen(&mut self, texts: &[Text]) -> Vec<SocketAddr> {
        self.check_addresses(texts, value::socket_address)
    }

    /// The addresses of one `listen`; notes them with their places.
    pub(in crate::config) fn check_addresses(
        &mut self,
        texts: &[Text],
        parse: impl Fn(&str) -> Result<SocketAddr, Fault>,
    ) -> Vec<SocketAddr> {
        let mut addresses = Vec::with_capacity(texts.len());
        for text in texts {
            if let Some(address) = self.parse(text, &parse) {
                addresses.push(address);
                self.written_addresses.push(Placed { value: address, place: text.place.clone() });
            }
        }
        addresses
    }

    pub(in crate::config) fn check_prefixes(&mut self, texts: &[Text]) -> Vec<crate::base::prefix::Prefix> {
        self.parse_all(texts, value::prefix).into_iter().map(|prefix| prefix.value).collect()
    }

    /// No address is listened on twice, over TCP or over UDP.
    pub(super) fn check_listeners(&mut self, spec: &Spec) {
        let dns = || spec.dns.listen.iter().flatten();
        let tls = spec.dns.tls.iter().flat_map(|tls| &tls.listen);
        let https = spec.dns.https.iter().flat_map(|https| &https.listen);
        let registry = spec.registry.iter().flat_map(|registry| &registry.listen);
        let admin = spec.admin.iter().flat_map(|admin| &admin.listen);
        let quic = spec.dns.quic.iter().flat_map(|quic| &quic.listen);
        self.check_distinct(dns().chain(tls).chain(https).chain(registry).chain(admin));
        // Over UDP. An address that `[dns] listen` has twice has been reported.
        let mut seen = HashSet::new();
        self.check_distinct(dns().filter(|text| seen.insert(&text.value)).chain(quic));
    }

    /// Port 0 is a port of its own each time.
    fn check_distinct<'t>(&mut self, texts: impl Iterator<Item = &'t Text>) {
        let mut first: HashMap<SocketAddr, &Place> = HashMap::new();
        for text in texts {
            let Ok(address) = text.value.parse::<SocketAddr>() else { continue };
            if address.port() == 0 {
                continue;
            }
            match first.get(&address) {
                None => {
                    first.insert(address, &text.place);
                }
                Some(before) => self.problems.push(
                    Diagnostic::error("duplicate-listen", format!("`{address}` is listened on twice"))
                        .at(text.place.clone(), "again here")
                        .related((*before).clone(), "first here")
                        .help("remove one of the two, or use another port"),
                ),
            }
        }
    }
}
