//! What can be wrong with weights.

use std::path::PathBuf;

/// How many names an error message lists before it only counts.
const MAX_LISTED: usize = 8;

/// Why weights could not be read.
///
/// Tensors are named as they are called in the file; where a layer calls them otherwise, its name
/// follows in parentheses.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// A weight file, or the index that names it, is not there.
    #[error("no weights at {}", path.display())]
    MissingFile {
        /// The file looked for.
        path: PathBuf,
    },
    /// A weight file or index exists and cannot be read.
    #[error("{}: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor that a layer needs is in no file.
    #[error("tensor {name} is missing, expected shape {expected:?}")]
    MissingTensor {
        /// Full name of the tensor.
        name: String,
        /// Shape the layer needs.
        expected: Vec<i64>,
    },
    /// A tensor has another shape than its layer needs.
    #[error("tensor {name} has shape {found:?}, expected {expected:?}")]
    Misshaped {
        /// Full name of the tensor.
        name: String,
        /// Shape the layer needs.
        expected: Vec<i64>,
        /// Shape in the file.
        found: Vec<i64>,
    },
    /// A tensor is not stored as floating point numbers that can be computed with.
    #[error("tensor {name} is stored as {found}, expected F64, F32, F16, BF16, F8_E4M3 or F8_E5M2")]
    WrongDtype {
        /// Full name of the tensor.
        name: String,
        /// Type in the file.
        found: String,
    },
    /// The files hold tensors that no layer asked for.
    #[error("{} tensors belong to no layer: {}", names.len(), list(names))]
    Surplus {
        /// Full names, sorted.
        names: Vec<String>,
    },
    /// libtorch refused the data.
    #[error("tensor {name}")]
    Torch {
        /// Full name of the tensor.
        name: String,
        /// What libtorch said.
        source: tch::TchError,
    },
}

fn list(names: &[String]) -> String {
    let mut text = names
        .iter()
        .take(MAX_LISTED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > MAX_LISTED {
        text.push_str(", ...");
    }
    text
}
