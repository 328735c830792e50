//! What can go wrong with an object store, and what a caller does about it.

use std::error::Error;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

type Cause = Box<dyn Error + Send + Sync>;

/// A failed call to the object store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// The store did not answer, answered too slowly, or had a fault of its own.
    #[error("object store is unavailable ({detail})")]
    Unavailable {
        /// The store's error code, or the stage that failed.
        detail: String,
        /// What the client reported.
        source: Cause,
    },
    /// There is no such object, or no such bucket.
    #[error("object or bucket not found")]
    NotFound,
    /// The store refused: wrong key, wrong signature, or no permission.
    #[error("object store refused the request ({code})")]
    Refused {
        /// The store's error code, such as `SignatureDoesNotMatch`.
        code: String,
    },
    /// The store, or its disk, has no room left.
    #[error("object store is full ({code})")]
    Full {
        /// The store's error code.
        code: String,
    },
    /// The object is larger than the caller allowed.
    #[error("object has {size} bytes, more than the {max} allowed")]
    TooLarge {
        /// Size of the object in bytes.
        size: u64,
        /// The caller's limit in bytes.
        max: u64,
    },
    /// A key, prefix or option cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// The store calls the request malformed, or does not offer the operation.
    #[error("object store rejected the request as invalid ({code})")]
    Rejected {
        /// The store's error code.
        code: String,
        /// What the client reported.
        source: Cause,
    },
    /// The local file to upload could not be read.
    #[error("local file could not be read")]
    LocalFile(#[source] std::io::Error),
}

/// What a caller does about a [`BlobError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlobErrorKind {
    /// Try again later; nothing is known to be wrong with the request.
    Unavailable,
    /// There is nothing under that key.
    NotFound,
    /// The configuration of keys or permissions is wrong; an operator must act.
    Refused,
    /// The store needs room; an operator must act.
    Full,
    /// The request itself is wrong; repeating it cannot help.
    Invalid,
}

impl BlobError {
    /// Returns what to do about it.
    #[must_use]
    pub fn kind(&self) -> BlobErrorKind {
        match self {
            Self::Unavailable { .. } => BlobErrorKind::Unavailable,
            Self::NotFound => BlobErrorKind::NotFound,
            Self::Refused { .. } => BlobErrorKind::Refused,
            Self::Full { .. } => BlobErrorKind::Full,
            Self::TooLarge { .. }
            | Self::Invalid(_)
            | Self::Rejected { .. }
            | Self::LocalFile(_) => BlobErrorKind::Invalid,
        }
    }

    /// Whether the same call may succeed later with nobody acting.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind() == BlobErrorKind::Unavailable
    }

    pub(crate) fn unavailable(detail: &str, source: impl Into<Cause>) -> Self {
        Self::Unavailable {
            detail: detail.to_owned(),
            source: source.into(),
        }
    }

    /// Sorts an error code of the store, with the HTTP status it came with.
    pub(crate) fn from_code(status: u16, code: &str, source: Cause) -> Self {
        let code = code.to_owned();
        match (status, code.as_str()) {
            (507, _) | (_, "XMinioStorageFull" | "QuotaExceeded" | "StorageFull") => {
                Self::Full { code }
            }
            (404, _) => Self::NotFound,
            (401 | 403, _) => Self::Refused { code },
            (501, _) => Self::Rejected { code, source },
            (408 | 429 | 500.., _) => Self::Unavailable {
                detail: code,
                source,
            },
            _ => Self::Rejected { code, source },
        }
    }
}

impl<E> From<SdkError<E, HttpResponse>> for BlobError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let stage = match &error {
            SdkError::ServiceError(answer) => {
                let status = answer.raw().status().as_u16();
                let code = answer.err().code().unwrap_or("no code").to_owned();
                return Self::from_code(status, &code, Box::new(error));
            }
            SdkError::ConstructionFailure(_) => {
                return Self::Rejected {
                    code: "request not sent".into(),
                    source: Box::new(error),
                };
            }
            SdkError::TimeoutError(_) => "timed out",
            SdkError::DispatchFailure(_) => "not reached",
            _ => "answer not understood",
        };
        Self::unavailable(stage, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, code: &str, expected: BlobErrorKind) {
        let error = BlobError::from_code(status, code, "cause".into());
        assert_eq!(error.kind(), expected, "{status} {code}");
    }

    #[test]
    fn answers_of_a_store_are_sorted_by_what_the_caller_does() {
        check(404, "NoSuchKey", BlobErrorKind::NotFound);
        check(403, "SignatureDoesNotMatch", BlobErrorKind::Refused);
        check(507, "XMinioStorageFull", BlobErrorKind::Full);
        check(403, "QuotaExceeded", BlobErrorKind::Full);
        check(503, "SlowDown", BlobErrorKind::Unavailable);
        check(429, "TooManyRequests", BlobErrorKind::Unavailable);
        check(400, "InvalidArgument", BlobErrorKind::Invalid);
        check(501, "NotImplemented", BlobErrorKind::Invalid);
    }
}
