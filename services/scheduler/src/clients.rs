//! The other parts that the scheduler calls.

pub mod ledger;

use std::error::Error;

use futures::future::BoxFuture;
use kinora_blobs::{BlobError, BlobStore};

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

    /// Stores an object, whole or not at all.
    fn put<'a>(
        &'a self,
        key: &'a str,
        bytes: Vec<u8>,
        content_type: &'a str,
    ) -> BoxFuture<'a, Result<(), ObjectError>>;
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

    fn put<'a>(
        &'a self,
        key: &'a str,
        bytes: Vec<u8>,
        content_type: &'a str,
    ) -> BoxFuture<'a, Result<(), ObjectError>> {
        Box::pin(async move { Ok(self.put_bytes(key, bytes, content_type).await?) })
    }
}
