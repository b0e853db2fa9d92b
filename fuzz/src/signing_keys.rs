//! Files of keys that sign zones: BIND's two, or one in PEM.

use pharos::base::diagnostic::{Diagnostic, Style};
use pharos::base::report::report;

const CONFIG: &str = "[[zone]]\nname = 'example'\nfile = 'zone'\ndnssec = { keys = ['KEY'] }\n";

const ZONE: &str = "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.1\n";

/// The shortest part of a private key that no report may have.
const SECRET: usize = 16;

/// Loads a key: the text of both files with a zero byte between, or that of a PEM file.
///
/// The key is taken, or refused with problems that can be printed and have no part of a private key.
pub fn signing_keys(input: &[u8]) {
    let (name, files) = match input.iter().position(|byte| *byte == 0) {
        Some(at) => ("K+013+00001", vec![("K+013+00001.key", &input[..at]), ("K+013+00001.private", &input[at + 1..])]),
        None => ("key.pem", vec![("key.pem", input)]),
    };
    let config = CONFIG.replace("KEY", name);
    let all = [("pharos.toml", config.as_bytes()), ("zone", ZONE.as_bytes())].into_iter().chain(files);
    let said = |problems: &[Diagnostic]| report(problems, Style::Plain);
    if let Err(problems) = pharos::build_in_memory("pharos.toml", all) {
        assert!(!problems.is_empty(), "a key is refused with a reason");
        let said = said(&problems);
        let text = String::from_utf8_lossy(input);
        let keys = text.lines().filter_map(|line| match line.split_once("PrivateKey:") {
            Some((_, key)) => Some(key.trim()),
            None => (name == "key.pem" && !line.contains('-')).then_some(line),
        });
        // A word that is in the file twice may be a name, too.
        let is_secret = |key: &&str| key.len() > SECRET && text.matches(*key).count() == 1;
        let secret = keys.filter(is_secret).find(|key| said.contains(*key));
        assert!(secret.is_none(), "{secret:?} is in a problem: {said}");
    }
}
