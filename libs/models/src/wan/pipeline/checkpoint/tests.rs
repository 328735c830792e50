use super::*;
use crate::sampler::{Sampler, Schedule, SigmaGrid, Stepper};

const SHAPE: [i64; 5] = [1, 2, 1, 3, 4];
const FINGERPRINT: &str = "a fingerprint";

/// A checkpoint after two of four steps.
fn checkpoint() -> Checkpoint {
    let schedule = Schedule::new(SigmaGrid::Native, 4, 3.0, 1000);
    let mut stepper = Stepper::new(Sampler::UniPc, schedule);
    let mut latents = Tensor::arange(24, (Kind::Float, Device::Cpu)).view(SHAPE);
    for _ in 0..2 {
        latents = stepper.step(&(&latents * 0.5), &latents);
    }
    let state = DenoiseState {
        latents,
        solver: stepper.state(),
        caches: vec![("0.progress".to_owned(), Tensor::from_slice(&[2.0, 0.1]))],
    };
    write(&state, 4, FINGERPRINT).unwrap().unwrap()
}

fn read(file: &[u8], fingerprint: &str) -> Result<DenoiseState, String> {
    super::read(file, fingerprint, &SHAPE, Device::Cpu)
}

#[test]
fn what_was_written_is_read() {
    let file = checkpoint();
    let state = read(&file.bytes, FINGERPRINT).unwrap();
    assert_eq!((file.step, file.steps, state.solver.step), (2, 4, 2));
    assert_eq!(state.solver.order, 2);
    assert_eq!(state.solver.tensors.len(), 3);
    let (name, progress) = &state.caches[0];
    assert_eq!(name, "0.progress");
    assert_eq!(Vec::<f64>::try_from(progress).unwrap(), [2.0, 0.1]);
}

#[test]
fn a_checkpoint_of_another_request_is_refused() {
    let reason = read(&checkpoint().bytes, "another").err().unwrap();
    assert!(reason.contains("another request"), "{reason}");
}

#[test]
fn a_checkpoint_of_another_size_is_refused() {
    let file = checkpoint();
    let other = [1, 2, 1, 4, 3];
    assert!(super::read(&file.bytes, FINGERPRINT, &other, Device::Cpu).is_err());
}

#[test]
fn a_checkpoint_cut_anywhere_is_refused() {
    let file = checkpoint().bytes;
    for length in 0..file.len() {
        assert!(read(&file[..length], FINGERPRINT).is_err(), "{length}");
    }
}

#[test]
fn a_checkpoint_with_any_bit_flipped_is_refused_or_means_the_same() {
    let file = checkpoint().bytes;
    let whole = read(&file, FINGERPRINT).unwrap();
    for index in 0..file.len() {
        let mut altered = file.clone();
        altered[index] ^= 1 << (index % 8);
        // Bytes of the header that mean nothing, such as padding, may differ.
        if let Ok(state) = read(&altered, FINGERPRINT) {
            assert_eq!(state.latents, whole.latents, "byte {index}");
            assert_eq!(state.solver.step, whole.solver.step, "byte {index}");
            assert_eq!(state.solver.order, whole.solver.order, "byte {index}");
        }
    }
}

#[test]
fn files_that_claim_much_are_refused_without_work() {
    for length in [u64::MAX, 1 << 40, 1 << 20] {
        let mut file = length.to_le_bytes().to_vec();
        file.extend([b'{'; 64]);
        assert!(read(&file, FINGERPRINT).is_err());
    }
}
