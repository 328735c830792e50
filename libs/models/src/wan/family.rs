//! The members of the family: what they are given besides a text.

use std::fmt;

/// Whether requests come with a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureInput {
    /// A picture is refused.
    Refused,
    /// A picture may be given.
    Optional,
    /// There must be a picture.
    Required,
}

/// A kind of Wan model. Its configuration decides which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// From a text alone (Wan 2.1 T2V).
    TextToVideo,
    /// From a text and the first frame (Wan 2.1 I2V).
    ImageToVideo,
    /// From a text, the first and the last frame (Wan 2.1 FLF2V).
    FirstLastToVideo,
    /// From a text, and the first frame if there is one (Wan 2.2 TI2V).
    TextImageToVideo,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::TextToVideo,
        Self::ImageToVideo,
        Self::FirstLastToVideo,
        Self::TextImageToVideo,
    ];

    /// The name in cards.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TextToVideo => "wan-t2v",
            Self::ImageToVideo => "wan-i2v",
            Self::FirstLastToVideo => "wan-flf2v",
            Self::TextImageToVideo => "wan-ti2v",
        }
    }

    /// The family with this name in cards.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.name() == name)
    }

    /// Whether a request has a first frame.
    #[must_use]
    pub const fn first_frame(self) -> PictureInput {
        match self {
            Self::TextToVideo => PictureInput::Refused,
            Self::ImageToVideo | Self::FirstLastToVideo => PictureInput::Required,
            Self::TextImageToVideo => PictureInput::Optional,
        }
    }

    /// Whether a request has a last frame.
    #[must_use]
    pub const fn last_frame(self) -> PictureInput {
        match self {
            Self::FirstLastToVideo => PictureInput::Required,
            Self::TextToVideo | Self::ImageToVideo | Self::TextImageToVideo => {
                PictureInput::Refused
            }
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
