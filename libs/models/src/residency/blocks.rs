//! The blocks of a network, which may stay on the host and come to the device one by one.

use std::ops::{Deref, Range};

use kinora_nn::parameters::MakeTensor;
use kinora_nn::{Parameters, TchError};
use tch::Device;

/// A network's blocks, in the order they run.
#[derive(Debug)]
pub(crate) struct Blocks<B> {
    blocks: Vec<B>,
    /// The device that blocks are copied to when they are needed; absent if they are there.
    swap_to: Option<Device>,
}

/// Gives out blocks in their order, each on the device.
#[derive(Debug)]
pub(crate) struct BlockIter<'a, B> {
    blocks: &'a Blocks<B>,
    next: usize,
    end: usize,
    prefetched: Option<B>,
}

/// A block on the device. A copy leaves with this value.
#[derive(Debug)]
pub(crate) enum BlockOnDevice<'a, B> {
    Resident(&'a B),
    Copy(B),
}

impl<B: Parameters> Blocks<B> {
    pub(crate) fn new(blocks: Vec<B>) -> Self {
        Self {
            blocks,
            swap_to: None,
        }
    }

    /// From now on the blocks stay where they are, and copies of them go to `device`.
    pub(crate) fn swap_to(&mut self, device: Device) {
        self.swap_to = Some(device);
    }

    /// All blocks in turn. Of swapped ones the next is being copied while one computes, so that two
    /// are on the device.
    pub(crate) fn iter(&self) -> BlockIter<'_, B> {
        self.range(0..self.len())
    }

    /// Some of the blocks, as [`Blocks::iter`] gives all of them.
    pub(crate) fn range(&self, range: Range<usize>) -> BlockIter<'_, B> {
        BlockIter {
            blocks: self,
            next: range.start,
            end: range.end.min(self.len()),
            prefetched: None,
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }
}

/// Swapped blocks keep their tensors: only what surrounds them is copied with the network.
impl<B: Parameters> Parameters for Blocks<B> {
    fn map_tensors(&self, make: &mut MakeTensor<'_>) -> Result<Self, TchError> {
        let blocks = match self.swap_to {
            Some(_) => self.blocks.shared()?,
            None => self.blocks.map_tensors(make)?,
        };
        Ok(Self {
            blocks,
            swap_to: self.swap_to,
        })
    }
}

impl<'a, B: Parameters> Iterator for BlockIter<'a, B> {
    type Item = BlockOnDevice<'a, B>;

    /// Panics with libtorch's message if the device has no room for the block, as operators do.
    fn next(&mut self) -> Option<Self::Item> {
        let index = self.next;
        let blocks = self.blocks.blocks.get(..self.end)?;
        let resident = blocks.get(index)?;
        self.next += 1;
        let Some(device) = self.blocks.swap_to else {
            return Some(BlockOnDevice::Resident(resident));
        };
        let present = self
            .prefetched
            .take()
            .unwrap_or_else(|| copied(resident, device));
        let following = blocks.get(self.next);
        self.prefetched = following.map(|block| copied(block, device));
        Some(BlockOnDevice::Copy(present))
    }
}

impl<B> Deref for BlockOnDevice<'_, B> {
    type Target = B;

    fn deref(&self) -> &B {
        match self {
            Self::Resident(block) => block,
            Self::Copy(block) => block,
        }
    }
}

fn copied<B: Parameters>(block: &B, device: Device) -> B {
    match block.copy_to(device) {
        Ok(copy) => copy,
        Err(error) => panic!("{error}"),
    }
}
