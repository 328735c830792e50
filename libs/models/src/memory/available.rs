//! How much memory a device has left.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::error::LoadError;
use crate::request::DeviceChoice;

/// A mebibyte, the unit of `nvidia-smi`.
const MEBIBYTE: u64 = 1 << 20;
/// Control group files of version 2 and of version 1: limit, use, and statistics with the line that
/// says how much of the use is file pages that the kernel takes back when somebody needs them.
const CGROUP_FILES: [[&str; 4]; 2] = [
    [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory.current",
        "/sys/fs/cgroup/memory.stat",
        "inactive_file",
    ],
    [
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
        "total_inactive_file",
    ],
];

/// What [`available_bytes`] said the first time that this process asked for a device.
///
/// Later the process's own weights, and what libtorch keeps of them for the next ones, would look
/// taken, and a plan would depend on what ran before.
///
/// # Errors
/// As [`available_bytes`]; nothing is remembered then.
pub fn available_at_start(device: DeviceChoice) -> Result<u64, LoadError> {
    static KNOWN: Mutex<BTreeMap<DeviceChoice, u64>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(&bytes) = known.get(&device) {
        return Ok(bytes);
    }
    let bytes = available_bytes(device)?;
    known.insert(device, bytes);
    Ok(bytes)
}

/// Bytes that are free on a device now: the limit for a plan if it is asked before weights are there.
///
/// On the CPU what the kernel calls available, or what the control group leaves if that is less. On
/// CUDA what `nvidia-smi` reports for the device of this index; it counts all devices of the machine,
/// also those that are hidden from the process, for which a limit must be given by hand.
///
/// # Errors
/// `Device` if nothing can be learned.
pub fn available_bytes(device: DeviceChoice) -> Result<u64, LoadError> {
    match device {
        DeviceChoice::Cpu => {
            let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
            let free = available_in(&info).ok_or_else(|| unknown("/proc/meminfo says nothing"))?;
            Ok(cgroup_rest().map_or(free, |rest| rest.min(free)))
        }
        DeviceChoice::Cuda(index) => ask_card(index, "memory.free"),
    }
}

/// Bytes that a device has in all.
///
/// # Errors
/// `Device` if nothing can be learned.
pub fn total_bytes(device: DeviceChoice) -> Result<u64, LoadError> {
    match device {
        DeviceChoice::Cpu => {
            let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
            in_line(&info, "MemTotal:").ok_or_else(|| unknown("/proc/meminfo says nothing"))
        }
        DeviceChoice::Cuda(index) => ask_card(index, "memory.total"),
    }
}

/// A number of mebibytes that `nvidia-smi` knows by this name, in bytes.
fn ask_card(index: usize, name: &str) -> Result<u64, LoadError> {
    let output = Command::new("nvidia-smi")
        .arg(format!("--query-gpu={name}"))
        .arg("--format=csv,noheader,nounits")
        .arg(format!("--id={index}"))
        .output()
        .map_err(|error| unknown(&format!("nvidia-smi: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    first_number(&text).ok_or_else(|| unknown("nvidia-smi does not know the device"))
}

fn unknown(reason: &str) -> LoadError {
    LoadError::Device {
        reason: format!("free memory is unknown, give a limit: {reason}"),
    }
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn available_in(info: &str) -> Option<u64> {
    in_line(info, "MemAvailable:")
}

/// The kibibytes in a line of `/proc/meminfo`, in bytes.
fn in_line(info: &str, name: &str) -> Option<u64> {
    let line = info.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The first line of `nvidia-smi`, in bytes.
fn first_number(output: &str) -> Option<u64> {
    let mebibytes: u64 = output.lines().next()?.trim().parse().ok()?;
    mebibytes.checked_mul(MEBIBYTE)
}

/// What the control group of this process leaves; `None` without a limit.
fn cgroup_rest() -> Option<u64> {
    CGROUP_FILES
        .iter()
        .find_map(|[limit, used, statistics, line]| {
            let limit = fs::read_to_string(limit).ok()?;
            let used = fs::read_to_string(used).ok()?;
            let statistics = fs::read_to_string(statistics).unwrap_or_default();
            rest_of(&limit, &used, reclaimable(&statistics, line))
        })
}

/// Limit less use that is not reclaimable; `None` if the limit is `max`.
fn rest_of(limit: &str, used: &str, reclaimable: u64) -> Option<u64> {
    let limit: u64 = limit.trim().parse().ok()?;
    let used: u64 = used.trim().parse().ok()?;
    Some(limit.saturating_sub(used.saturating_sub(reclaimable)))
}

/// The number in a line of `memory.stat`; 0 without one.
fn reclaimable(statistics: &str, line: &str) -> u64 {
    let number = |text: &str| {
        text.strip_prefix(line)?
            .strip_prefix(' ')?
            .trim()
            .parse()
            .ok()
    };
    statistics.lines().find_map(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read() {
        let info = "MemTotal:       24 kB\nMemAvailable:   12345 kB\n";
        assert_eq!(available_in(info), Some(12345 * 1024));
        assert_eq!(available_in("MemTotal: 24 kB"), None);
        assert_eq!(in_line(info, "MemTotal:"), Some(24 * 1024));
        assert_eq!(first_number("81079\n"), Some(81_079 << 20));
        assert_eq!(first_number("No devices were found\n"), None);
        assert_eq!(first_number(""), None);
        assert_eq!(rest_of("1000\n", "400\n", 0), Some(600));
        assert_eq!(rest_of("1000\n", "900\n", 700), Some(800));
        assert_eq!(rest_of("1000\n", "4000\n", 0), Some(0));
        assert_eq!(rest_of("max\n", "400\n", 0), None);
        let statistics = "anon 5\ninactive_file 700\nactive_file 9\n";
        assert_eq!(reclaimable(statistics, "inactive_file"), 700);
        assert_eq!(reclaimable(statistics, "total_inactive_file"), 0);
    }

    #[test]
    fn this_machine_has_memory_and_the_first_answer_stays() {
        let free = available_bytes(DeviceChoice::Cpu).unwrap();
        assert!(free > 0 && free <= total_bytes(DeviceChoice::Cpu).unwrap());
        let first = available_at_start(DeviceChoice::Cpu).unwrap();
        assert_eq!(available_at_start(DeviceChoice::Cpu).unwrap(), first);
    }

    #[test]
    fn an_absent_card_is_an_error() {
        let error = available_bytes(DeviceChoice::Cuda(999)).unwrap_err();
        assert!(error.to_string().contains("give a limit"), "{error}");
        assert!(total_bytes(DeviceChoice::Cuda(999)).is_err());
    }
}
