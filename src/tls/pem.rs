//! PEM, read strictly: a section that other servers refuse is refused here, with its line.
//!
//! Lenient readers skip a section whose first line does not stand alone, as in a chain whose files were joined without a
//! line break: the intermediate is dropped, and clients refuse the chain.
//!
//! **Invariants**: pure; every section of the text is returned or an error is; no contents are in an error.
//! **Not here**: the contents of certificates, and keys ([`mod@super::load`]).
//!
//! RFC 7468 (text), RFC 1421 §4.6 (headers of encrypted keys).

use std::fmt;

use data_encoding::BASE64;
use rustls::pki_types::CertificateDer;

/// The label of a certificate.
pub(super) const CERTIFICATE: &str = "CERTIFICATE";

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// One section.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PemSection {
    /// The word between the dashes, such as `CERTIFICATE`.
    pub(super) label: String,
    /// The contents; `None` if headers say that the contents are encrypted.
    pub(super) der: Option<Vec<u8>>,
}

/// The reason why a file is not PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PemError {
    /// It is DER, the binary form.
    Der,
    /// It is a PKCS #12 store.
    Pkcs12,
    /// It is not text.
    NotText,
    /// `-----BEGIN` or `-----END` shares a line with other text.
    Joined { line: usize },
    /// A section does not end.
    Unended { label: String, line: usize },
    /// A section ends with another label than it begins with, or does not begin.
    Unbegun { label: String, line: usize },
    /// A line is not base64, or the contents of a section are cut.
    NotBase64 { label: String, line: usize },
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PemError::Der => f.write_str("it is DER, not PEM"),
            PemError::Pkcs12 => f.write_str("it is a PKCS #12 store, not PEM"),
            PemError::NotText => f.write_str("it is not text"),
            PemError::Joined { line } => {
                write!(f, "line {line} has a `-----BEGIN …-----` or `-----END …-----` beside other text")
            }
            PemError::Unended { label, line } => {
                write!(f, "the section `{label}` that begins in line {line} has no end")
            }
            PemError::Unbegun { label, line } => write!(f, "line {line} ends a section `{label}` that has not begun"),
            PemError::NotBase64 { label, line } => {
                write!(f, "the section `{label}` that begins in line {line} is not base64")
            }
        }
    }
}

impl PemError {
    /// The remedy, for a file of this kind of `openssl` object (`x509` or `pkey`).
    pub(super) fn help(&self, object: &str, path: &str) -> String {
        match self {
            PemError::Der => format!("convert it: `openssl {object} -inform der -in {path} -out NEW.pem`"),
            PemError::Pkcs12 => format!("convert it: `openssl pkcs12 -in {path} -nodes -out NEW.pem`"),
            PemError::NotText => "the file must consist of `-----BEGIN …-----` sections".to_string(),
            PemError::Joined { .. } => {
                "each must stand in a line of its own: were files joined without a line break at their ends?"
                    .to_string()
            }
            PemError::Unended { .. } => "the file was cut short; copy it again".to_string(),
            PemError::Unbegun { .. } | PemError::NotBase64 { .. } => "the file is damaged; copy it again".to_string(),
        }
    }
}

/// The certificates among sections.
pub(super) fn certificates(sections: Vec<PemSection>) -> Vec<CertificateDer<'static>> {
    let certificates = sections.into_iter().filter(|section| section.label == CERTIFICATE);
    certificates.filter_map(|section| section.der.map(CertificateDer::from)).collect()
}

/// The sections of a file; text between them is skipped, as other programs do.
pub(super) fn sections(bytes: &[u8]) -> Result<Vec<PemSection>, PemError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // A SEQUENCE of more than 127 bytes.
    if let [0x30, 0x81..=0x84, rest @ ..] = bytes {
        // PFX begins with its version, 3 (RFC 7292 §4); certificates and keys do not.
        let is_pfx = rest[..rest.len().min(8)].windows(3).any(|window| window == [0x02, 0x01, 0x03]);
        return Err(if is_pfx { PemError::Pkcs12 } else { PemError::Der });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| PemError::NotText)?;
    let mut sections = Vec::new();
    let mut open: Option<Open<'_>> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_end();
        match (marker(line, number)?, &mut open) {
            (Some(Marker::Begin(_)), Some(open)) => return Err(open.unended()),
            (Some(Marker::Begin(label)), None) => {
                open = Some(Open { label, line: number, base64: String::new(), is_encrypted: false });
            }
            (Some(Marker::End(label)), Some(one)) if one.label == label => {
                sections.extend(open.take().map(Open::close).transpose()?);
            }
            (Some(Marker::End(label)), _) => {
                return Err(PemError::Unbegun { label: label.to_string(), line: number });
            }
            (None, Some(open)) => open.add(line),
            (None, None) => {}
        }
    }
    match open {
        Some(open) => Err(open.unended()),
        None => Ok(sections),
    }
}

