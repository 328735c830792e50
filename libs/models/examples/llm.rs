//! Continues tokens with a language model and says when each was there: what `tools/bench/llm.py` times.
//!
//! ```sh
//! cargo run --release -p kinora-models --example llm -- model.gguf f32 2 64 < prompts.json
//! ```
//!
//! The arguments are the file or folder, the compute type, threads and tokens to generate. `prompts.json` is a list of
//! lists of ids; the answer is a line of JSON for each.

#![expect(clippy::print_stdout, reason = "an example has no other way to answer")]

use std::cell::RefCell;
use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kinora_models::Precision;
use kinora_models::llm::{LanguageModel, LlmControl, LlmOptions, LlmRequest, SamplingOptions};

/// Longer than any run takes.
const LONG: Duration = Duration::from_secs(3600);

/// Notes when it is asked, which is before the prompt is read and before each token is drawn.
#[derive(Default)]
struct Stopwatch {
    asked: RefCell<Vec<Instant>>,
}

impl LlmControl for Stopwatch {
    fn is_cancelled(&self) -> bool {
        self.asked.borrow_mut().push(Instant::now());
        false
    }

    fn piece(&mut self, _: &str) {}
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |name| arguments.next().ok_or(format!("{name} is missing"));
    let path = PathBuf::from(argument("the model")?);
    let precision = match argument("the compute type")?.as_str() {
        "f32" => Precision::F32,
        "bf16" => Precision::Bf16,
        other => return Err(format!("{other} is neither f32 nor bf16").into()),
    };
    let threads = argument("the number of threads")?.parse()?;
    let max_tokens = argument("the number of tokens")?.parse()?;
    let options = LlmOptions {
        precision,
        threads: Some(threads),
        ..LlmOptions::default()
    };
    let prompts: Vec<Vec<u32>> = serde_json::from_reader(std::io::stdin())?;
    let mut model = LanguageModel::load(&path, &options)?;
    for prompt in prompts {
        let request = LlmRequest {
            messages: Vec::new(),
            options: SamplingOptions {
                max_tokens,
                ..SamplingOptions::default()
            },
            constraint: None,
            deadline: Instant::now() + LONG,
        };
        let mut stopwatch = Stopwatch::default();
        let (_, tokens) = model.continue_tokens(&prompt, &request, &mut stopwatch)?;
        let asked = stopwatch.asked.into_inner();
        let pairs = asked.iter().zip(asked.iter().skip(1));
        let seconds: Vec<f64> = pairs
            .map(|(from, to)| (*to - *from).as_secs_f64())
            .collect();
        println!(
            "{}",
            serde_json::json!({ "tokens": tokens, "seconds": seconds })
        );
    }
    Ok(())
}
