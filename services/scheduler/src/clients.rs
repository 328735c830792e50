//! The other parts that the scheduler calls.

pub mod call;
pub mod ledger;
pub mod prompts;

use std::error::Error;
use std::time::Duration;

use futures::future::BoxFuture;
use kinora_blobs::{BlobError, BlobStore, PresignedPut, PutTerms};

/// Why the object store did not do what was asked. Only logged.
pub type ObjectError = Box<dyn Error + Send + Sync>;

/// The object store, as far as the scheduler uses it: it keeps what callers send and removes what nobody needs any
/// more.
pub trait Objects: Send + Sync {
    /// Removes every object whose key begins with `prefix`. Succeeds when there is none.
    fn remove_prefix<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<(), ObjectError>>;

    /// Reads an object of at most `max` bytes. None when there is none.
    fn get<'a>(
        &'a self,
        key: &'a str,
        max: u64,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, ObjectError>>;

    /// Signs a link on which whoever has it may put an object of these terms, for a while.
    fn presign_put<'a>(
        &'a self,
        key: &'a str,
        lifetime: Duration,
        terms: PutTerms<'a>,
    ) -> BoxFuture<'a, Result<PresignedPut, ObjectError>>;

    /// Stores an object, whole or not at all.
    fn put<'a>(
        &'a self,
        key: &'a str,
        bytes: Vec<u8>,
        content_type: &'a str,
    ) -> BoxFuture<'a, Result<(), ObjectError>>;
}

/// Whether an object was not read because it is longer than was allowed.
#[must_use]
pub fn is_too_large(error: &ObjectError) -> bool {
    let error = error.downcast_ref::<BlobError>();
    matches!(error, Some(BlobError::TooLarge { .. }))
}

impl Objects for BlobStore {
    fn remove_prefix<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<(), ObjectError>> {
        Box::pin(async move {
            let removed = self.delete_prefix(prefix).await?;
            tracing::debug!(prefix, removed, "objects removed");
            Ok(())
        })
    }

    fn get<'a>(
        &'a self,
        key: &'a str,
        max: u64,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, ObjectError>> {
        Box::pin(async move {
            match self.get_bytes(key, max).await {
                Ok(bytes) => Ok(Some(bytes.into())),
                Err(BlobError::NotFound) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn presign_put<'a>(
        &'a self,
        key: &'a str,
        lifetime: Duration,
        terms: PutTerms<'a>,
    ) -> BoxFuture<'a, Result<PresignedPut, ObjectError>> {
        Box::pin(async move { Ok(Self::presign_put(self, key, lifetime, terms).await?) })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        bytes: Vec<u8>,
        content_type: &'a str,
    ) -> BoxFuture<'a, Result<(), ObjectError>> {
        Box::pin(async move { Ok(self.put_bytes(key, bytes, content_type).await?) })
    }
}
