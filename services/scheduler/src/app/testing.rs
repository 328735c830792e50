//! What tests of several parts stand on.

use std::time::Duration;

use futures::future::BoxFuture;
use kinora_blobs::{PresignedPut, PutTerms};

use crate::clients::{ObjectError, Objects};

/// An object store that takes everything and holds nothing.
pub struct NoObjects;

impl Objects for NoObjects {
    fn remove_prefix<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), ObjectError>> {
        Box::pin(async { Ok(()) })
    }

    fn get<'a>(
        &'a self,
        _: &'a str,
        _: u64,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, ObjectError>> {
        Box::pin(async { Ok(None) })
    }

    fn presign_put<'a>(
        &'a self,
        _: &'a str,
        _: Duration,
        _: PutTerms<'a>,
    ) -> BoxFuture<'a, Result<PresignedPut, ObjectError>> {
        Box::pin(async { Err("nothing is taken".into()) })
    }

    fn put<'a>(
        &'a self,
        _: &'a str,
        _: Vec<u8>,
        _: &'a str,
    ) -> BoxFuture<'a, Result<(), ObjectError>> {
        Box::pin(async { Ok(()) })
    }
}
