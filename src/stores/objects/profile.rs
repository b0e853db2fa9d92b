//! The file in which AWS' own programs keep credentials: `$AWS_SHARED_CREDENTIALS_FILE`, or `~/.aws/credentials`.
//!
//! **Invariants**: no part of the file is shown.
//! **Not here**: profiles that lead to further credentials (`role_arn`, `sso_…`, `credential_process`): a server has a role or
//! keys of its own.

use std::path::PathBuf;

use crate::files::{self, FileKind, ReadError};
use crate::stores::StoreError;
use crate::stores::environment::StoreEnvironment;

/// The keys of a profile.
#[derive(PartialEq, Eq)]
pub(super) struct AwsProfile {
    /// The id of the access key.
    pub(super) id: String,
    /// The secret.
    pub(super) secret: String,
    /// The token of a session; `None` for keys that last.
    pub(super) token: Option<String>,
}

/// Reads the profile of `$AWS_PROFILE`, or `default`. `None` if neither the file nor the profile is named and it does not
/// exist.
pub(super) fn read(environment: &StoreEnvironment) -> Result<Option<AwsProfile>, StoreError> {
    let named = environment.value("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
    let at_home = || Some(PathBuf::from(environment.value("HOME")?).join(".aws/credentials"));
    let Some(path) = named.clone().or_else(at_home) else { return Ok(None) };
    let profile = environment.value("AWS_PROFILE");
    let is_wanted = named.is_some() || profile.is_some();
    let refused = |why: String| StoreError::Setting(format!("`{}` {why}", path.display()));
    let text = match files::read(&path, FileKind::Cookies) {
        Ok(read) => String::from_utf8_lossy(&read.bytes).into_owned(),
        Err(ReadError::Missing | ReadError::Denied) if !is_wanted => return Ok(None),
        Err(error) => return Err(refused(format!("cannot be read: {error}"))),
    };
    let profile = profile.unwrap_or("default");
    match keys(&text, profile) {
        None if is_wanted => Err(refused(format!("has no keys for the profile `{profile}`"))),
        found => Ok(found),
    }
}

/// The keys of a profile; `None` if it lacks one.
fn keys(text: &str, profile: &str) -> Option<AwsProfile> {
    let mut is_inside = false;
    let (mut id, mut secret, mut token) = (None, None, None);
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            is_inside = section.trim() == profile;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| is_inside) {
            let value = Some(value.trim().to_string()).filter(|value| !value.is_empty());
            match key.trim() {
                "aws_access_key_id" => id = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    Some(AwsProfile { id: id?, secret: secret?, token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_profile() {
        let text = "# a comment\n[default]\naws_access_key_id = A\naws_secret_access_key=s=/+\n\n[other]\n\
                    aws_access_key_id=B\n;aws_secret_access_key=x\naws_secret_access_key = t\naws_session_token = u\n[half]\n\
                    aws_access_key_id=C\n";
        let found = |profile| keys(text, profile).map(|keys| (keys.id, keys.secret, keys.token));
        assert_eq!(found("default"), Some(("A".into(), "s=/+".into(), None)));
        assert_eq!(found("other"), Some(("B".into(), "t".into(), Some("u".into()))));
        assert_eq!(found("half"), None);
        assert_eq!(found("none"), None);
    }

    #[test]
    fn a_file_that_the_environment_names_must_have_the_profile() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials").display().to_string();
        let of = |variables: &[(&str, &str)]| {
            let own = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
            read(&StoreEnvironment::of(own.collect()))
        };
        let home = folder.path().display().to_string();
        assert!(matches!(of(&[("HOME", &home)]), Ok(None)));
        assert!(of(&[("AWS_SHARED_CREDENTIALS_FILE", &path)]).is_err());
        std::fs::write(&path, "[a]\naws_access_key_id=A\naws_secret_access_key=S\n").unwrap();
        let error = of(&[("AWS_SHARED_CREDENTIALS_FILE", &path)]).err().map(|error| error.to_string());
        assert_eq!(error, Some(format!("`{path}` has no keys for the profile `default`")));
        assert!(of(&[("AWS_SHARED_CREDENTIALS_FILE", &path), ("AWS_PROFILE", "a")]).is_ok_and(|found| found.is_some()));
    }
}
