//! Results of equal orders.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;

use crate::domain::prepared::Prepared;

/// A result with more text is not kept, so that all of them together stay small.
const MAX_KEPT_BYTES: usize = 8 * 1024;

/// Results that were used last, by what they depend on. They are everybody's: nothing of who asked is in them.
pub struct Cache(Option<Mutex<LruCache<[u8; 32], Prepared>>>);

impl Cache {
    /// Of so many results; none when it is 0.
    pub fn new(capacity: usize) -> Self {
        let capacity = NonZeroUsize::new(capacity);
        Self(capacity.map(|capacity| Mutex::new(LruCache::new(capacity))))
    }

    /// The result of an equal order.
    pub fn get(&self, key: &[u8; 32]) -> Option<Prepared> {
        self.0.as_ref()?.lock().get(key).cloned()
    }

    /// Keeps a result, unless it would be another one next time.
    pub fn put(&self, key: [u8; 32], result: &Prepared) {
        let is_lasting = result.fallback.is_none_or(|reason| reason.is_lasting());
        let bytes = result.original.len() + result.prompt.len() + result.negative_prompt.len();
        if let Some(cache) = &self.0
            && is_lasting
            && bytes <= MAX_KEPT_BYTES
        {
            cache.lock().put(key, result.clone());
        }
    }
}
