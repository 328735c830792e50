//! Good files with random damage: an error or a file that can be read, never a panic, never much
//! memory. `cargo run --release -p kinora-nn --example fuzz_weights -- CASES` runs the same for as many
//! cases as wanted.

use proptest::test_runner::{Config, TestRunner};

use crate::ALLOCATOR;

#[path = "damage.rs"]
mod damage;

/// Cases of each format: about a second.
const CASES: u32 = 3000;
/// Most memory that all tests of this program may hold together at any time: the largest file among
/// them has 64 MiB, and is held twice.
const MOST_BYTES: usize = 512 << 20;

fn run(format: damage::Format) {
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let seeds = damage::seeds(format);
    let strategy = damage::damaged(seeds);
    let check = |bytes: Vec<u8>| {
        damage::open_and_read(&bytes, format);
        Ok(())
    };
    TestRunner::new(config).run(&strategy, check).unwrap();
    let peak = ALLOCATOR.max_allocated();
    assert!(peak < MOST_BYTES, "{peak} bytes were held");
}

#[test]
fn damaged_safetensors_never_panic_or_take_memory() {
    run(damage::Format::Safetensors);
}

#[test]
fn damaged_onnx_files_never_panic_or_take_memory() {
    run(damage::Format::Onnx);
}

#[test]
fn damaged_checkpoints_never_panic_or_take_memory() {
    run(damage::Format::Torch);
}

#[test]
fn damaged_gguf_files_never_panic_or_take_memory() {
    run(damage::Format::Gguf);
}
