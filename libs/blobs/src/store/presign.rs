//! URLs that let their holder read or write one object for a while.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{BlobStore, valid_key};
use crate::BlobError;

/// The one object that a signed URL lets its holder write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutTerms<'a> {
    /// Its media type.
    pub content_type: &'a str,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256, where it is known.
    pub sha256: Option<[u8; 32]>,
}

/// A signed URL to write to, and what its request must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresignedPut {
    /// For a `PUT` whose body is the object.
    pub url: String,
    /// Names in lower case, and values. They are signed: with others the store refuses the request.
    pub headers: Vec<(String, String)>,
}

impl BlobStore {
    /// Signs a URL, below the public endpoint, that reads an object for `ttl` (at most seven days).
    ///
    /// With a `download_name` browsers save the object under that name; without one they show it in place.
    /// `content_type`, when given, is what the answer says whatever was stored. A copy may be kept by its reader for as long
    /// as the URL holds, and by no cache that readers share. Nothing is asked of the store, so the object may not exist.
    ///
    /// # Errors
    /// [`BlobError::Invalid`] for an impossible key or `ttl`.
    pub async fn presign_get(
        &self,
        key: &str,
        ttl: Duration,
        download_name: Option<&str>,
        content_type: Option<&str>,
    ) -> Result<String, BlobError> {
        let request = self
            .presigner
            .get_object()
            .bucket(&self.bucket)
            .key(valid_key(key)?)
            .response_content_disposition(content_disposition(download_name))
            .response_cache_control(cache_control(ttl))
            .set_response_content_type(content_type.map(str::to_owned));
        Ok(request.presigned(validity(ttl)?).await?.uri().to_owned())
    }

    /// As [`BlobStore::presign_get`], for a `HEAD` request alone: a signature holds for one method.
    ///
    /// # Errors
    /// [`BlobError::Invalid`] for an impossible key or `ttl`.
    pub async fn presign_head(
        &self,
        key: &str,
        ttl: Duration,
        download_name: Option<&str>,
        content_type: Option<&str>,
    ) -> Result<String, BlobError> {
        let request = self
            .presigner
            .head_object()
            .bucket(&self.bucket)
            .key(valid_key(key)?)
            .response_content_disposition(content_disposition(download_name))
            .response_cache_control(cache_control(ttl))
            .set_response_content_type(content_type.map(str::to_owned));
        Ok(request.presigned(validity(ttl)?).await?.uri().to_owned())
    }

    /// Signs a URL, below the public endpoint, that writes one object of these terms, as often as its holder likes for `ttl`.
    ///
    /// Type, length and digest are signed, so that the store takes nothing else. What the bytes are it does not look at.
    ///
    /// # Errors
    /// [`BlobError::Invalid`] for an impossible key, size or `ttl`.
    pub async fn presign_put(
        &self,
        key: &str,
        ttl: Duration,
        terms: PutTerms<'_>,
    ) -> Result<PresignedPut, BlobError> {
        let size = i64::try_from(terms.size);
        let size = size.map_err(|_| BlobError::Invalid("no object is that long".to_owned()))?;
        let request = self
            .presigner
            .put_object()
            .bucket(&self.bucket)
            .key(valid_key(key)?)
            .content_type(terms.content_type)
            .content_length(size)
            .set_checksum_sha256(terms.sha256.map(|digest| BASE64_STANDARD.encode(digest)));
        let signed = request.presigned(validity(ttl)?).await?;
        let headers = signed.headers();
        Ok(PresignedPut {
            url: signed.uri().to_owned(),
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
        })
    }
}

/// A copy is as good as its URL, and one person's.
fn cache_control(ttl: Duration) -> String {
    format!("private, max-age={}", ttl.as_secs())
}

fn validity(ttl: Duration) -> Result<PresigningConfig, BlobError> {
    let invalid = |error| BlobError::Invalid(format!("a URL cannot be valid for {ttl:?}: {error}"));
    PresigningConfig::expires_in(ttl).map_err(invalid)
}

/// The `Content-Disposition` of a download (RFC 6266): a plain name for old readers, the exact one in UTF-8.
fn content_disposition(download_name: Option<&str>) -> String {
    let Some(name) = download_name else {
        return "inline".to_owned();
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ');
    let plain: String = name
        .chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .collect();
    if plain == name {
        return format!("attachment; filename=\"{name}\"");
    }
    let encoded: String = name.bytes().map(percent_encoded).collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

fn percent_encoded(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

#[cfg(test)]
mod tests {
    use super::content_disposition;

    #[test]
    fn download_names_cannot_break_out_of_the_header() {
        assert_eq!(content_disposition(None), "inline");
        assert_eq!(
            content_disposition(Some("a b.mp4")),
            "attachment; filename=\"a b.mp4\""
        );
        assert_eq!(
            content_disposition(Some("é\";\r\nx")),
            "attachment; filename=\"_____x\"; filename*=UTF-8''%C3%A9%22%3B%0D%0Ax"
        );
    }
}
