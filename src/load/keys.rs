//! Keys: secrets out of the config or files of their own, keys out.
//!
//! A file holds the secret in base64 and nothing else but white space.
//!
//! **Invariants**: a secret is never shown, not even where it is wrong.

use std::fs::File;
use std::io::Read as _;

use crate::base::diagnostic::Diagnostic;
use crate::base::tsig::{Key, Keys};
use crate::config::{self, Secret};

/// The most octets of a secret's file: the longest useful secret has 172 in base64.
const MAX_FILE_LEN: u64 = 4096;

/// Reads all keys of a config, or tells which cannot be had.
pub fn read(keys: &[config::Key]) -> Result<Keys, Vec<Diagnostic>> {
    let (mut read, mut problems) = (Vec::new(), Vec::new());
    for key in keys {
        match read_one(key) {
            Ok(key) => read.push(key),
            Err(problem) => problems.push(problem.at(key.place.clone(), "this key")),
        }
    }
    if problems.is_empty() { Ok(Keys::new(read)) } else { Err(problems) }
}

fn read_one(key: &config::Key) -> Result<Key, Box<Diagnostic>> {
    let name = key.name.to_string();
    let text = text(&key.secret, &format!("the secret of key `{name}`"))?;
    let secret = config::decode_secret(&text).map_err(|error| Box::new(config::bad_secret(&name, error)))?;
    Key::new(key.name.as_name(), key.algorithm, &secret)
        .map_err(|error| Box::new(Diagnostic::error("bad-key", format!("key `{name}` cannot be used: {error}"))))
}

/// The text of a secret; `what` says of which, where it cannot be read.
pub(super) fn text(secret: &Secret, what: &str) -> Result<String, Box<Diagnostic>> {
    let path = match secret {
        Secret::Text(text) => return Ok(text.to_string()),
        Secret::File(path) => path,
    };
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_LEN).read_to_string(&mut text));
    read.map_err(|error| {
        let message = format!("cannot read {what} from `{}`: {error}", path.display());
        let help = "the path is relative to the config file; check that it exists and may be read";
        Box::new(Diagnostic::error("unreadable-secret", message).help(help))
    })?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::diagnostic::Place;
    use crate::base::name::NameBuf;
    use crate::base::tsig::Algorithm;

    #[test]
    fn a_secret_comes_from_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let key = config::Key {
            name: NameBuf::parse("Transfer").unwrap(),
            algorithm: Algorithm::HmacSha256,
            secret: Secret::File(path.clone()),
            place: Place::whole_file(&"pharos.toml".into()),
        };
        let codes =
            |key: &config::Key| read(std::slice::from_ref(key)).map(|_| ()).map_err(|problems| problems[0].code);
        assert_eq!(codes(&key), Err("unreadable-secret"));
        std::fs::write(&path, "not base64!").unwrap();
        assert_eq!(codes(&key), Err("bad-secret"));
        std::fs::write(&path, "c2hvcnQ=\n").unwrap();
        assert_eq!(codes(&key), Err("bad-secret"));
        std::fs::write(&path, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n").unwrap();
        let keys = read(&[key]).unwrap();
        assert!(keys.find(NameBuf::parse("transfer").unwrap().as_name(), Algorithm::HmacSha256.name()).is_some());
    }
}
