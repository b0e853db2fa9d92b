//! The causes of failed requests to a bucket, with the remedies of each cloud.

use std::error::Error as StdError;
use std::iter;
use std::time::Duration;

use hyper::StatusCode;
use object_store::Error;

use super::service::{CloudFault, CloudRefusal, is_metadata, names_bucket};
use crate::config::Cloud;
use crate::outgoing::{OutgoingError, SendFault};
use crate::stores::StoreError;

/// The error of a request.
pub(super) fn store_error(cloud: Cloud, bucket: &str, error: &Error) -> StoreError {
    if let Some(fault) = chain(error).find_map(|error| error.downcast_ref::<CloudFault>()) {
        return match fault {
            CloudFault::Refused(refusal) => refused(cloud, bucket, refusal),
            CloudFault::Unsent { host, error } => not_sent(cloud, host, error),
            CloudFault::PlainHttp => StoreError::Setting(plain_http(cloud)),
            CloudFault::NoList(_) => StoreError::Strange(fault.to_string()),
        };
    }
    let why = innermost(error);
    match error {
        Error::PermissionDenied { .. } => StoreError::Denied(why),
        Error::Unauthenticated { .. } => StoreError::Credentials(why),
        _ => StoreError::Strange(why),
    }
}

/// An error and its causes.
fn chain(error: &Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    iter::successors(Some(error as &(dyn StdError + 'static)), |&error| error.source())
}

/// The innermost text of an error: the others say which cloud it is. Its first line, because messages of libraries may have more.
pub(super) fn innermost(error: &Error) -> String {
    let text = chain(error).last().map(ToString::to_string).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_string()
}

/// The error of a call that did not end in time.
pub(super) fn late(cloud: Cloud, after: Duration, host: Option<String>) -> StoreError {
    match host {
        Some(host) if is_metadata(&host) => StoreError::Credentials(no_credentials(cloud, &host)),
        host => StoreError::Deadline { after, host },
    }
}

fn refused(cloud: Cloud, bucket: &str, refusal: &CloudRefusal) -> StoreError {
    let why = refusal.to_string();
    match (&*refusal.code, refusal.status) {
        (code, _) if names_bucket(code) => StoreError::NoBucket(bucket.to_string()),
        ("RequestTimeTooSkewed", _) => StoreError::Clock(why),
        ("PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed", _) => StoreError::Region(why),
        (
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "ExpiredToken"
            | "InvalidToken"
            | "AuthenticationFailed"
            | "InvalidClientTokenId"
            | "InvalidIdentityToken"
            | "ExpiredTokenException"
            | "invalid_grant"
            | "invalid_client"
            | "unauthorized_client"
            | "InvalidSecurity",
            _,
        )
        | (_, StatusCode::UNAUTHORIZED) => StoreError::Credentials(format!("{why}; {}", remedy(cloud))),
        // Azure has several codes for a signature that does not match.
        _ if refusal.message.contains("failed to authenticate") => {
            StoreError::Credentials(format!("{why}; {}", remedy(cloud)))
        }
        (_, StatusCode::FORBIDDEN) => StoreError::Denied(why),
        (_, status) if status.is_redirection() => StoreError::Region(why),
        (_, status) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => StoreError::Failing(why),
        _ => StoreError::Refused(why),
    }
}

fn not_sent(cloud: Cloud, host: &str, error: &OutgoingError) -> StoreError {
    let (host, why) = (host.to_string(), error.why.clone());
    match error.fault {
        _ if is_metadata(&host) => StoreError::Credentials(no_credentials(cloud, &host)),
        SendFault::Tls => StoreError::Tls { host, why },
        SendFault::TooLong => StoreError::Strange(format!("{host} answers more than was asked for")),
        SendFault::Host | SendFault::Connect | SendFault::Broken => StoreError::Unreachable { host, why },
    }
}

fn no_credentials(cloud: Cloud, host: &str) -> String {
    format!("the environment has none, and no metadata service of the cloud answers at {host}; {}", remedy(cloud))
}

/// The variables with which an operator gives credentials.
fn remedy(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::S3 => {
            "set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN`, or \
             give the machine a role"
        }
        Cloud::Google => "set `GOOGLE_APPLICATION_CREDENTIALS` to a file, or give the machine a service account",
        Cloud::Azure => {
            "set `AZURE_STORAGE_ACCOUNT_KEY`, `AZURE_STORAGE_SAS_KEY`, or `AZURE_CLIENT_ID` with `AZURE_TENANT_ID` and \
             `AZURE_CLIENT_SECRET` or `AZURE_FEDERATED_TOKEN_FILE`, or give the machine an identity"
        }
    }
}

fn plain_http(cloud: Cloud) -> String {
    let variable = match cloud {
        Cloud::S3 => "AWS_ALLOW_HTTP",
        Cloud::Google => "GOOGLE_ALLOW_HTTP",
        Cloud::Azure => "AZURE_ALLOW_HTTP",
    };
    format!("the endpoint is plain http; write `https://…`, or set `{variable}=true` if the network is trusted")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_role_is_told_the_variables() {
        for (host, is_service) in
            [("169.254.169.254", true), ("[fd00:ec2::254]", true), ("169.254.170.23:80", true), ("192.0.2.1", false)]
        {
            let after = Duration::from_secs(5);
            let error = late(Cloud::S3, after, Some(host.to_string()));
            assert_eq!(matches!(&error, StoreError::Credentials(why) if why.contains("AWS_ACCESS_KEY_ID")), is_service);
            assert_eq!(matches!(error, StoreError::Deadline { .. }), !is_service);
            let refused = OutgoingError { fault: SendFault::Connect, why: "refused".to_string() };
            let error = not_sent(Cloud::Google, host, &refused);
            let says_variable = error.to_string().contains("GOOGLE_APPLICATION_CREDENTIALS");
            assert_eq!(says_variable, is_service, "{error}");
        }
        assert!(matches!(late(Cloud::Azure, Duration::ZERO, None), StoreError::Deadline { host: None, .. }));
    }
}
