//! The sampling loop: guidance around the network, the solver around guidance.

use tch::Tensor;

use super::{WanPipeline, report};
use crate::error::GenerateError;
use crate::request::{Control, Stage};
use crate::sampler::{Sampler, Schedule, SigmaGrid, Stepper};
use crate::wan::{CancelCheck, Cancelled, Conditioning, WanTransformer};

/// How to get from noise to latents.
#[derive(Clone, Copy, Debug)]
pub struct DenoisePlan<'a> {
    /// Embeddings of the prompt, `[s, c]`.
    pub prompt: &'a Tensor,
    /// Embeddings of the negative prompt, `[s, c]`; ignored when `guidance` is 1 or less.
    pub negative: Option<&'a Tensor>,
    /// Guidance scale.
    pub guidance: f64,
    /// Number of steps.
    pub steps: u32,
    /// The solver.
    pub sampler: Sampler,
    /// The noise levels.
    pub grid: SigmaGrid,
}

/// Predicts guided velocities of one clip.
struct Guide<'a> {
    transformer: &'a WanTransformer,
    /// One pair, or one per prompt: with the prompt, then with the negative prompt.
    conditionings: Vec<Conditioning>,
    guidance: f64,
}

impl WanPipeline {
    pub(super) fn denoise_steps(
        &self,
        plan: &DenoisePlan<'_>,
        noise: &Tensor,
        max_paired_tokens: i64,
        control: &mut dyn Control,
    ) -> Result<Tensor, GenerateError> {
        report(control, Stage::Denoising, 0, plan.steps);
        let scheduler = &self.config.scheduler;
        let (shift, train_timesteps) = (scheduler.flow_shift, scheduler.num_train_timesteps);
        let schedule = Schedule::new(plan.grid, plan.steps, shift, train_timesteps);
        let mut stepper = Stepper::new(plan.sampler, schedule);
        let transformer = self.transformer.enter()?;
        let guide = Guide::new(&transformer, plan, noise, max_paired_tokens)?;
        let mut latents = noise.shallow_clone();
        for step in 1..=plan.steps {
            let Some(timestep) = stepper.timestep() else {
                break;
            };
            let velocity = guide.velocity(&latents, timestep, &|| control.is_cancelled())?;
            latents = stepper.step(&velocity, &latents);
            self.synchronize();
            report(control, Stage::Denoising, step, plan.steps);
        }
        Ok(latents)
    }
}

impl<'a> Guide<'a> {
    fn new(
        transformer: &'a WanTransformer,
        plan: &DenoisePlan<'_>,
        noise: &Tensor,
        max_paired_tokens: i64,
    ) -> Result<Self, GenerateError> {
        let size = noise.size();
        let latent_size = [size[2], size[3], size[4]];
        let negative = plan.negative.filter(|_| plan.guidance > 1.0);
        let prompts: Vec<&Tensor> = std::iter::once(plan.prompt).chain(negative).collect();
        let is_small = transformer.tokens(latent_size) <= max_paired_tokens;
        let batch = if is_small { prompts.len() } else { 1 };
        let mut conditionings = Vec::new();
        for prompts in prompts.chunks(batch) {
            conditionings.push(transformer.condition(prompts, latent_size)?);
        }
        let guidance = plan.guidance;
        Ok(Self {
            transformer,
            conditionings,
            guidance,
        })
    }

    /// `[1, c, f, h, w]` to the same
    fn velocity(
        &self,
        latents: &Tensor,
        timestep: f64,
        is_cancelled: CancelCheck<'_>,
    ) -> Result<Tensor, Cancelled> {
        let mut velocities = Vec::new();
        for conditioning in &self.conditionings {
            let velocity =
                self.transformer
                    .forward(latents, timestep, conditioning, is_cancelled)?;
            velocities.extend(velocity.split(1, 0));
        }
        match velocities.as_slice() {
            [prompted, unprompted] => Ok(unprompted + (prompted - unprompted) * self.guidance),
            _ => Ok(velocities.swap_remove(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{LoadOptions, Uncontrolled};

    /// Guided velocities of a small clip, in batches as the token limit allows.
    fn velocity(pipeline: &mut WanPipeline, max_paired_tokens: i64) -> (usize, Tensor) {
        let prompt = pipeline.encode_prompt("a red circle").unwrap();
        let negative = pipeline.encode_prompt("blurry dark white square").unwrap();
        let noise = pipeline.initial_noise(32, 32, 9, 3).unwrap();
        let plan = DenoisePlan {
            prompt: &prompt,
            negative: Some(&negative),
            guidance: 4.0,
            steps: 1,
            sampler: Sampler::Euler,
            grid: SigmaGrid::Native,
        };
        let transformer = pipeline.transformer.enter().unwrap();
        let guide = Guide::new(&transformer, &plan, &noise, max_paired_tokens).unwrap();
        let velocity = guide.velocity(&noise, 700.0, &|| Uncontrolled.is_cancelled());
        (guide.conditionings.len(), velocity.unwrap())
    }

    #[test]
    fn a_batch_of_two_equals_two_singles() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = root.join("tests/goldens/pipeline");
        let mut pipeline = WanPipeline::load(&folder, &LoadOptions::default()).unwrap();
        let (pairs, paired) = velocity(&mut pipeline, i64::MAX);
        let (singles, single) = velocity(&mut pipeline, 0);
        assert_eq!((pairs, singles), (1, 2));
        assert!(paired.allclose(&single, 1e-4, 1e-5, false));
    }
}
