//! The maps from the names that networks ask for to those of other layouts; they are data.
//!
//! Networks ask for the names of diffusers and transformers.

use kinora_nn::NameMap;

use crate::error::LoadError;

/// The part of a model that a weight file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The diffusion transformer.
    Transformer,
    /// The video autoencoder.
    Vae,
    /// The text encoder.
    TextEncoder,
    /// The image encoder, in models that are given a picture.
    ImageEncoder,
}

impl Part {
    /// What errors call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Transformer => "transformer",
            Self::Vae => "vae",
            Self::TextEncoder => "text_encoder",
            Self::ImageEncoder => "image_encoder",
        }
    }

    /// The layouts that its weights may have besides the one that networks ask for.
    ///
    /// # Errors
    /// `Engine` if a map is broken, which is a defect of the program.
    pub fn name_maps(self) -> Result<Vec<NameMap>, LoadError> {
        let texts: &[&str] = match self {
            Self::Transformer => &[include_str!("names/wan-transformer-native.toml")],
            Self::Vae => &[
                include_str!("names/wan21-vae-native.toml"),
                include_str!("names/wan22-vae-native.toml"),
            ],
            Self::TextEncoder => &[
                include_str!("names/umt5-native.toml"),
                include_str!("names/umt5-with-tokenizer.toml"),
            ],
            Self::ImageEncoder => &[
                include_str!("names/clip-native.toml"),
                include_str!("names/clip-with-projection.toml"),
            ],
        };
        let maps = texts.iter().map(|text| NameMap::from_toml(text));
        maps.map(|map| map.map_err(LoadError::Engine)).collect()
    }
}
