//! URLs that let their holder read one object for a while.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;

use super::{BlobStore, valid_key};
use crate::BlobError;

impl BlobStore {
    /// Signs a URL, below the public endpoint, that reads an object for `ttl` (at most seven days).
    ///
    /// With a `download_name` browsers save the object under that name; without one they show it in place.
    /// `content_type`, when given, is what the answer says whatever was stored. Nothing is asked of the store, so the
    /// object may not exist.
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
            .set_response_content_type(content_type.map(str::to_owned));
        Ok(request.presigned(validity(ttl)?).await?.uri().to_owned())
    }

    /// As [`BlobStore::presign_get`], for a `HEAD` request alone: a signature holds for one method.
    ///
    /// # Errors
    /// [`BlobError::Invalid`] for an impossible key or `ttl`.
    pub async fn presign_head(&self, key: &str, ttl: Duration) -> Result<String, BlobError> {
        let request = self
            .presigner
            .head_object()
            .bucket(&self.bucket)
            .key(valid_key(key)?);
        Ok(request.presigned(validity(ttl)?).await?.uri().to_owned())
    }
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
