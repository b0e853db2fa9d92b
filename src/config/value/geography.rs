//! Codes of countries, continents and subdivisions.
//!
//! **Invariants**: each refusal shows the right form.
//! **Not here**: whether a network knows the place ([`crate::compile`]).

use std::sync::Arc;

use super::Fault;
use crate::base::diagnostic::nearest;

/// A country: ISO 3166-1 alpha-2.
pub(in crate::config) fn country(text: &str) -> Result<Arc<str>, Fault> {
    let help = match text {
        "UK" => "did you mean `GB`? that is the code of the United Kingdom".to_string(),
        "EU" => "the European Union is not a country; did you mean `continent = \"EU\"`?".to_string(),
        _ if is_country(text) => return Ok(text.into()),
        _ if is_country(&text.to_ascii_uppercase()) => format!("did you mean `{}`?", text.to_ascii_uppercase()),
        _ => "countries are two letters in upper case, like `DE` (ISO 3166-1)".to_string(),
    };
    Err(Fault::new("bad-country", format!("`{text}` is not a country code"), "not a country code", help))
}

fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|octet| octet.is_ascii_uppercase())
}

/// The continents by their codes.
const CONTINENTS: [(&str, &str); 7] = [
    ("AF", "Africa"),
    ("AN", "Antarctica"),
    ("AS", "Asia"),
    ("EU", "Europe"),
    ("NA", "North America"),
    ("OC", "Oceania"),
    ("SA", "South America"),
];

/// A continent's code.
pub(in crate::config) fn continent(text: &str) -> Result<Arc<str>, Fault> {
    if CONTINENTS.iter().any(|(code, _)| *code == text) {
        return Ok(text.into());
    }
    let folded = text.to_ascii_lowercase();
    let names = CONTINENTS.map(|(_, name)| name.to_ascii_lowercase());
    let by_code = CONTINENTS.iter().find(|(code, _)| code.eq_ignore_ascii_case(text));
    let near = nearest(&folded, names.iter().map(String::as_str)).and_then(|near| names.iter().position(|n| n == near));
    let meant =
        by_code.or(near.map(|at| &CONTINENTS[at])).map(|(code, name)| format!("did you mean `{code}` ({name})? "));
    let codes = CONTINENTS.map(|(code, _)| format!("`{code}`")).join(", ");
    let help = format!("{}continents: {codes}", meant.unwrap_or_default());
    Err(Fault::new("bad-continent", format!("`{text}` is not a continent code"), "not a continent code", help))
}

/// A subdivision: ISO 3166-2.
pub(in crate::config) fn subdivision(text: &str) -> Result<Arc<str>, Fault> {
    if is_subdivision(text) {
        return Ok(text.into());
    }
    let upper = text.to_ascii_uppercase().replace('_', "-");
    let help = if is_subdivision(&upper) {
        format!("did you mean `{upper}`?")
    } else {
        "subdivisions are a country, a hyphen and its code of it, like `US-CA` (ISO 3166-2)".to_string()
    };
    Err(Fault::new("bad-subdivision", format!("`{text}` is not a subdivision code"), "not a subdivision code", help))
}

fn is_subdivision(text: &str) -> bool {
    let Some((country, code)) = text.split_once('-') else { return false };
    let code_is_good = code.bytes().all(|octet| octet.is_ascii_uppercase() || octet.is_ascii_digit());
    is_country(country) && (1..=3).contains(&code.len()) && code_is_good
}

#[cfg(test)]
mod tests {
    use super::super::provider;
    use super::super::tests::fault;
    use super::*;

    #[test]
    fn codes_of_places_have_their_form() {
        assert!(country("DE").is_ok() && continent("AS").is_ok() && subdivision("US-CA").is_ok());
        assert!(fault(country("de")).ends_with("did you mean `DE`?"));
        assert!(fault(country("UK")).contains("`GB`"));
        assert!(fault(country("EU")).contains("continent"));
        assert!(fault(country("Germany")).contains("two letters"));
        assert!(fault(continent("asia")).contains("did you mean `AS` (Asia)?"));
        assert!(fault(continent("eu")).contains("did you mean `EU` (Europe)?"));
        assert!(fault(continent("Sout America")).contains("did you mean `SA` (South America)?"));
        assert!(fault(subdivision("us-ca")).ends_with("did you mean `US-CA`?"));
        assert!(fault(subdivision("California")).contains("ISO 3166-2"));
        assert!(fault(provider("AWS")).contains("did you mean `aws`?"));
    }
}
