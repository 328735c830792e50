//! The client of the object store.

mod presign;

pub use presign::{PresignedPut, PutTerms};

use std::path::Path;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Config, Credentials, Region, RequestChecksumCalculation,
    ResponseChecksumValidation,
};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLocationConstraint, CreateBucketConfiguration, Delete, ObjectIdentifier,
};
use aws_smithy_http_client::{Builder, tls};
use bytes::Bytes;

use crate::{BlobError, BlobOptions};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// From the end of a request to the first byte of its answer. A stalled transfer is noticed by the SDK after 20 s.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_ATTEMPTS: u32 = 4;
/// S3's limit on the length of a key.
const MAX_KEY_BYTES: usize = 1024;

/// A client of one bucket; cheap to clone.
#[derive(Clone, Debug)]
pub struct BlobStore {
    client: Client,
    /// Signs URLs for the public endpoint; never connects.
    presigner: Client,
    bucket: String,
    region: String,
}

/// What is known of an object without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobInfo {
    /// The object's key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its media type; lists do not carry it.
    pub content_type: Option<String>,
}

impl BlobStore {
    /// Makes a client; connects to nothing yet.
    #[must_use]
    pub fn new(options: &BlobOptions) -> Self {
        let public = options
            .public_endpoint
            .as_ref()
            .unwrap_or(&options.endpoint);
        Self {
            client: Client::from_conf(sdk_config(options, &options.endpoint)),
            presigner: Client::from_conf(sdk_config(options, public)),
            bucket: options.bucket.clone(),
            region: options.region.clone(),
        }
    }

