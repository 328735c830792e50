//! Paths of files inside a model folder.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::part::PARTIAL_SUFFIX;

/// Names at the top of a model folder that the store writes itself.
const RESERVED: [&str; 3] = [
    crate::record::CARD_FILE,
    crate::record::RECORD_FILE,
    crate::progress::PROGRESS_FILE,
];

const MAX_LENGTH: usize = 255;

/// A path that stays inside the folder it is joined to: plain names separated by `/`, of letters, digits and `._+-@`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelativePath(String);

/// Why a path is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is not a path inside a model folder: {reason}")]
pub struct PathError {
    path: String,
    reason: &'static str,
}

impl RelativePath {
    /// Checks a path.
    ///
    /// # Errors
    ///
    /// [`PathError`] when it could leave its folder, or is a name that the store uses itself.
    pub fn new(path: impl Into<String>) -> Result<Self, PathError> {
        let path = path.into();
        match objection(&path) {
            None => Ok(Self(path)),
            Some(reason) => Err(PathError { path, reason }),
        }
    }

    /// The path with `/` between its parts.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the file is under `folder`.
    #[must_use]
    pub fn under(&self, folder: &Path) -> PathBuf {
        folder.join(&self.0)
    }

    /// Where its unfinished bytes are under `folder`.
    #[must_use]
    pub(crate) fn partial_under(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}{PARTIAL_SUFFIX}", self.0))
    }
}

fn objection(path: &str) -> Option<&'static str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._+-@".contains(c);
    if path.is_empty() || path.len() > MAX_LENGTH {
        return Some("it must have 1 to 255 characters");
    }
    if path
        .split('/')
        .any(|name| name.is_empty() || name == "." || name == "..")
    {
        return Some("every part must be a plain name");
    }
    if !path.chars().all(|c| is_plain(c) || c == '/') {
        return Some("only letters, digits and ._+-@ are taken");
    }
    if RESERVED.contains(&path) || path.ends_with(PARTIAL_SUFFIX) {
        return Some("the store uses this name itself");
    }
    None
}

impl TryFrom<String> for RelativePath {
    type Error = PathError;

    fn try_from(path: String) -> Result<Self, PathError> {
        Self::new(path)
    }
}

impl From<RelativePath> for String {
    fn from(path: RelativePath) -> Self {
        path.0
    }
}

impl fmt::Display for RelativePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_real_checkpoints_are_taken() {
        for path in [
            "config.json",
            "google/umt5-xxl/tokenizer.json",
            "Wan2.1_VAE.pth",
        ] {
            assert_eq!(RelativePath::new(path).unwrap().as_str(), path);
        }
    }

    #[test]
    fn paths_that_leave_the_folder_are_refused() {
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "a/",
            "./a",
            "a\\..\\b",
            "a\0b",
            "é",
            "kinora.json",
            "store.json",
            "progress.json",
            "x.partial",
            "a b",
            "C:x",
        ] {
            assert!(RelativePath::new(path).is_err(), "{path:?}");
        }
    }
}