enum Marker<'t> {
    Begin(&'t str),
    End(&'t str),
}

/// The marker that a line is; a line that has one beside other text is an error.
fn marker(line: &str, number: usize) -> Result<Option<Marker<'_>>, PemError> {
    let whole = |start: &str| line.strip_prefix(start)?.strip_suffix(DASHES).filter(|label| !label.contains(DASHES));
    match (whole(BEGIN), whole(END)) {
        (Some(label), _) => Ok(Some(Marker::Begin(label))),
        (_, Some(label)) => Ok(Some(Marker::End(label))),
        _ if line.contains(BEGIN) || line.contains(END) => Err(PemError::Joined { line: number }),
        _ => Ok(None),
    }
}

/// A section that has begun.
struct Open<'t> {
    label: &'t str,
    /// The line of `-----BEGIN`, from 1.
    line: usize,
    base64: String,
    is_encrypted: bool,
}

impl Open<'_> {
    fn add(&mut self, line: &str) {
        // Headers have a colon, which base64 has not.
        match line.split_once(':') {
            Some((_, value)) => self.is_encrypted |= value.contains("ENCRYPTED"),
            None => self.base64.extend(line.split_ascii_whitespace()),
        }
    }

    fn close(self) -> Result<PemSection, PemError> {
        let (label, line) = (self.label.to_string(), self.line);
        if self.is_encrypted {
            return Ok(PemSection { label, der: None });
        }
        match BASE64.decode(self.base64.as_bytes()) {
            Ok(der) if !der.is_empty() => Ok(PemSection { label, der: Some(der) }),
            _ => Err(PemError::NotBase64 { label, line }),
        }
    }

    fn unended(&self) -> PemError {
        PemError::Unended { label: self.label.to_string(), line: self.line }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nAAEC\nAwQF\n-----END CERTIFICATE-----\n";

    fn said(text: &str) -> Result<usize, String> {
        sections(text.as_bytes()).map(|sections| sections.len()).map_err(|error| error.to_string())
    }

    #[test]
    fn sections_are_read_with_text_between_them() {
        assert_eq!(said(""), Ok(0));
        assert_eq!(said("# nothing\n"), Ok(0));
        assert_eq!(said(&format!("\u{feff}{ONE}subject=/CN=a - b\n\n{}", ONE.replace('\n', "\r\n"))), Ok(2));
        assert_eq!(sections(ONE.as_bytes()).unwrap()[0].der.as_deref(), Some(&[0, 1, 2, 3, 4, 5][..]));
    }

    #[test]
    fn what_is_joined_or_cut_is_refused_with_its_line() {
        let joined = format!("{}{ONE}", ONE.trim_end());
        assert_eq!(
            said(&joined),
            Err("line 4 has a `-----BEGIN …-----` or `-----END …-----` beside other text".into())
        );
        assert!(said(&format!("x{ONE}")).is_err() && said(&format!("  {ONE}")).is_err());
        // A text that is cut anywhere is an error, unless no section has begun.
        for cut in 1..ONE.len() - 1 {
            assert!(matches!(said(&ONE[..cut]), Err(_) | Ok(0)), "{cut}");
        }
        let unended = "the section `CERTIFICATE` that begins in line 1 has no end";
        assert_eq!(said(&ONE[..32]), Err(unended.into()));
        assert_eq!(said(&format!("{}{ONE}", &ONE[..33])), Err(unended.into()));
        assert_eq!(said(&ONE[28..]), Err("line 3 ends a section `CERTIFICATE` that has not begun".into()));
        assert!(said(&ONE.replace("AAEC", "AA?C")).unwrap_err().ends_with("that begins in line 1 is not base64"));
        assert!(said(&ONE.replace("AwQF", "AwQ")).unwrap_err().ends_with("that begins in line 1 is not base64"));
    }

    #[test]
    fn binary_files_are_told_by_their_first_bytes() {
        assert_eq!(sections(&[0x30, 0x82, 1, 0, 0x30, 0x82]), Err(PemError::Der));
        assert_eq!(sections(&[0x30, 0x82, 9, 0, 2, 1, 3, 0x30, 0x82]), Err(PemError::Pkcs12));
        assert_eq!(sections(&[0xff, 0xfe, b'-', 0]), Err(PemError::NotText));
    }

    #[test]
    fn an_encrypted_key_is_known_by_its_headers() {
        let text = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAEC\n-----END RSA PRIVATE KEY-----\n";
        assert_eq!(sections(text.as_bytes()).unwrap()[0].der, None);
    }
}
