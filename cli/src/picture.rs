//! Pictures between files and the REST interface.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kinora_media::{StillFormat, decode_still, encode_still};

/// What a mesh takes.
const MAX_BYTES: u64 = 16 << 20;

/// Reads a picture's file as base64. What is in it is for the mesh to judge.
///
/// # Errors
///
/// When the file cannot be read, is empty or is larger than a mesh takes; names the file.
pub fn read_encoded(path: &Path) -> anyhow::Result<String> {
    Ok(STANDARD.encode(read(path)?))
}

/// Reads a picture's file.
///
/// # Errors
///
/// As [`read_encoded`].
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("the picture {shown} cannot be opened"));
    let file = match file {
        Ok(file) => file,
        // One line is all that a person sees.
        Err(error) => bail!("{error:#}"),
    };
    let mut bytes = Vec::new();
    if let Err(error) = file.take(MAX_BYTES + 1).read_to_end(&mut bytes) {
        bail!("the picture {shown} cannot be read: {error}");
    }
    if bytes.is_empty() {
        bail!("the picture {shown} is empty");
    }
    if bytes.len() as u64 > MAX_BYTES {
        bail!("the picture {shown} is larger than 16 MiB");
    }
    Ok(bytes)
}

/// The format that a file's name asks for; none when it is no picture's.
#[must_use]
pub fn format_of(path: &Path) -> Option<StillFormat> {
    StillFormat::of_extension(path.extension()?.to_str()?)
}

/// A PNG in the format wanted; as it is when that is PNG.
///
/// # Errors
///
/// When it is no picture, or a damaged one.
pub fn converted(png: Vec<u8>, format: StillFormat) -> anyhow::Result<Vec<u8>> {
    let still = decode_still(&png)?;
    if format == StillFormat::Png {
        return Ok(png);
    }
    Ok(encode_still(&still.rgb, still.width, still.height, format)?)
}

/// Saves a preview, whole or not at all: whoever looks at the file sees this one or the one before.
///
/// # Errors
///
/// When the preview is not base64, or the file cannot be written.
pub fn save_preview(path: &Path, base64: &str) -> anyhow::Result<()> {
    let bytes = STANDARD.decode(base64)?;
    let parent = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(parent.unwrap_or(Path::new(".")))?;
    file.write_all(&bytes)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_sent_is_named() {
        let root = tempfile::tempdir().unwrap();
        let file = |name: &str, length: usize| {
            let path = root.path().join(name);
            std::fs::write(&path, vec![7; length]).unwrap();
            path
        };
        let most = usize::try_from(MAX_BYTES).unwrap();
        assert_eq!(read_encoded(&file("a.png", 3)).unwrap(), "BwcH");
        assert!(read_encoded(&file("most.png", most)).is_ok());
        for (path, word) in [
            (root.path().join("none.png"), "No such file"),
            (file("empty.png", 0), "empty"),
            (file("large.png", most + 1), "16 MiB"),
            (root.path().to_owned(), "cannot be"),
        ] {
            let error = read_encoded(&path).unwrap_err().to_string();
            assert!(
                error.contains(word) && error.contains(path.to_str().unwrap()),
                "{error}"
            );
        }
    }

    #[test]
    fn a_preview_replaces_the_one_before() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("preview.webp");
        for (encoded, expected) in [("aGVsbG8=", "hello"), ("d29ybGQ=", "world")] {
            save_preview(&path, encoded).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        }
        assert!(save_preview(&path, "data:image/webp;base64,aGVsbG8=").is_err());
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
