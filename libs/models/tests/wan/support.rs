//! Reading golden files and comparing tensors.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use kinora_models::{Control, LoadOptions, Progress, Signal};
use kinora_nn::Weights;
use tch::{Device, Kind, Tensor};

/// Largest difference accepted, relative to the largest value of the reference.
pub const TOLERANCE: f64 = 1e-4;

pub fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

/// All tensors of a folder's `io.safetensors`.
pub fn values(folder: &Path) -> HashMap<String, Tensor> {
    Tensor::read_safetensors(folder.join("io.safetensors"))
        .unwrap()
        .into_iter()
        .collect()
}

pub fn weights(folder: &Path, stem: &str) -> Weights {
    // The tests run side by side already.
    tch::set_num_threads(1);
    Weights::open(folder, stem, Device::Cpu, Kind::Float).unwrap()
}

/// `max |a - b| / max |b|`
pub fn relative_difference(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.size(), expected.size());
    let expected = expected.to_kind(Kind::Double);
    let difference = (found.to_kind(Kind::Double) - &expected).abs().max();
    difference.double_value(&[]) / expected.abs().max().double_value(&[])
}

#[track_caller]
pub fn check_close(name: &str, found: &Tensor, expected: &Tensor) {
    let difference = relative_difference(found, expected);
    println!("{name}: {difference:.1e}");
    assert!(difference < TOLERANCE, "{name} differs by {difference:e}");
}

/// Full precision on one thread of the CPU.
pub fn one_thread() -> LoadOptions {
    LoadOptions {
        threads: Some(1),
        ..LoadOptions::default()
    }
}

pub fn never() -> bool {
    false
}

/// Records progress, and cancels once it has been asked often enough.
#[derive(Default)]
pub struct Recorder {
    pub progress: Vec<Progress>,
    pub cancel_after_polls: Option<usize>,
    pub polls: std::cell::Cell<usize>,
}

impl Control for Recorder {
    fn signal(&self) -> Signal {
        self.polls.set(self.polls.get() + 1);
        let is_enough = self
            .cancel_after_polls
            .is_some_and(|limit| self.polls.get() > limit);
        if is_enough {
            Signal::Cancel
        } else {
            Signal::GoOn
        }
    }

    fn progress(&mut self, progress: Progress) {
        self.progress.push(progress);
    }
}
