//! The trusted roots for certificates of mirrors: those of this system, or those in a file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::base::diagnostic::{Diagnostic, Place};
use crate::config::InputFile;
use crate::files;
use crate::process::Clock;
use crate::tls::Roots;

/// The longest time to read the system's roots, some 150 files.
const SYSTEM_DEADLINE: Duration = Duration::from_secs(20);

/// Reads the roots; diagnostics if there are none.
pub(crate) fn roots(file: Option<&InputFile>) -> Result<Arc<Roots>, Vec<Diagnostic>> {
    let store = match file {
        Some(input) => {
            let unusable = |why: String| problem(&input.path, &why);
            let read = input.read().map_err(|error| unusable(format!("cannot be read: {error}")))?;
            Roots::of_pem(&read.bytes).map_err(unusable)?
        }
        None => {
            // `SSL_CERT_FILE` may name any file.
            let system = Path::new("the root certificates of this system");
            let found = files::within(system, SYSTEM_DEADLINE, |_| rustls_native_certs::load_native_certs());
            let found = found.map_err(|error| no_roots(format!("this system's root certificates: {error}")))?;
            let mut store = Roots::default();
            // Other certificates of the system may be of old versions, and are no roots for the web.
            for certificate in found.certs {
                let _ = store.add(certificate);
            }
            if store.is_empty() {
                return Err(no_roots("this system has no root certificates".to_string()));
            }
            store
        }
    };
    let invalid = store.invalid_at(Clock::unix());
    if !invalid.is_empty() {
        warn!("{}", not_trusted(&invalid));
    }
    Ok(Arc::new(store))
}

/// The most names of roots in a message.
const MAX_NAMES: usize = 10;

/// The message about roots that are not valid now.
fn not_trusted(names: &[String]) -> String {
    let shown = names.iter().take(MAX_NAMES).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(MAX_NAMES);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("roots that have expired or are not valid yet are not trusted: {shown}{more}")
}

fn no_roots(message: String) -> Vec<Diagnostic> {
    let help = "install the package `ca-certificates`, or name a PEM file with `[probe] roots`";
    vec![Diagnostic::error("no-roots", message).help(help)]
}

fn problem(path: &Path, what: &str) -> Vec<Diagnostic> {
    let file = path.display().to_string();
    vec![
        Diagnostic::error("roots", format!("`{file}` {what}")).at(Place::whole_file(&file.as_str().into()), "").help(
            "name a PEM file of the roots that pull clients trust, or leave `[probe] roots` out for this system's",
        ),
    ]
}
