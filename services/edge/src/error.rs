//! Why the edge could not start or keep running. Errors of single requests are problems.

use kinora_access::RulesError;
use kinora_blobs::BlobError;
use kinora_mesh::MeshError;
use kinora_transcoder::InvalidRoutes;

use crate::limits::StoreError;

/// The edge cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A part that every service has failed.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// The contracts' routes cannot be served.
    #[error("the routes of the contracts cannot be served")]
    Routes(#[from] InvalidRoutes),
    /// The contracts do not say what a method wants of its caller.
    #[error("it is not known who may call the services")]
    Rules(#[from] RulesError),
    /// A method is for services of the mesh, and has a route nevertheless.
    #[error("{0} is for services of the mesh alone and has a route")]
    RouteForWorkloads(String),
    /// The certificates of those who vouch for the store of the limits cannot be read.
    #[error("the certificates for the store of the limits cannot be read")]
    LimitStoreCa(#[source] std::io::Error),
    /// The store of the limits cannot be used as it is configured.
    #[error(transparent)]
    LimitStore(#[from] StoreError),
    /// The object store's options make no sense.
    #[error("the object store cannot be used")]
    Blobs(#[from] BlobError),
}
