//! Keys: secrets out of the config or files of their own, keys out.
//!
//! A file holds the secret in base64 and nothing else but white space.
//!
//! **Invariants**: a secret is never shown, not even a wrong one.

use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::tsig::{Key, Keys};
use crate::config::{self, InputFile, Secret};

/// Reads all keys of a config; beside them are the warnings. Fails with all keys that cannot be read.
pub(crate) fn read(keys: &[config::KeyConfig]) -> Result<(Keys, Vec<Diagnostic>), Vec<Diagnostic>> {
    let (mut read, mut problems, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    for key in keys {
        match read_one(key) {
            Ok((key, warning)) => {
                read.push(key);
                warnings.extend(warning);
            }
            Err(problem) => problems.push(problem.at(key.place.clone(), "this key")),
        }
    }
    if problems.is_empty() { Ok((Keys::new(read), warnings)) } else { Err(problems) }
}

fn read_one(key: &config::KeyConfig) -> Result<(Key, Option<Diagnostic>), Box<Diagnostic>> {
    let name = key.name.to_string();
    let reason = "a client with the secret can sign as this key";
    let (text, warning) = text(&key.secret, &format!("the secret of key `{name}`"), &key.place, reason)?;
    let secret = config::decode_secret(&text).map_err(|error| Box::new(config::bad_secret(&name, error)))?;
    let key = Key::new(key.name.as_name(), key.algorithm, &secret)
        .map_err(|error| Box::new(Diagnostic::error("bad-key", format!("key `{name}` cannot be used: {error}"))))?;
    Ok((key, warning))
}

/// The text of a secret. `what` names the secret; `reason` is the harm if others read it.
pub(super) fn text(
    secret: &Secret,
    what: &str,
    place: &Place,
    reason: &str,
) -> Result<(String, Option<Diagnostic>), Box<Diagnostic>> {
    match secret {
        Secret::Text(text) => Ok((text.to_string(), None)),
        Secret::File(input) => text_of_file(input, what, place, reason),
    }
}

/// The text of a file that holds a secret.
pub(super) fn text_of_file(
    input: &InputFile,
    what: &str,
    place: &Place,
    reason: &str,
) -> Result<(String, Option<Diagnostic>), Box<Diagnostic>> {
    let path = &input.path;
    let unreadable = |why: String, help: String| {
        let message = format!("cannot read {what} from `{}`: {why}", path.display());
        Box::new(Diagnostic::error("unreadable-secret", message).at(place.clone(), "named here").help(help))
    };
    let read = input.read().map_err(|error| unreadable(error.to_string(), error.help(path)))?;
    let text = String::from_utf8(read.bytes)
        .map_err(|_| unreadable("it is not text".to_string(), "write the secret as text, nothing else".to_string()))?;
    let shown = path.display().to_string();
    Ok((text, super::exposed(path, &shown, &read.facts, place.clone(), reason)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::base::name::NameBuf;
    use crate::base::tsig::Algorithm;
    use crate::config::FileUse;

    #[test]
    fn a_secret_comes_from_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let key = config::KeyConfig {
            name: NameBuf::parse("Transfer").unwrap(),
            algorithm: Algorithm::HmacSha256,
            secret: Secret::File(InputFile::at(&path, FileUse::Secret)),
            place: Place::whole_file(&"pharos.toml".into()),
        };
        let codes =
            |key: &config::KeyConfig| read(std::slice::from_ref(key)).map(|_| ()).map_err(|problems| problems[0].code);
        assert_eq!(codes(&key), Err("unreadable-secret"));
        std::fs::write(&path, "not base64!").unwrap();
        assert_eq!(codes(&key), Err("bad-secret"));
        std::fs::write(&path, "c2hvcnQ=\n").unwrap();
        assert_eq!(codes(&key), Err("bad-secret"));
        std::fs::write(&path, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n").unwrap();
        let said = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            read(std::slice::from_ref(&key)).unwrap().1.pop().map(|warning| warning.code)
        };
        assert_eq!((said(0o666), said(0o600)), (Some("secrets-exposed"), None));
        let (keys, _) = read(&[key]).unwrap();
        assert!(keys.find(NameBuf::parse("transfer").unwrap().as_name(), Algorithm::HmacSha256.name()).is_some());
    }
}
