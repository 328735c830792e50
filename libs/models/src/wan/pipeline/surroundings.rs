//! What besides the request and the model's files decides the bytes of a clip.

use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::request::{DeviceChoice, LoadOptions, Precision};

/// The version of libtorch that this engine is built against.
const LIBTORCH: &str = "2.11.0";
/// Vector and matrix instructions by which libtorch and its libraries pick kernels, narrowest first.
const CPU_FEATURES: [&str; 5] = ["avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile"];

/// What besides the request and the model's files decides the bytes of a clip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Surroundings {
    /// Version of the engine.
    pub engine: String,
    /// Version of libtorch.
    pub libtorch: String,
    /// The class of device, for example `cpu-avx2-authenticamd` or `cuda-nvidia-h200-9.0`: kernels
    /// differ between classes.
    pub device_class: String,
    /// What large products are computed in: `f32` or `bf16`.
    pub precision: String,
    /// How large matrices are stored.
    pub weights: String,
    /// Threads of CPU operators.
    pub threads: usize,
    /// Threshold of the step cache; 0 is off.
    pub step_cache: f64,
}

impl Surroundings {
    /// The surroundings of a model that was loaded like this: the number of threads is that of the
    /// process now.
    #[must_use]
    pub fn of(options: &LoadOptions) -> Self {
        Self {
            engine: env!("CARGO_PKG_VERSION").to_owned(),
            libtorch: LIBTORCH.to_owned(),
            device_class: device_class(options.device),
            precision: match options.precision {
                Precision::F32 => "f32",
                Precision::Bf16 => "bf16",
            }
            .to_owned(),
            weights: options.weights.to_string(),
            threads: usize::try_from(tch::get_num_threads()).unwrap_or_default(),
            step_cache: options.step_cache,
        }
    }
}

fn device_class(device: DeviceChoice) -> String {
    match device {
        DeviceChoice::Cpu => {
            let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
            cpu_class(&info)
        }
        DeviceChoice::Cuda(index) => {
            let output = Command::new("nvidia-smi")
                .args(["--query-gpu=name,compute_cap", "--format=csv,noheader"])
                .arg(format!("--id={index}"))
                .output();
            let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
            cuda_class(&text.unwrap_or_default())
        }
    }
}

/// Vendor and instructions of the first processor in `/proc/cpuinfo`.
fn cpu_class(info: &str) -> String {
    let value = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim())
    };
    let flags: Vec<&str> = value("flags").unwrap_or_default().split(' ').collect();
    let mut class = format!("cpu-{}", std::env::consts::ARCH);
    for feature in CPU_FEATURES {
        if flags.contains(&feature) {
            class = format!("{class}-{feature}");
        }
    }
    let vendor = value("vendor_id").unwrap_or("unknown");
    format!("{class}-{}", vendor.to_lowercase())
}

/// Name and compute capability as `nvidia-smi` prints them.
fn cuda_class(output: &str) -> String {
    let line = output.lines().next().unwrap_or_default().to_lowercase();
    let words = line.split([' ', ',']).filter(|word| !word.is_empty());
    std::iter::once("cuda")
        .chain(words)
        .collect::<Vec<_>>()
        .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_told_apart_by_vendor_and_instructions() {
        let info = "processor : 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu sse avx2 avx512f\n";
        let class = cpu_class(info);
        let expected = format!("cpu-{}-avx2-avx512f-authenticamd", std::env::consts::ARCH);
        assert_eq!(class, expected);
        assert!(cpu_class("").ends_with("-unknown"));
    }

    #[test]
    fn cards_are_told_apart_by_name_and_capability() {
        assert_eq!(cuda_class("NVIDIA H200, 9.0\n"), "cuda-nvidia-h200-9.0");
        assert_ne!(
            cuda_class("NVIDIA A100-SXM4-80GB, 8.0"),
            cuda_class("NVIDIA H200, 9.0")
        );
        assert_eq!(cuda_class(""), "cuda");
    }
}
