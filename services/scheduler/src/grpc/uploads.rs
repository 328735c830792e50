//! Announced pictures and the places for them, proto to domain and back.

use kinora_media::{MAX_STILL_BYTES, StillFormat};
use kinora_proto::scheduler::v1 as pb;

use super::convert::time_to_pb;
use super::view::unix_seconds;
use crate::app::{Announced, Upload};
use crate::error::Error;

/// Reads what is announced.
pub fn announced_from_pb(request: &pb::CreateUploadRequest) -> Result<Announced, Error> {
    let formats = [StillFormat::Png, StillFormat::Jpeg, StillFormat::WebP];
    let mut formats = formats.into_iter();
    let format = formats.find(|format| format.content_type() == request.content_type);
    let size = u64::from(request.size_bytes);
    if !(1..=MAX_STILL_BYTES as u64).contains(&size) {
        let problem = "must be 1 to 16777216";
        return Err(invalid("SIZE_BYTES_INVALID", "size_bytes", problem));
    }
    Ok(Announced {
        format: format.ok_or_else(|| {
            let problem = "must be `image/png`, `image/jpeg` or `image/webp`";
            invalid("CONTENT_TYPE_INVALID", "content_type", problem)
        })?,
        size,
        sha256: digest_from_pb(&request.sha256)?,
    })
}

/// What its owner is told of an upload.
pub fn upload_to_pb(upload: Upload) -> pb::Upload {
    pb::Upload {
        id: upload.id.to_string(),
        object: "upload".to_owned(),
        url: upload.put.url,
        method: "PUT".to_owned(),
        headers: upload.put.headers.into_iter().collect(),
        expires_at: unix_seconds(upload.link_expires_at),
        purge_time: Some(time_to_pb(upload.purge_at)),
    }
}

fn digest_from_pb(text: &str) -> Result<Option<[u8; 32]>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut digest = [0; 32];
    let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    match hex::decode_to_slice(text, &mut digest) {
        Ok(()) if is_lower => Ok(Some(digest)),
        _ => {
            let problem = "must be 64 digits of lower-case hex";
            Err(invalid("SHA256_INVALID", "sha256", problem))
        }
    }
}

const fn invalid(reason: &'static str, field: &'static str, problem: &'static str) -> Error {
    Error::Field {
        reason,
        field,
        problem,
    }
}

#[cfg(test)]
mod tests {
    use kinora_mesh::error::PublicError;

    use super::*;

    fn request() -> pb::CreateUploadRequest {
        pb::CreateUploadRequest {
            content_type: "image/webp".to_owned(),
            size_bytes: 1 << 24,
            sha256: "0a".repeat(32),
        }
    }

    #[test]
    fn an_announced_picture_has_a_type_a_size_and_maybe_a_digest() {
        let expected = Announced {
            format: StillFormat::WebP,
            size: 1 << 24,
            sha256: Some([10; 32]),
        };
        assert_eq!(announced_from_pb(&request()).expect("reads"), expected);
        let plain = pb::CreateUploadRequest {
            sha256: String::new(),
            ..request()
        };
        assert_eq!(announced_from_pb(&plain).expect("reads").sha256, None);
    }

    #[test]
    fn what_cannot_be_a_picture_is_named() {
        type Change = fn(&mut pb::CreateUploadRequest);
        let changes: [(&str, Change); 9] = [
            ("content_type", |it| it.content_type.clear()),
            ("content_type", |it| {
                it.content_type = "image/svg+xml".to_owned()
            }),
            ("content_type", |it| it.content_type.push_str("\r\nx: y")),
            ("size_bytes", |it| it.size_bytes = 0),
            ("size_bytes", |it| it.size_bytes += 1),
            ("sha256", |it| it.sha256 = "0A".repeat(32)),
            ("sha256", |it| it.sha256.push_str("0a")),
            ("sha256", |it| it.sha256.truncate(2)),
            ("sha256", |it| it.sha256 = "0g".repeat(32)),
        ];
        for (field, change) in changes {
            let mut request = request();
            change(&mut request);
            let refused = announced_from_pb(&request).expect_err(field);
            let refused = PublicError::from(refused);
            assert_eq!(refused.violations[0].field, field, "{request:?}");
        }
    }
}
