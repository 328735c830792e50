//! The object store: clips, thumbnails, checkpoints and uploads, on any S3.
//!
//! [`BlobStore`] is the one client of the platform. It speaks to whatever S3 its [`BlobOptions`] name, in path style,
//! and turns the many ways in which that can go wrong into a [`BlobError`] whose [kind](BlobError::kind) tells the
//! caller what to do. [`EmbeddedS3`] is an S3 server in this process, over a folder, for a machine without one: the
//! same client code, signatures and presigned URLs are used against it.
//!
//! Objects here are written once and then only read or deleted. Nothing outside this crate sees the S3 SDK.

mod embedded;
mod error;
mod options;
mod store;

pub use embedded::{EmbeddedError, EmbeddedS3};
pub use error::{BlobError, BlobErrorKind};

pub use kinora_mesh::secret::Secret;
pub use options::BlobOptions;
pub use store::{BlobInfo, BlobStore, PresignedPut, PutTerms};
