//! Measures how long a detector takes for a frame.
//!
//! ```sh
//! cargo run --release -p kinora-models --example detect -- FILE.onnx [WIDTH HEIGHT [THREADS [REPEAT]]]
//! ```
//!
//! Prints one line of JSON on standard output: milliseconds for reading the file, for the first frame, and
//! the median and the slowest of those after it.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use kinora_models::Picture;
use kinora_models::detector::Detector;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let file = arguments.first().ok_or("name the detector's file")?;
    let number = |index: usize, default: u32| -> Result<u32, Failure> {
        let given = arguments.get(index);
        Ok(given.map_or(Ok(default), |text| text.parse())?)
    };
    let (width, height) = (number(1, 832)?, number(2, 480)?);
    let (threads, repeat) = (number(3, 1)?, number(4, 50)?);
    tch::set_num_threads(i32::try_from(threads)?);
    let begun = Instant::now();
    let detector = Detector::load(Path::new(file))?;
    let load_ms = millis(begun);
    let mut times = Vec::new();
    for shade in 0..=repeat {
        let picture = pattern(width, height, shade);
        let begun = Instant::now();
        detector.detect(&picture)?;
        times.push(millis(begun));
    }
    let first_ms = times.remove(0);
    times.sort_by(f64::total_cmp);
    let report = serde_json::json!({
        "width": width, "height": height, "threads": threads, "load_ms": load_ms, "first_ms": first_ms,
        "median_ms": times.get(times.len() / 2), "slowest_ms": times.last(),
    });
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}

fn millis(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}

/// A picture unlike the others.
fn pattern(width: u32, height: u32, shade: u32) -> Picture {
    let byte =
        |place: u32| u8::try_from((place * place / 97 + shade * 5) % 256).unwrap_or_default();
    Picture {
        width,
        height,
        rgb: (0..width * height * 3)
            .map(|place| byte(place % 4096))
            .collect(),
    }
}
