//! Finds what a picture shows: a YOLOv8 network, read from the ONNX file that Ultralytics exports.
//!
//! The frame check looks at clips with it. Any file of that layout will do, of whatever width and depth
//! and with whatever classes: widths come from the shapes of the weights, depths from their names,
//! classes and input size from the file's own metadata. It runs in 32-bit floats on the CPU.
//!
//! What is found differs from the Python package that ships NudeNet in two points, both on the side of
//! finding more. Colours are given as red, green, blue, as the network was trained; the package swaps
//! them twice and gives blue first, with which the score of a face in a small photograph falls from
//! 0.77 to 0.22. And a class is suppressed only by boxes of its own, so that something covered, found at
//! the same place with a higher score, does not hide something exposed.

mod boxes;
mod head;
mod metadata;
mod network;

use std::path::Path;

use kinora_nn::{NameMap, Weights, WeightsError, onnx_metadata};
use tch::{Device, Kind, Tensor};

use crate::digest::sha256_hex;
use crate::error::{GenerateError, LoadError};
use crate::guard::guarded;
use crate::picture;
use crate::request::Picture;

use self::metadata::Metadata;
use self::network::Network;

pub use self::boxes::{Detection, MIN_SCORE};

/// The name of the network in messages.
const PART: &str = "detector";
/// A tensor that files of the layout have, and those that the exporter made for the graph.
const NAMES: &str = r#"
marker = "model.22.dfl.conv.weight"
ignored = ["/*", "onnx::*"]
"#;

/// A detector with its weights.
#[derive(Debug)]
pub struct Detector {
    network: Network,
    labels: Vec<String>,
    /// Width and height of what the network sees.
    side: i64,
    sha256: String,
}

impl Detector {
    /// Reads an ONNX file.
    ///
    /// # Errors
    /// `Missing` if there is none; `Config` if it does not say its classes or its input size, or cannot
    /// be read; `Weights` if it is of another layout or damaged.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let part = LoadError::weights(PART);
        let properties = match onnx_metadata(path) {
            Err(WeightsError::MissingFile { path }) => return Err(LoadError::Missing { path }),
            read => read.map_err(&part)?,
        };
        let metadata = Metadata::read(&properties);
        let metadata = metadata.map_err(|reason| LoadError::config(path, reason))?;
        let names = NameMap::from_toml(NAMES).map_err(|error| LoadError::config(path, error))?;
        let files = [path.to_owned()];
        let weights = Weights::open_files(&files, &[names], Device::Cpu, Kind::Float);
        let weights = weights.map_err(&part)?;
        let classes = i64::try_from(metadata.labels.len()).unwrap_or(i64::MAX);
        let network = Network::load(&weights.sub("model"), classes).map_err(&part)?;
        weights.finish().map_err(&part)?;
        Ok(Self {
            network,
            labels: metadata.labels,
            side: metadata.side,
            sha256: sha256_hex(path)?,
        })
    }

    /// The classes it knows, in the order of [`Detection::class`].
    #[must_use]
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// SHA-256 of the file, in lower-case hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// What a picture shows, the surest first.
    ///
    /// # Errors
    /// `Invalid` for a picture that [`picture::check`] refuses; `NotFinite` if the network computes no
    /// numbers; otherwise from libtorch.
    pub fn detect(&self, picture: &Picture) -> Result<Vec<Detection>, GenerateError> {
        let predictions = self.predict(picture)?;
        let longest = picture.width.max(picture.height);
        // At most 2^26, which an f32 holds to a few pixels; boxes are for people.
        #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^24")]
        let scale = longest as f32 / self.side as f32;
        boxes::decode(&predictions, scale)
    }

    /// The network's own output: centre, width and height of every box in pixels of what the network
    /// sees, and its score for every class.
    ///
    /// # Shapes
    /// result `[4 + classes, boxes]`
    ///
    /// # Errors
    /// As [`Detector::detect`].
    pub fn predict(&self, picture: &Picture) -> Result<Tensor, GenerateError> {
        picture::check("frame", picture)?;
        guarded(|| {
            let input = self.preprocess(picture)?;
            let output = self.network.forward(&input).squeeze_dim(0);
            if output.isfinite().all().int64_value(&[]) == 0 {
                return Err(GenerateError::NotFinite { step: 0 });
            }
            Ok(output)
        })
    }

    /// Padded with black to a square at the right or the bottom, scaled to the network's size without
    /// smoothing, as in training.
    fn preprocess(&self, picture: &Picture) -> Result<Tensor, tch::TchError> {
        let (width, height) = (i64::from(picture.width), i64::from(picture.height));
        let longest = width.max(height);
        picture::to_tensor(picture)?
            .f_to_kind(Kind::Float)?
            .f_constant_pad_nd([0, longest - width, 0, longest - height])?
            .f_upsample_bilinear2d([self.side, self.side], false, None, None)?
            .f_div_scalar(255.0)
    }
}
