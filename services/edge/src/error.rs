//! Why the edge could not start or keep running. Errors of single requests are problems.

use kinora_blobs::BlobError;
use kinora_mesh::MeshError;
use kinora_transcoder::InvalidRoutes;

/// The edge cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A part that every service has failed.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// The contracts' routes cannot be served.
    #[error("the routes of the contracts cannot be served")]
    Routes(#[from] InvalidRoutes),
    /// The object store's options make no sense.
    #[error("the object store cannot be used")]
    Blobs(#[from] BlobError),
}
