//! Where weights rest and when they are on the device.
//!
//! A network is loaded to the host and [`Placed`]. A stage [enters](Placed::enter) it and gets a value
//! that is on the device for as long as it is held. Copies are values of their own, so they leave the
//! device when the stage ends, however it ends: with a result, an error, a cancellation or a panic.
//!
//! On a CUDA device the host's tensors are page-locked and copies are only enqueued. libtorch's Rust
//! binding offers one stream, so a copy runs before the kernels that were enqueued after it and not
//! beside them: prefetching keeps the host ahead of the device, it does not hide the transfer itself.
//! On the CPU the policies make real second copies, which is of use to tests only.

mod blocks;

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use kinora_nn::{Parameters, WeightFormat};
use tch::{Device, Kind, TchError};

pub(crate) use blocks::Blocks;

/// Where the weights of a model are while it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Residency {
    /// All networks stay on the device.
    #[default]
    Resident,
    /// A network is on the device during its own stage only.
    StageOffload,
    /// As `StageOffload`, and networks made of blocks have two blocks there at a time: the one that
    /// computes and the next one.
    BlockSwap,
}

impl Residency {
    /// All policies, from the fastest to the one that needs the least memory.
    pub const ALL: [Self; 3] = [Self::Resident, Self::StageOffload, Self::BlockSwap];
}

impl fmt::Display for Residency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Resident => "resident",
            Self::StageOffload => "stage-offload",
            Self::BlockSwap => "block-swap",
        })
    }
}

impl FromStr for Residency {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|residency| residency.to_string() == name)
            .ok_or_else(|| {
                format!("residency must be resident, stage-offload or block-swap, not {name}")
            })
    }
}

/// How a network is loaded and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The device it computes on.
    pub device: Device,
    /// The compute type.
    pub kind: Kind,
    /// How the blocks' matrices are stored.
    pub weights: WeightFormat,
    /// Where the weights rest.
    pub residency: Residency,
}

impl Placement {
    /// A network that stays on `device` as it is in its files.
    #[must_use]
    pub fn resident(device: Device, kind: Kind) -> Self {
        Self {
            device,
            kind,
            weights: WeightFormat::Native,
            residency: Residency::Resident,
        }
    }

    /// Where to read the weights to: straight to the device if they stay there.
    #[must_use]
    pub fn load_device(&self) -> Device {
        match self.residency {
            Residency::Resident => self.device,
            Residency::StageOffload | Residency::BlockSwap => Device::Cpu,
        }
    }

    /// Takes a network that was read to [`Placement::load_device`].
    ///
    /// # Errors
    /// As [`Placed::new`].
    pub fn place<N: Network>(&self, network: N) -> Result<Placed<N>, TchError> {
        Placed::new(network, self.residency, self.device)
    }
}

/// A network that can rest on the host.
pub trait Network: Parameters {
    /// From now on the network's blocks stay where they are when the network is copied, and are
    /// copied to `device` one by one as they are needed. Without effect on networks without blocks.
    fn swap_blocks(&mut self, device: Device);
}

/// A network and the policy by which it comes onto the device.
#[derive(Debug)]
pub struct Placed<N> {
    network: N,
    residency: Residency,
    device: Device,
}

/// A network on the device: its own weights, or a copy that leaves with this value.
#[derive(Debug)]
pub enum OnDevice<'a, N> {
    /// It lives there.
    Resident(&'a N),
    /// It visits.
    Visiting(Box<N>),
}

impl<N: Network> Placed<N> {
    /// Takes a network whose tensors are on the host, or already on `device` if it is resident.
    ///
    /// # Errors
    /// There is too little memory: on the device for a resident network, on the host to page-lock
    /// another one.
    pub fn new(network: N, residency: Residency, device: Device) -> Result<Self, TchError> {
        let mut network = match (residency, device) {
            (_, Device::Cpu) => network,
            (Residency::Resident, _) => moved(network, device)?,
            _ => {
                network.pin(device)?;
                network
            }
        };
        if residency == Residency::BlockSwap {
            network.swap_blocks(device);
        }
        Ok(Self {
            network,
            residency,
            device,
        })
    }

    /// The network on the device, for as long as the result is held.
    ///
    /// # Errors
    /// The device has too little memory.
    pub fn enter(&self) -> Result<OnDevice<'_, N>, TchError> {
        match self.residency {
            Residency::Resident => Ok(OnDevice::Resident(&self.network)),
            Residency::StageOffload | Residency::BlockSwap => {
                let copy = self.network.copy_to(self.device)?;
                Ok(OnDevice::Visiting(Box::new(copy)))
            }
        }
    }

    /// The policy.
    #[must_use]
    pub fn residency(&self) -> Residency {
        self.residency
    }

    /// The device it computes on.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }
}

impl<N> Deref for OnDevice<'_, N> {
    type Target = N;

    fn deref(&self) -> &N {
        match self {
            Self::Resident(network) => network,
            Self::Visiting(network) => network,
        }
    }
}

/// Moves what is not on `device` yet, tensor by tensor, so that nothing is there twice.
fn moved<N: Network>(network: N, device: Device) -> Result<N, TchError> {
    network.map_tensors(&mut |tensor| tensor.f_to_device(device))
}

#[cfg(test)]
mod tests;
