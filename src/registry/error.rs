//! Error codes of the OCI distribution specification, with the bodies that carry them.
//!
//! **Invariants**: a body is one static text, so that a refusal costs no allocation and echoes no part of the request.

/// A code from the OCI distribution specification, "Error Codes".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The digest is not one.
    DigestInvalid,
    /// Nothing is at this path.
    NotFound,
    /// No manifest can have that reference.
    ManifestUnknown,
    /// The repository name is not one.
    NameInvalid,
    /// This registry does not do that.
    Unsupported,
}

impl ErrorCode {
    /// The body: `{"errors":[…]}`.
    pub const fn body(self) -> &'static str {
        match self {
            ErrorCode::DigestInvalid => {
                r#"{"errors":[{"code":"DIGEST_INVALID","message":"the digest is not `algorithm:encoded` with the length of its algorithm"}]}"#
            }
            ErrorCode::NotFound => {
                r#"{"errors":[{"code":"NOT_FOUND","message":"not found: the API is below `/v2/`, health is at `/healthz`; `info` and `privacy` of `[registry]` set the pages"}]}"#
            }
            ErrorCode::ManifestUnknown => {
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"the reference is neither a tag nor a digest"}]}"#
            }
            ErrorCode::NameInvalid => {
                r#"{"errors":[{"code":"NAME_INVALID","message":"the repository name does not follow the grammar or is longer than 255"}]}"#
            }
            ErrorCode::Unsupported => {
                r#"{"errors":[{"code":"UNSUPPORTED","message":"this registry serves pulls only"}]}"#
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_with_one_error() {
        let codes = [
            ErrorCode::DigestInvalid,
            ErrorCode::NotFound,
            ErrorCode::ManifestUnknown,
            ErrorCode::NameInvalid,
            ErrorCode::Unsupported,
        ];
        let names = codes.map(|code| {
            let body: serde_json::Value = serde_json::from_str(code.body()).unwrap();
            assert_eq!(body["errors"].as_array().unwrap().len(), 1);
            assert!(!body["errors"][0]["message"].as_str().unwrap().is_empty());
            body["errors"][0]["code"].as_str().unwrap().to_string()
        });
        assert_eq!(names, ["DIGEST_INVALID", "NOT_FOUND", "MANIFEST_UNKNOWN", "NAME_INVALID", "UNSUPPORTED"]);
    }
}
