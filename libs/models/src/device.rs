//! What choices of a device, of threads and of precision mean to libtorch.

use tch::{Cuda, Device, Kind};

use crate::error::LoadError;
use crate::request::{DeviceChoice, Precision};

/// The device, made ready.
///
/// # Errors
/// `Device` if there is no such one.
pub(crate) fn device(choice: DeviceChoice) -> Result<Device, LoadError> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda(index) => {
            let count = if Cuda::is_available() {
                Cuda::device_count()
            } else {
                0
            };
            let known = usize::try_from(count).is_ok_and(|count| index < count);
            let reason = format!("there is no CUDA device {index}, only {count} in all");
            if known {
                kinora_nn::fix_kernel_choice();
                Ok(Device::Cuda(index))
            } else {
                Err(LoadError::Device { reason })
            }
        }
    }
}

/// Sets the number of threads for operators on the CPU, for the whole process. None leaves it as it is.
///
/// # Errors
/// `Device` if there cannot be so many.
pub(crate) fn set_threads(threads: Option<usize>) -> Result<(), LoadError> {
    let Some(threads) = threads else {
        return Ok(());
    };
    let reason = |_| LoadError::Device {
        reason: "too many threads".to_owned(),
    };
    tch::set_num_threads(i32::try_from(threads.max(1)).map_err(reason)?);
    Ok(())
}

/// The type of tensors that matrix products are computed in.
pub(crate) const fn kind(precision: Precision) -> Kind {
    match precision {
        Precision::F32 => Kind::Float,
        Precision::Bf16 => Kind::BFloat16,
    }
}
