//! `pharos credential`: makes credentials for ACME clients of mirrors, and lists those of the configuration.
//!
//! **Invariants**: no command here changes a file or asks a server; a secret is printed by the command that made it, and by no
//! other.
//! **Not here**: the meaning of credentials ([`crate::config`]), tokens ([`crate::acme`]).

mod clients;
mod new;

use serde_json::json;

use super::layout::Layout;
use super::locate::ConfigLocation;
use super::output::note;
use super::{CommandFailure, CommandResult, OK, put};
use crate::config::{self, CredentialConfig};

/// Arguments of `pharos credential`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: CredentialVerb,
}

#[derive(Debug, clap::Subcommand)]
enum CredentialVerb {
    /// Make a credential for a machine that renews a mirror's certificate: prints the secret, the lines for the configuration,
    /// and settings of ACME clients
    New(new::Args),

    /// List the credentials of the configuration, without secrets
    List(ListArgs),
}

/// Arguments of `pharos credential list`.
#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs one of these commands, and returns the exit code.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> CommandResult {
    let text = match &args.verb {
        CredentialVerb::New(args) => new::make(config, args)?,
        CredentialVerb::List(args) => list(config, args)?,
    };
    Ok(put(&text, OK))
}

fn list(config: &ConfigLocation, args: &ListArgs) -> Result<String, CommandFailure> {
    let config = config::read_file(config.path())?.config;
    let credentials = config.acme.map(|acme| acme.credentials).unwrap_or_default();
    if args.json {
        let credentials: Vec<_> = credentials.iter().map(credential_json).collect();
        return Ok(format!("{}\n", json!({ "credentials": credentials })));
    }
    if credentials.is_empty() {
        note("no mirror has credentials: `pharos credential new MIRROR` makes one");
    }
    let row = |credential: &CredentialConfig| {
        let account = credential.account.as_ref().map_or("no account", |account| &account.value);
        let allow = if credential.allow.is_empty() {
            "from any address".to_string()
        } else {
            format!("from {}", joined(&credential.allow))
        };
        let names = joined(credential.names.iter().map(|certificate| &certificate.name));
        vec![credential.mirror.to_string(), credential.name.to_string(), allow, account.to_string(), names]
    };
    let rows: Vec<Vec<String>> = credentials.iter().map(row).collect();
    Ok(Layout::of_stdout().table("", 0, &rows, |_, _, _| None))
}

fn credential_json(credential: &CredentialConfig) -> serde_json::Value {
    json!({
        "credential": &*credential.name,
        "mirror": &*credential.mirror,
        "account": credential.account.as_ref().map(|account| &*account.value),
        "allow": credential.allow.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "names": credential.names.iter().map(|certificate| certificate.name.to_string()).collect::<Vec<_>>(),
    })
}

/// Values with spaces between.
fn joined<T: std::fmt::Display>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(" ")
}
