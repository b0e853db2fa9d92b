//! The service as a part of another program, such as the demonstration.
//!
//! **Not here**: signals and reloads ([`super::run`]).

use std::net::SocketAddr;
use std::path::Path;

use super::prepare::prepare;
use super::services::Services;
use super::{Failure, log_problems};
use crate::base::time::Generation;
use crate::files::{self, Intake};
use crate::load::hosts::Purpose;
use crate::process::work;
use crate::process::{self, Ends, Vital};
use crate::sharing::KeptRollout;

/// The service within the caller's runtime, which reads no signals and starts no reload by itself.
pub(crate) struct RunningService {
    services: Services,
    /// Not read: without it, the end of a task would have no receiver.
    _ends: Ends,
}

impl RunningService {
    /// Starts serving a configuration.
    pub(crate) async fn start(path: &Path) -> Result<Self, Failure> {
        process::seed_names();
        work::start().map_err(Failure::Threads)?;
        files::start().map_err(Failure::Threads)?;
        let prepared = prepare(path, Generation(1), &Purpose::Start, &Intake::default()).map_err(Failure::Config)?;
        log_problems(&prepared.built.warnings);
        let (vital, ends) = Vital::new();
        let services = Services::start(prepared, path, KeptRollout::default(), &vital).await?;
        Ok(RunningService { services, _ends: ends })
    }

    /// The addresses of the DNS listeners over UDP and TCP.
    pub(crate) fn dns_addresses(&self) -> Vec<SocketAddr> {
        self.services.dns.addresses().plain.clone()
    }

    /// The addresses of the registry listener.
    pub(crate) fn registry_addresses(&self) -> Vec<SocketAddr> {
        self.services.web.registry_addresses().to_vec()
    }

    /// Finishes the requests in flight.
    pub(crate) async fn stop(self) {
        self.services.stop().await;
    }
}
