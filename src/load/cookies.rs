//! The secrets of DNS cookies: a file shared by all servers of a service, or a secret of this process alone.
//!
//! A line of the file is 32 hexadecimal digits; empty lines and `#` comments are skipped. The first secret signs, all
//! verify: to roll, add the new one at the end everywhere, then move it to the front, then drop the old one an hour later,
//! with a reload after each step (RFC 9018 §5).
//!
//! **Invariants**: a file has at least one secret; no secret is ever shown, not even in a diagnostic.
//! **Not here**: making and verifying cookies ([`crate::wire`]).

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use data_encoding::HEXLOWER_PERMISSIVE;

use crate::base::diagnostic::{Diagnostic, Place};
use crate::config::{InputFile, limits};
use crate::snapshot::{CookieSecret, CookieSecrets};

/// The secrets in the file that the config names, with warnings about the file. Without a file: the secret of this process,
/// which is made on first use.
pub(crate) fn secrets(file: Option<&InputFile>) -> Result<(CookieSecrets, Vec<Diagnostic>), Vec<Diagnostic>> {
    let Some(named) = file else {
        return Ok((CookieSecrets::new(of_process().into_iter().collect()), Vec::new()));
    };
    let about = |code, message: String| Diagnostic::error(code, message).at(named.place.clone(), "named here");
    let read = named.read().map_err(|error| {
        let message = format!("failed to read `{}`: {error}", named.file);
        vec![about("file", message).help(format!("{}; `openssl rand -hex 16` makes a secret", error.help(&named.path)))]
    })?;
    let secrets = parse(&named.file, &read.bytes)?;
    let reason = "a client with a secret can make cookies for any address";
    let warning = super::exposed(&named.path, &named.file, &read.facts, named.place.clone(), reason);
    Ok((secrets, warning.into_iter().collect()))
}

/// The secret of this process, which reloads keep; `None` if the system gives no random numbers, and so no cookies.
fn of_process() -> Option<CookieSecret> {
    static SECRET: OnceLock<Option<CookieSecret>> = OnceLock::new();
    *SECRET.get_or_init(|| {
        let mut secret = CookieSecret::default();
        rustls::crypto::ring::default_provider().secure_random.fill(&mut secret).ok()?;
        Some(secret)
    })
}

/// Reads the text of a file. The error has all of its problems.
fn parse(file: &str, octets: &[u8]) -> Result<CookieSecrets, Vec<Diagnostic>> {
    let file: Arc<str> = file.into();
    let whole = |code, message: String| Diagnostic::error(code, message).at(Place::whole_file(&file), "");
    if octets.len() > limits::MAX_SECRETS_OCTETS {
        let message = format!("`{file}` has {} octets", octets.len());
        return Err(vec![whole("too-large", message).help("a line has 32 hexadecimal digits; is it the right file?")]);
    }
    let (mut secrets, mut problems, mut known) = (Vec::new(), Vec::new(), HashSet::new());
    for (number, line) in (1..).zip(octets.split(|octet| *octet == b'\n')) {
        let text = line.split(|octet| *octet == b'#').next().unwrap_or_default().trim_ascii();
        if text.is_empty() {
            continue;
        }
        let (code, message, help) = match secret(text) {
            None => {
                let message = format!("this is no secret: it has {} characters", text.len());
                ("bad-secret", message, "write 32 hexadecimal digits, as `openssl rand -hex 16` does")
            }
            Some(secret) if secret == CookieSecret::default() => {
                ("bad-secret", "this secret is all zeroes".to_string(), "make one: `openssl rand -hex 16`")
            }
            Some(secret) if !known.insert(secret) => {
                ("duplicate-secret", "this secret stands here twice".to_string(), "remove one of the two")
            }
            Some(secret) => {
                secrets.push(secret);
                continue;
            }
        };
        // The place shows the number of the line but not its text, because that may be a secret.
        let place = Place::whole_line(&file, number, "");
        problems.push(Diagnostic::error(code, message).at(place, "in this line").help(help));
    }
    if secrets.len() > limits::MAX_SECRETS {
        let message = format!("`{file}` has {} secrets", secrets.len());
        problems.push(whole("too-many", message).help(format!("keep it to {}; retire old ones", limits::MAX_SECRETS)));
    }
    if secrets.is_empty() && problems.is_empty() {
        problems
            .push(whole("empty-file", format!("`{file}` holds no secret")).help("make one: `openssl rand -hex 16`"));
    }
    if problems.is_empty() { Ok(CookieSecrets::new(secrets)) } else { Err(problems) }
}

fn secret(text: &[u8]) -> Option<CookieSecret> {
    HEXLOWER_PERMISSIVE.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::base::diagnostic::Style;
    use crate::config::FileUse;

    const ONE: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
    const TWO: &str = "DD3BDF9344B678B185A6F5CB60FCA715";

    fn reports(text: &str) -> String {
        let problems = parse("cookies", text.as_bytes()).unwrap_err();
        problems.iter().map(|problem| problem.render(Style::Plain)).collect()
    }

    #[test]
    fn secrets_come_in_the_order_of_their_lines() {
        let secrets = parse("cookies", format!("# ours\n\n {ONE} # signs\r\n{TWO}").as_bytes()).unwrap();
        assert_eq!(secrets.all().len(), 2);
        assert_eq!((secrets.all()[0][0], secrets.all()[1][15]), (0xe5, 0x15));
    }

    #[test]
    fn every_fault_has_its_line_and_no_secret_is_shown() {
        let text = format!("{ONE}\n{ONE}\n{}x\n{}\n00112233", &TWO[1..], "0".repeat(32));
        let shown = reports(&text);
        for expected in
            ["duplicate-secret", "cookies:2", "bad-secret", "cookies:3", "all zeroes", "cookies:4", "8 characters"]
        {
            assert!(shown.contains(expected), "{expected} is not in\n{shown}");
        }
        assert!(!shown.contains("e5e973") && !shown.contains("DF93") && !shown.contains("001122"), "{shown}");
    }

    #[test]
    fn a_file_without_a_secret_or_with_too_many_is_refused() {
        assert!(reports("# none yet\n").contains("holds no secret"));
        let many: String = (1..=9).map(|number| format!("{number:032x}\n")).collect();
        assert!(reports(&many).contains("has 9 secrets"));
        assert!(reports(&"#".repeat(limits::MAX_SECRETS_OCTETS + 1)).contains("too-large"));
    }

    #[test]
    fn without_a_file_the_process_keeps_one_secret() {
        let (first, _) = secrets(None).unwrap();
        let (second, _) = secrets(None).unwrap();
        assert_eq!((first.all().len(), first == second), (1, true));
    }

    #[test]
    fn a_file_that_everybody_may_read_is_doubtful() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cookies");
        std::fs::write(&path, ONE).unwrap();
        let place = Place::whole_file(&"pharos.toml".into());
        let file = InputFile::new(path.clone(), "cookies".into(), FileUse::Cookies, place);
        let warnings = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            secrets(Some(&file)).unwrap().1.iter().map(|warning| warning.code).collect::<Vec<_>>()
        };
        assert_eq!(warnings(0o644), ["secrets-exposed"]);
        assert!(warnings(0o640).is_empty());
        let mut missing = file.clone();
        missing.path = folder.path().join("none");
        assert!(secrets(Some(&missing)).unwrap_err()[0].message.contains("failed to read `cookies`"));
    }
}