    /// Creates the bucket unless it is there; also tells whether the store can be reached and the key is right.
    ///
    /// # Errors
    /// Any kind but `NotFound`.
    pub async fn ensure_bucket(&self) -> Result<(), BlobError> {
        let found = self.client.head_bucket().bucket(&self.bucket).send().await;
        match found.map_err(BlobError::from) {
            Ok(_) => return Ok(()),
            Err(BlobError::NotFound) => {}
            Err(error) => return Err(error),
        }
        // us-east-1 is the region that must not be named here.
        let location = (self.region != "us-east-1").then(|| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(self.region.as_str()))
                .build()
        });
        let created = self
            .client
            .create_bucket()
            .bucket(&self.bucket)
            .set_create_bucket_configuration(location)
            .send()
            .await;
        match created {
            Ok(_) => Ok(()),
            Err(error) if is_there_already(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Uploads a file as one streamed PUT (S3 takes up to 5 GB so) and returns its size in bytes.
    ///
    /// The object appears whole or not at all; a file that another process grows or cuts meanwhile fails the call.
    ///
    /// # Errors
    /// [`BlobError::LocalFile`] when the file cannot be read; otherwise as the store answers.
    pub async fn put_file(
        &self,
        key: &str,
        path: &Path,
        content_type: &str,
    ) -> Result<u64, BlobError> {
        let size = tokio::fs::metadata(path)
            .await
            .map_err(BlobError::LocalFile)?
            .len();
        let body = ByteStream::from_path(path)
            .await
            .map_err(|error| BlobError::LocalFile(std::io::Error::other(error)))?;
        self.put(key, body, content_type).await?;
        Ok(size)
    }

    /// Uploads bytes.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn put_bytes(
        &self,
        key: &str,
        bytes: impl Into<Bytes>,
        content_type: &str,
    ) -> Result<(), BlobError> {
        self.put(key, ByteStream::from(bytes.into()), content_type)
            .await
    }

    async fn put(&self, key: &str, body: ByteStream, content_type: &str) -> Result<(), BlobError> {
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(valid_key(key)?);
        request.content_type(content_type).body(body).send().await?;
        Ok(())
    }

    /// Reads a whole object of at most `max` bytes.
    ///
    /// # Errors
    /// [`BlobError::TooLarge`] before anything is read when it is longer; `NotFound`; otherwise as the store answers.
    pub async fn get_bytes(&self, key: &str, max: u64) -> Result<Bytes, BlobError> {
        let request = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(valid_key(key)?);
        let answer = request.send().await?;
        let size = unsigned(answer.content_length());
        if size > max {
            return Err(BlobError::TooLarge { size, max });
        }
        let body = answer.body.collect().await;
        Ok(body
            .map_err(|error| BlobError::unavailable("answer cut off", error))?
            .into_bytes())
    }

    /// Looks an object up without reading it; `None` when it is not there.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn head(&self, key: &str) -> Result<Option<BlobInfo>, BlobError> {
        let request = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(valid_key(key)?);
        match request.send().await.map_err(BlobError::from) {
            Ok(answer) => Ok(Some(BlobInfo {
                key: key.to_owned(),
                size: unsigned(answer.content_length()),
                content_type: answer.content_type().map(str::to_owned),
            })),
            Err(BlobError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lists every object whose key begins with `prefix`, in the order of their keys.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn list(&self, prefix: &str) -> Result<Vec<BlobInfo>, BlobError> {
        let mut found = Vec::new();
        let mut resume_at = None;
        loop {
            let page = self.list_page(prefix, resume_at).await?;
            found.extend(page.objects);
            resume_at = page.next;
            if resume_at.is_none() {
                return Ok(found);
            }
        }
    }

    /// Deletes one object; succeeds when it is not there.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn delete(&self, key: &str) -> Result<(), BlobError> {
        let request = self
            .client
            .delete_object()
            .bucket(&self.bucket)
            .key(valid_key(key)?);
        match request.send().await.map_err(BlobError::from) {
            Ok(_) | Err(BlobError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes every object below a folder-like `prefix` and returns how many there were; repeating it is harmless.
    ///
    /// # Errors
    /// [`BlobError::Invalid`] unless the prefix ends in `/`: `jobs/1` would also match `jobs/10`. Otherwise as the
    /// store answers; some objects may then be gone and others not.
    pub async fn delete_prefix(&self, prefix: &str) -> Result<u64, BlobError> {
        if prefix.len() < 2 || !prefix.ends_with('/') {
            return Err(BlobError::Invalid(format!(
                "prefix {prefix:?} does not end in a slash"
            )));
        }
        let mut deleted = 0;
        let mut resume_at = None;
        loop {
            let page = self.list_page(prefix, resume_at).await?;
            deleted += page.objects.len() as u64;
            self.delete_page(page.objects).await?;
            resume_at = page.next;
            if resume_at.is_none() {
                return Ok(deleted);
            }
        }
    }

    async fn list_page(&self, prefix: &str, resume_at: Option<String>) -> Result<Page, BlobError> {
        let answer = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix)
            .set_continuation_token(resume_at)
            .send()
            .await?;
        let objects = answer.contents().iter().filter_map(|object| {
            let (key, size) = (object.key()?.to_owned(), unsigned(object.size()));
            Some(BlobInfo {
                key,
                size,
                content_type: None,
            })
        });
        let next = answer.next_continuation_token().map(str::to_owned);
        Ok(Page {
            objects: objects.collect(),
            next,
        })
    }

    /// Deletes at most a thousand objects, as a page of a list has.
    async fn delete_page(&self, objects: Vec<BlobInfo>) -> Result<(), BlobError> {
        if objects.is_empty() {
            return Ok(());
        }
        let mut request = Delete::builder().quiet(true);
        for object in objects {
            let id = ObjectIdentifier::builder().key(object.key).build();
            request = request.objects(id.map_err(|error| BlobError::Invalid(error.to_string()))?);
        }
        let request = request
            .build()
            .map_err(|error| BlobError::Invalid(error.to_string()))?;
        let answer = self
            .client
            .delete_objects()
            .bucket(&self.bucket)
            .delete(request);
        let answer = answer.send().await?;
        let Some(failure) = answer.errors().first() else {
            return Ok(());
        };
        let code = failure.code().unwrap_or("InternalError");
        let status = if code == "AccessDenied" { 403 } else { 500 };
        Err(BlobError::from_code(
            status,
            code,
            "an object could not be deleted".into(),
        ))
    }
}

struct Page {
    objects: Vec<BlobInfo>,
    next: Option<String>,
}

fn sdk_config(options: &BlobOptions, endpoint: &str) -> Config {
    let ring = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .build();
    let credentials = Credentials::builder()
        .access_key_id(&options.access_key)
        .secret_access_key(options.secret_key.reveal())
        .provider_name("kinora")
        .build();
    Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(Builder::new().tls_provider(ring).build_https())
        .endpoint_url(endpoint)
        .force_path_style(true)
        .region(Region::new(options.region.clone()))
        .credentials_provider(credentials)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
        .request_checksum_calculation(RequestChecksumCalculation::WhenSupported)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .build()
}

/// Two processes may create the bucket at the same moment.
fn is_there_already(error: &impl ProvideErrorMetadata) -> bool {
    matches!(
        error.code(),
        Some("BucketAlreadyOwnedByYou" | "BucketAlreadyExists")
    )
}

fn unsigned(size: Option<i64>) -> u64 {
    size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0)
}

/// Refuses keys that some store, proxy or file system would read differently.
fn valid_key(key: &str) -> Result<&str, BlobError> {
    let is_plain = |segment: &str| !matches!(segment, "" | "." | "..");
    let is_valid = key.len() <= MAX_KEY_BYTES
        && key.split('/').all(is_plain)
        && !key.chars().any(char::is_control);
    if is_valid {
        Ok(key)
    } else {
        Err(BlobError::Invalid(format!("key {key:?} cannot be used")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_could_be_read_as_other_keys_are_refused() {
        for key in [
            "",
            "/a",
            "a/",
            "a//b",
            "a/../b",
            "./a",
            "a\nb",
            &"k".repeat(1025),
        ] {
            assert!(valid_key(key).is_err(), "{key:?}");
        }
        for key in ["a", "jobs/1/2/clip.mp4", "..a/b..", "été/ x"] {
            assert!(valid_key(key).is_ok(), "{key:?}");
        }
    }
}
