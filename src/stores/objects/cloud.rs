//! Buckets with the credentials and endpoints of the environment.
//!
//! Variables have the names that the clouds' own programs and `object_store` know. S3: `AWS_ACCESS_KEY_ID`,
//! `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`; else `AWS_WEB_IDENTITY_TOKEN_FILE` with `AWS_ROLE_ARN`; else those of
//! containers; else the file of [`super::profile`]; else the role of the machine. `AWS_REGION`, `AWS_ENDPOINT_URL_S3`,
//! `AWS_ENDPOINT_URL`, `AWS_ALLOW_HTTP`, `AWS_VIRTUAL_HOSTED_STYLE_REQUEST`. Google: `GOOGLE_APPLICATION_CREDENTIALS`,
//! `GOOGLE_SERVICE_ACCOUNT_KEY`, the file of `gcloud`, the account of the machine. Azure: `AZURE_STORAGE_ACCOUNT_NAME`, which is
//! required, with a key, a SAS, a client, or the identity of the machine.
//!
//! **Not here**: credentials of requests, which `object_store` fetches and renews.

use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, ClientConfigKey, Error, ObjectStore, RetryConfig};

use super::fault::innermost;
use super::profile;
use super::service::CloudService;
use crate::config::Cloud;
use crate::stores::environment::StoreEnvironment;
use crate::stores::{StoreError, StoreSettings};

/// The times that a request is repeated, and the pauses before: a deadline of 5 s has room for both.
const RETRIES: usize = 2;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Opens a bucket. It reads files of credentials.
pub(super) fn open(
    cloud: Cloud,
    bucket: &str,
    settings: &StoreSettings,
    service: CloudService,
) -> Result<Box<dyn ObjectStore>, StoreError> {
    let retry = RetryConfig {
        backoff: BackoffConfig { init_backoff: FIRST_PAUSE, max_backoff: LONGEST_PAUSE, base: 2.0 },
        max_retries: RETRIES,
        retry_timeout: settings.deadline,
    };
    let environment = &settings.environment;
    let opened: Result<Box<dyn ObjectStore>, Error> = match cloud {
        Cloud::S3 => {
            let builder = s3(environment)?.with_bucket_name(bucket).with_retry(retry).with_http_connector(service);
            builder.build().map(|store| Box::new(store) as _)
        }
        Cloud::Google => {
            let builder = google(environment).with_bucket_name(bucket).with_retry(retry).with_http_connector(service);
            builder.build().map(|store| Box::new(store) as _)
        }
        Cloud::Azure => {
            let builder = azure(environment)?.with_container_name(bucket).with_retry(retry);
            builder.with_http_connector(service).build().map(|store| Box::new(store) as _)
        }
    };
    opened.map_err(|error| {
        StoreError::Setting(format!("the environment does not describe the store: {}", innermost(&error)))
    })
}

fn s3(environment: &StoreEnvironment) -> Result<AmazonS3Builder, StoreError> {
    // Servers with the API of S3 lack requests for several objects at once, and tags.
    let mut builder = AmazonS3Builder::new().with_disable_bulk_delete(true).with_disable_tagging(true);
    for (key, value) in environment.keys::<AmazonS3ConfigKey>("AWS_") {
        builder = builder.with_config(key, value);
    }
    let has_credentials = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_WEB_IDENTITY_TOKEN_FILE"]
        .into_iter()
        .chain(["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"])
        .any(|name| environment.value(name).is_some());
    if !has_credentials && let Some(found) = profile::read(environment)? {
        builder = builder.with_access_key_id(found.id).with_secret_access_key(found.secret);
        if let Some(token) = found.token {
            builder = builder.with_token(token);
        }
    }
    Ok(builder)
}

fn google(environment: &StoreEnvironment) -> GoogleCloudStorageBuilder {
    // `object_store` allows plain HTTP to Google unless told otherwise.
    let allows_http = GoogleConfigKey::Client(ClientConfigKey::AllowHttp);
    let mut builder = GoogleCloudStorageBuilder::new().with_config(allows_http, "false");
    if let Some(path) = environment.value("SERVICE_ACCOUNT") {
        builder = builder.with_service_account_path(path);
    }
    for (key, value) in environment.keys::<GoogleConfigKey>("GOOGLE_") {
        builder = builder.with_config(key, value);
    }
    builder
}

fn azure(environment: &StoreEnvironment) -> Result<MicrosoftAzureBuilder, StoreError> {
    let account = environment.value("AZURE_STORAGE_ACCOUNT_NAME");
    let uses_emulator = environment.value("AZURE_STORAGE_USE_EMULATOR").is_some();
    if account.is_none() && !uses_emulator {
        let why = "the environment does not name the account; set `AZURE_STORAGE_ACCOUNT_NAME`";
        return Err(StoreError::Setting(why.to_string()));
    }
    let mut builder = MicrosoftAzureBuilder::new();
    if let Some(endpoint) = environment.value("IDENTITY_ENDPOINT") {
        builder = builder.with_msi_endpoint(endpoint);
    }
    for (key, value) in environment.keys::<AzureConfigKey>("AZURE_") {
        builder = builder.with_config(key, value);
    }
    Ok(builder)
}
