//! Damages good weight files at random and reads them, as the test of the same kind does, but for as
//! many cases as the first argument says. A failure prints the smallest file that shows it.
//!
//! ```sh
//! cargo run --release -p kinora-nn --example fuzz_weights -- 1000000
//! ```

use std::process::ExitCode;

use proptest::test_runner::{Config, TestRunner};

#[path = "../tests/weights/damage.rs"]
mod damage;

fn main() -> ExitCode {
    let cases = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let config = Config {
        cases: cases.unwrap_or(100_000),
        failure_persistence: None,
        ..Config::default()
    };
    let formats = [
        damage::Format::Safetensors,
        damage::Format::Torch,
        damage::Format::Gguf,
        damage::Format::Onnx,
    ];
    for format in formats {
        let strategy = damage::damaged(damage::seeds(format));
        let result = TestRunner::new(config.clone()).run(&strategy, |bytes| {
            damage::open_and_read(&bytes, format);
            Ok(())
        });
        if let Err(failure) = result {
            eprintln!("{failure}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
