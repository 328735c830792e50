//! What attention remembers of the tokens before.

use tch::{Device, Kind, TchError, Tensor};

use super::config::DecoderConfig;

/// Keys and values of all blocks, in memory that is taken once.
#[derive(Debug)]
pub struct KvCache {
    /// Keys and values of each block: `[kv heads, capacity, d]`.
    blocks: Vec<(Tensor, Tensor)>,
    length: i64,
    capacity: i64,
}

impl KvCache {
    /// An empty cache for `capacity` tokens.
    ///
    /// # Errors
    /// libtorch could not allocate it.
    pub fn new(
        config: &DecoderConfig,
        capacity: i64,
        device: Device,
        kind: Kind,
    ) -> Result<Self, TchError> {
        let shape = [config.kv_heads, capacity, config.head_width];
        let make = || Tensor::f_zeros(shape, (kind, device));
        let blocks: Result<_, TchError> =
            (0..config.blocks).map(|_| Ok((make()?, make()?))).collect();
        Ok(Self {
            blocks: blocks?,
            length: 0,
            capacity,
        })
    }

    /// Tokens that it holds.
    #[must_use]
    pub fn length(&self) -> i64 {
        self.length
    }

    /// Tokens that it can hold.
    #[must_use]
    pub fn capacity(&self) -> i64 {
        self.capacity
    }

    /// Forgets all tokens; the memory stays.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Writes what a block has for new tokens, and gives what it has for all from `first` on.
    ///
    /// # Shapes
    /// new keys and values `[s, kv heads, d]`; result `[1, kv heads, keys, d]` each
    pub(super) fn extend(
        &self,
        block: usize,
        first: i64,
        key: &Tensor,
        value: &Tensor,
    ) -> (Tensor, Tensor) {
        let (keys, values) = &self.blocks[block];
        let (start, tokens) = (self.length, key.size()[0]);
        let write = |cache: &Tensor, new: &Tensor| {
            cache.narrow(1, start, tokens).copy_(&new.transpose(0, 1));
            let length = start + tokens - first;
            cache.narrow(1, first, length).unsqueeze(0) // [1, kv heads, keys, d]
        };
        (write(keys, key), write(values, value))
    }

    /// Counts new tokens once all blocks have written theirs.
    pub(super) fn advance(&mut self, tokens: i64) {
        self.length += tokens;
    }
}
