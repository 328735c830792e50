//! An object store that a test can make fail and wait.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use kinora_blobs::{BlobError, PresignedPut, PutTerms};
use kinora_scheduler::Objects;
use kinora_scheduler::clients::ObjectError;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::PATIENCE;

/// An object store that remembers what was stored and removed, and fails as often as told.
#[derive(Default)]
pub struct Removals {
    pub prefixes: Mutex<Vec<String>>,
    pub failures_left: Mutex<u32>,
    pub stored: Mutex<Vec<(String, Vec<u8>)>>,
    pub puts_fail: Mutex<bool>,
    /// Each put takes a permit before it ends.
    pub puts_wait: Mutex<Option<Arc<Semaphore>>>,
}

impl Objects for Removals {
    fn remove_prefix<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<(), ObjectError>> {
        let mut failures = self.failures_left.lock();
        let fails = *failures > 0;
        *failures = failures.saturating_sub(1);
        if !fails {
            let mut stored = self.stored.lock();
            stored.retain(|(key, _)| !key.starts_with(prefix));
            self.prefixes.lock().push(prefix.to_owned());
        }
        Box::pin(async move {
            if fails {
                Err("the store is away".into())
            } else {
                Ok(())
            }
        })
    }

    fn get<'a>(
        &'a self,
        key: &'a str,
        max: u64,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, ObjectError>> {
        let found = self.object(key);
        Box::pin(async move {
            match found {
                Some(bytes) if bytes.len() as u64 > max => {
                    let size = bytes.len() as u64;
                    Err(BlobError::TooLarge { size, max }.into())
                }
                found => Ok(found),
            }
        })
    }

    fn presign_put<'a>(
        &'a self,
        key: &'a str,
        lifetime: Duration,
        terms: PutTerms<'a>,
    ) -> BoxFuture<'a, Result<PresignedPut, ObjectError>> {
        let mut headers = vec![
            ("content-type".to_owned(), terms.content_type.to_owned()),
            ("content-length".to_owned(), terms.size.to_string()),
        ];
        let digest = terms.sha256.map(hex::encode);
        headers.extend(digest.map(|digest| ("x-digest".to_owned(), digest)));
        let url = format!("https://objects.test/{key}?for={}", lifetime.as_secs());
        Box::pin(async move { Ok(PresignedPut { url, headers }) })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        bytes: Vec<u8>,
        _: &'a str,
    ) -> BoxFuture<'a, Result<(), ObjectError>> {
        let fails = *self.puts_fail.lock();
        if !fails {
            self.stored.lock().push((key.to_owned(), bytes));
        }
        let wait = self.puts_wait.lock().clone();
        Box::pin(async move {
            if let Some(wait) = wait {
                wait.acquire().await?.forget();
            }
            if fails {
                Err("the store is away".into())
            } else {
                Ok(())
            }
        })
    }
}

impl Removals {
    /// Puts something where a link leads to.
    pub fn put_at(&self, url: &str, bytes: Vec<u8>) {
        let key = url.strip_prefix("https://objects.test/").expect("a link");
        let key = key.split('?').next().expect("a key").to_owned();
        let mut stored = self.stored.lock();
        stored.retain(|(at, _)| *at != key);
        stored.push((key, bytes));
    }

    /// What lies at a key.
    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        let stored = self.stored.lock();
        let found = stored.iter().find(|(at, _)| at == key);
        found.map(|(_, bytes)| bytes.clone())
    }

    pub async fn wait_for(&self, prefix: &str, times: usize) {
        kinora_testkit::wait::until("a removal", PATIENCE, || async {
            let seen = self.prefixes.lock().clone();
            let count = seen.iter().filter(|seen| *seen == prefix).count();
            if count >= times { Ok(()) } else { Err(seen) }
        })
        .await;
    }
}
