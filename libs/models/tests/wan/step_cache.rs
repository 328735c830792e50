//! What the step cache promises: off means off, a small threshold means a small difference, and a
//! saved cache continues exactly. Proven on the trained small model: with random weights nothing is
//! similar from one step to the next.

use std::cell::Cell;

use crate::goldens::transformer;
use crate::support::{never, one_thread};
use crate::trained::folder;
use kinora_models::request::Uncontrolled;
use kinora_models::sampler::{Schedule, Stepper};
use kinora_models::wan::{Conditioning, StepCache, Timestep, WanTransformer};
use kinora_models::{Sampler, SigmaGrid, WanPipeline};
use tch::Tensor;

const STEPS: u32 = 20;
/// Blocks of the network.
const BLOCKS: usize = 4;

/// A network and a clip to denoise with it.
struct Bench {
    network: WanTransformer,
    conditioning: Conditioning,
    noise: Tensor,
    pipeline: WanPipeline,
}

/// A finished clip.
struct Outcome {
    latents: Tensor,
    /// How many blocks each step computed.
    blocks: Vec<usize>,
}

impl Bench {
    fn new() -> Self {
        let mut pipeline = WanPipeline::load(&folder(), &one_thread()).unwrap();
        let prompt = pipeline.encode_prompt("a red circle moves to the right on a blue background");
        let (prompt, negative) = (prompt.unwrap(), pipeline.encode_prompt("").unwrap());
        let noise = pipeline.initial_noise(64, 64, 17, 7).unwrap();
        let network = transformer(&folder().join("transformer"));
        let size = noise.size();
        let texts = [&prompt, &negative];
        let conditioning = network.condition(&texts, None, [size[2], size[3], size[4]]);
        Self {
            network,
            conditioning: conditioning.unwrap(),
            noise,
            pipeline,
        }
    }

    /// Denoises with guidance; before step `stop` the cache goes through its saved state.
    fn denoise(&self, threshold: Option<f64>, stop: Option<u32>) -> Outcome {
        let steps = usize::try_from(STEPS).unwrap();
        let schedule = Schedule::new(SigmaGrid::Diffusers, STEPS, 3.0, 1000);
        let mut stepper = Stepper::new(Sampler::UniPc, schedule);
        let mut cache = threshold.map(|threshold| StepCache::new(threshold, steps));
        let (mut latents, mut blocks) = (self.noise.shallow_clone(), Vec::new());
        for step in 0..STEPS {
            if let (true, Some(saved), Some(threshold)) = (stop == Some(step), &cache, threshold) {
                cache = Some(StepCache::resume(threshold, steps, &through_file(saved)).unwrap());
            }
            let polls = Cell::new(0);
            let poll = || {
                polls.set(polls.get() + 1);
                never()
            };
            let timestep = Timestep::Uniform(stepper.timestep().unwrap());
            let (conditioning, cache) = (&self.conditioning, cache.as_mut());
            let pair = self
                .network
                .forward(&latents, timestep, conditioning, cache, &poll)
                .unwrap();
            let (prompted, unprompted) = (pair.narrow(0, 0, 1), pair.narrow(0, 1, 1));
            let velocity = &unprompted + (prompted - &unprompted) * 2.0;
            latents = stepper.step(&velocity, &latents);
            blocks.push(polls.get());
        }
        Outcome { latents, blocks }
    }

    /// Peak signal-to-noise ratio of the frames, in decibels.
    fn frames_psnr(&self, found: &Tensor, expected: &Tensor) -> f64 {
        let frames = |latents| self.pipeline.decode(latents, &Uncontrolled).unwrap().rgb;
        let (found, expected) = (frames(found), frames(expected));
        let squares = found.iter().zip(&expected).map(|(&found, &expected)| {
            let difference = f64::from(found) - f64::from(expected);
            difference * difference
        });
        let mean = squares.sum::<f64>() / expected.len() as f64;
        10.0 * (255.0 * 255.0 / mean).log10()
    }
}

/// A cache's state written to a file and read again.
fn through_file(cache: &StepCache) -> Vec<(String, Tensor)> {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("state.safetensors");
    Tensor::write_safetensors(&cache.state(), &path).unwrap();
    Tensor::read_safetensors(&path).unwrap()
}

#[test]
fn threshold_zero_is_bit_for_bit_no_cache() {
    let bench = Bench::new();
    let (expected, found) = (bench.denoise(None, None), bench.denoise(Some(0.0), None));
    assert_eq!(found.latents, expected.latents);
    assert!(found.blocks.iter().all(|&blocks| blocks == BLOCKS));
    assert_eq!(found.blocks, expected.blocks);
}

#[test]
fn a_small_threshold_skips_blocks_and_changes_little() {
    let bench = Bench::new();
    let expected = bench.denoise(None, None).latents;
    for (threshold, least_skipped, least_psnr) in [(0.05, 5, 40.0), (0.1, 8, 36.0)] {
        let Outcome { latents, blocks } = bench.denoise(Some(threshold), None);
        let skipped = blocks.iter().filter(|&&blocks| blocks == 1).count();
        let psnr = bench.frames_psnr(&latents, &expected);
        println!("{threshold}: {skipped} of {STEPS} steps skipped, {psnr:.1} dB");
        assert!(skipped >= least_skipped, "{threshold}: {blocks:?}");
        assert!(psnr >= least_psnr, "{threshold}: {psnr} dB");
        let ends = (blocks.first(), blocks.last());
        assert_eq!(ends, (Some(&BLOCKS), Some(&BLOCKS)), "{threshold}");
    }
}

#[test]
fn a_saved_cache_continues_exactly() {
    let bench = Bench::new();
    let expected = bench.denoise(Some(0.1), None);
    for stop in (0..STEPS).step_by(3) {
        let found = bench.denoise(Some(0.1), Some(stop));
        assert_eq!(found.latents, expected.latents, "after {stop}");
        assert_eq!(found.blocks, expected.blocks, "after {stop}");
    }
}
