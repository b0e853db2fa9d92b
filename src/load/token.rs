//! The token of the admin listener: out of the config or a file of its own.
//!
//! **Invariants**: a token is never shown, not even a wrong one.

use crate::base::diagnostic::Diagnostic;
use crate::config::{self, bad_token, parse_token};

/// Reads the token; beside it is a warning if others may use its file.
pub(crate) fn read(token: &config::TokenConfig) -> Result<(String, Option<Diagnostic>), Box<Diagnostic>> {
    let reason = "a client with the token can send all clients elsewhere";
    let (text, warning) = super::keys::text(&token.secret, "the token of `[admin]`", &token.place, reason)?;
    let parsed =
        parse_token(&text).map_err(|error| Box::new(bad_token(error).at(token.place.clone(), "this token")))?;
    Ok((parsed.to_string(), warning))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::base::diagnostic::Place;
    use crate::config::{FileUse, InputFile, Secret};

    #[test]
    fn a_token_comes_from_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let place = Place::whole_file(&"pharos.toml".into());
        let token = config::TokenConfig { secret: Secret::File(InputFile::at(&path, FileUse::Token)), place };
        assert_eq!(read(&token).unwrap_err().code, "unreadable-secret");
        std::fs::write(&path, "short\n").unwrap();
        let problem = read(&token).unwrap_err();
        assert!(problem.code == "bad-token" && !problem.message.contains("short ") && problem.help.is_some());
        std::fs::write(&path, "0123456789abcdef0123\n").unwrap();
        let said = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let (text, warning) = read(&token).unwrap();
            assert_eq!(text, "0123456789abcdef0123");
            warning.map(|warning| warning.code)
        };
        assert_eq!((said(0o600), said(0o644)), (None, Some("secrets-exposed")));
    }
}
