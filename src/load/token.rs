//! The token of the admin listener: out of the config or a file of its own.
//!
//! **Invariants**: it is never shown, not even where it is wrong.

use crate::base::diagnostic::Diagnostic;
use crate::config::{self, Secret, bad_token, parse_token};

/// Reads the token; beside it comes what is doubtful about its file.
pub fn read(token: &config::Token) -> Result<(String, Option<Diagnostic>), Box<Diagnostic>> {
    let text = super::keys::text(&token.secret, "the token of `[admin]`")
        .map_err(|problem| Box::new(problem.at(token.place.clone(), "named here")))?;
    let parsed =
        parse_token(&text).map_err(|error| Box::new(bad_token(error).at(token.place.clone(), "this token")))?;
    let Secret::File(path) = &token.secret else { return Ok((parsed.to_string(), None)) };
    let exposed = std::fs::metadata(path).is_ok_and(|metadata| super::is_exposed(&metadata));
    let warning = exposed.then(|| {
        Diagnostic::warning("secrets-exposed", format!("everybody on this machine may read `{}`", path.display()))
            .at(token.place.clone(), "named here")
            .help("whoever knows the token can send all clients elsewhere: `chmod o=` the file")
    });
    Ok((parsed.to_string(), warning))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::base::diagnostic::Place;

    #[test]
    fn a_token_comes_from_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let place = Place::whole_file(&"pharos.toml".into());
        let token = config::Token { secret: Secret::File(path.clone()), place };
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
