//! The request of a manifest, with the pictures that it names by digest only.

use std::path::Path;

use kinora_inference::manifest::Manifest;
use kinora_media::decode_still;
use kinora_models::{GenerateRequest, Picture};
use sha2::{Digest, Sha256};

use crate::arguments::ReproduceArguments;
use crate::exit::Failure;
use crate::picture;

/// What was asked for.
pub(super) fn request(
    manifest: &Manifest,
    arguments: &ReproduceArguments,
) -> Result<GenerateRequest, Failure> {
    let (first, last) = (arguments.image.as_deref(), arguments.last_image.as_deref());
    let (first_sha256, last_sha256) = (&manifest.image_sha256, &manifest.last_image_sha256);
    Ok(GenerateRequest {
        prompt: manifest.prompt.clone(),
        negative_prompt: manifest.negative_prompt.clone(),
        width: manifest.width,
        height: manifest.height,
        frames: manifest.frames,
        steps: manifest.steps,
        guidance: manifest.guidance,
        seed: manifest.seed,
        sampler: manifest.sampler,
        grid: manifest.sigma_grid,
        image: given("--image", first, first_sha256.as_deref())?,
        last_image: given("--last-image", last, last_sha256.as_deref())?,
    })
}

fn given(
    option: &str,
    path: Option<&Path>,
    sha256: Option<&str>,
) -> Result<Option<Picture>, Failure> {
    let (path, sha256) = match (path, sha256) {
        (None, None) => return Ok(None),
        (Some(path), Some(sha256)) => (path, sha256),
        (None, Some(sha256)) => {
            return Err(Failure::usage(format!(
                "the clip was made from a picture with the SHA-256 {sha256}; give its file with {option}"
            )));
        }
        (Some(_), None) => {
            return Err(Failure::usage(format!(
                "the clip was made without a picture for {option}; leave it out"
            )));
        }
    };
    let bytes = picture::read(path).map_err(|error| Failure::usage(format!("{error:#}")))?;
    let found = hex::encode(Sha256::digest(&bytes));
    if found != sha256 {
        return Err(Failure::usage(format!(
            "{} is not the picture that the clip was made from: its SHA-256 is {found}, expected {sha256}",
            path.display()
        )));
    }
    let still = decode_still(&bytes);
    let still = still.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    Ok(Some(Picture {
        width: still.width,
        height: still.height,
        rgb: still.rgb,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_must_be_the_one_of_the_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture.png");
        std::fs::write(&path, b"no picture").unwrap();
        let digest = hex::encode(Sha256::digest(b"no picture"));
        let refusal = |path: Option<&Path>, sha256: Option<&str>| {
            let error = given("--image", path, sha256).unwrap_err();
            error.error.to_string()
        };
        assert!(given("--image", None, None).unwrap().is_none());
        assert!(refusal(None, Some("ab")).contains("give its file with --image"));
        assert!(refusal(Some(&path), None).contains("leave it out"));
        assert!(refusal(Some(&path), Some("ab")).contains("expected ab"));
        assert!(refusal(Some(&path), Some(&digest)).contains("cannot be read as PNG"));
    }
}
