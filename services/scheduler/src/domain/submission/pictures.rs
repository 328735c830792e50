//! Pictures of a submission: what they are, and whether the model takes them.

use std::fmt;
use std::sync::Arc;

use kinora_media::{StillError, StillFormat, StillInfo, probe_still};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Invalid;
use crate::domain::model::ImageInput;

/// A picture as it came. In a fingerprint its digest stands for it.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct SentImage {
    #[serde(skip)]
    bytes: Arc<Vec<u8>>,
    /// SHA-256 of the bytes, lower-case hex.
    sha256: String,
}

impl SentImage {
    /// Takes the bytes of a picture, which may be anything.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        let sha256 = hex::encode(Sha256::digest(&bytes));
        Self {
            bytes: Arc::new(bytes),
            sha256,
        }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Their SHA-256, lower-case hex.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

impl fmt::Debug for SentImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SentImage({} bytes)", self.bytes.len())
    }
}

/// What the pictures of a submission are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stills {
    /// The first frame.
    pub first: Option<StillInfo>,
    /// The last frame.
    pub last: Option<StillInfo>,
}

impl Stills {
    /// Stands for a picture that does not come with the submission: it says that there is one, and nothing else.
    pub const ELSEWHERE: StillInfo = StillInfo {
        format: StillFormat::Png,
        width: 0,
        height: 0,
    };
}

/// Reads a picture's header.
pub(super) fn probe(
    field: &'static str,
    image: Option<&SentImage>,
) -> Result<Option<StillInfo>, Invalid> {
    let Some(image) = image else {
        return Ok(None);
    };
    let probed = probe_still(image.bytes());
    probed.map(Some).map_err(|error| unusable(field, &error))
}

/// Refuses a picture that is so large that nobody reads it.
#[must_use]
pub fn too_large(field: &'static str) -> Invalid {
    unusable(field, &StillError::TooLarge)
}

fn unusable(field: &'static str, error: &StillError) -> Invalid {
    let reason = match error {
        StillError::TooLarge => "IMAGE_TOO_LARGE",
        StillError::TooLong => "IMAGE_TOO_LONG",
        StillError::NotReadable(_) => "IMAGE_NOT_READABLE",
    };
    Invalid::new(reason, field, error.to_string())
}

/// Checks a picture, or that there is none, against what the model takes.
pub(super) fn check_image(
    field: &'static str,
    still: Option<StillInfo>,
    input: ImageInput,
) -> Result<(), Invalid> {
    let is_last = field.starts_with("last");
    let name = if is_last { "last" } else { "first" };
    match (still, input) {
        (Some(_), ImageInput::None) => {
            let message = format!("this model takes no picture as the {name} frame");
            Err(Invalid::new("IMAGE_NOT_SUPPORTED", field, message))
        }
        (None, ImageInput::Required) => {
            let message = format!("this model needs a picture as the {name} frame");
            Err(Invalid::new("IMAGE_REQUIRED", field, message))
        }
        _ => Ok(()),
    }
}
