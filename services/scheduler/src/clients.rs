//! The other parts that the scheduler calls.

use std::error::Error;

use futures::future::BoxFuture;
use kinora_blobs::BlobStore;

/// Why objects could not be removed. Only logged; the removal is tried again.
pub type RemovalError = Box<dyn Error + Send + Sync>;

/// Removes objects that nobody needs any more.
pub trait ObjectRemover: Send + Sync {
    /// Removes every object whose key begins with `prefix`. Succeeds when there is none.
    fn remove_prefix<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<(), RemovalError>>;
}

impl ObjectRemover for BlobStore {
    fn remove_prefix<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<(), RemovalError>> {
        Box::pin(async move {
            let removed = self.delete_prefix(prefix).await?;
            tracing::debug!(prefix, removed, "objects removed");
            Ok(())
        })
    }
}
