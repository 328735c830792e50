//! From noise to latents: guidance around the network, the solver around guidance.

use tch::Tensor;

use super::{CancelCheck, Cancelled, Conditioning, StepCache, Timestep, WanTransformer};
use crate::error::GenerateError;
use crate::memory::MAX_PAIRED_TOKENS;
use crate::sampler::{Sampler, SamplerState, Schedule, SigmaGrid, Stepper};

/// What a network is given of the pictures that a clip begins or ends with.
#[derive(Debug)]
pub enum GivenFrames {
    /// Channels beside the noise, and what the image encoder sees in the pictures.
    Channels {
        /// `[1, 4 + c, f, h, w]`: which frames are given, then the latents of the clip with gray
        /// wherever none is given.
        channels: Tensor,
        /// `[tokens, width]`; none for networks without an image branch.
        tokens: Option<Tensor>,
    },
    /// Latents of the first frame, `[1, c, 1, h, w]`, which stand in the place of its noise.
    First(Tensor),
}

impl GivenFrames {
    /// Latents `[1, c, f, h, w]` behind a mask that is 1 where a frame is given: for each latent frame
    /// one channel per frame it stands for, which are `stride`.
    ///
    /// # Shapes
    /// result `[1, stride + c, f, h, w]`
    ///
    /// # Errors
    /// libtorch could not allocate it.
    pub fn with_mask(
        latents: &Tensor,
        stride: i64,
        has_last: bool,
    ) -> Result<Tensor, tch::TchError> {
        let (_, _, frames, height, width) = latents.size5()?;
        let shape = [1, stride, frames, height, width];
        let mask = Tensor::f_zeros(shape, (latents.kind(), latents.device()))?;
        let _ = mask.f_narrow(2, 0, 1)?.f_fill_(1.0)?;
        if has_last {
            // The last of the frames that the last latent frame stands for.
            let last = mask.f_narrow(2, frames - 1, 1)?;
            let _ = last.f_narrow(1, stride - 1, 1)?.f_fill_(1.0)?;
        }
        Tensor::f_cat(&[&mask, latents], 1)
    }
}

/// How to get from noise to latents.
#[derive(Clone, Copy, Debug)]
pub struct DenoisePlan<'a> {
    /// Embeddings of the prompt, `[s, c]`.
    pub prompt: &'a Tensor,
    /// Embeddings of the negative prompt, `[s, c]`; ignored when `guidance` is 1 or less.
    pub negative: Option<&'a Tensor>,
    /// Frames that are given, for the networks that take some.
    pub given: Option<&'a GivenFrames>,
    /// Guidance scale.
    pub guidance: f64,
    /// Number of steps.
    pub steps: u32,
    /// The solver.
    pub sampler: Sampler,
    /// The noise levels.
    pub grid: SigmaGrid,
    /// How far the noise levels lean towards high noise; 1 is even.
    pub shift: f64,
    /// Timestep of pure noise.
    pub train_timesteps: u32,
    /// Threshold of the step cache; 0 is off.
    pub step_cache: f64,
    /// Whether both prompts may go through the network at once, which up to [`MAX_PAIRED_TOKENS`]
    /// tokens is faster and takes more memory.
    pub pairs: bool,
}

/// The state between two steps.
#[derive(Debug)]
pub struct DenoiseState {
    /// `[1, c, f, h, w]`
    pub latents: Tensor,
    /// The solver's.
    pub solver: SamplerState,
    /// The step caches', by name.
    pub caches: Vec<(String, Tensor)>,
}

/// A clip on its way from noise to latents.
#[derive(Debug)]
pub struct Denoising<'a> {
    transformer: &'a WanTransformer,
    plan: DenoisePlan<'a>,
    stepper: Stepper,
    latents: Tensor,
    /// One pair, or one per prompt: with the prompt, then with the negative prompt.
    branches: Vec<Branch>,
}

/// One pass through the network per step.
#[derive(Debug)]
struct Branch {
    conditioning: Conditioning,
    cache: Option<StepCache>,
}

impl<'a> Denoising<'a> {
    /// Begins with noise, `[1, c, f, h, w]` in 32-bit floats, or goes on from a state.
    ///
    /// # Errors
    /// The network wants an image and there is none, or the device is out of memory.
    pub fn begin(
        transformer: &'a WanTransformer,
        plan: DenoisePlan<'a>,
        noise: &Tensor,
        state: Option<DenoiseState>,
    ) -> Result<Self, GenerateError> {
        let schedule = Schedule::new(plan.grid, plan.steps, plan.shift, plan.train_timesteps);
        let caches = state.as_ref().map_or(&[][..], |state| &state.caches);
        let branches = branches(transformer, &plan, noise, caches)?;
        let (stepper, latents) = match state {
            Some(state) => (
                Stepper::resume(plan.sampler, schedule, state.solver),
                state.latents,
            ),
            None => (Stepper::new(plan.sampler, schedule), noise.shallow_clone()),
        };
        Ok(Self {
            transformer,
            plan,
            stepper,
            latents,
            branches,
        })
    }

    /// Takes one step; false when there was none left to take. After a cancel the state is that of
    /// the last finished step.
    ///
    /// # Errors
    /// [`Cancelled`], polled between the blocks of the network.
    pub fn step(&mut self, is_cancelled: CancelCheck<'_>) -> Result<bool, Cancelled> {
        let Some(timestep) = self.stepper.timestep() else {
            return Ok(false);
        };
        let velocity = self.velocity(timestep, is_cancelled)?;
        self.latents = self.stepper.step(&velocity, &self.latents);
        Ok(true)
    }

    /// Finished steps.
    #[must_use]
    pub fn finished_steps(&self) -> u32 {
        u32::try_from(self.stepper.finished_steps()).unwrap_or(u32::MAX)
    }

    /// The latents as they are, `[1, c, f, h, w]`, a given first frame in its place.
    pub fn latents(&self) -> Tensor {
        match self.plan.given {
            Some(GivenFrames::First(first)) => with_first_frame(&self.latents, first),
            Some(GivenFrames::Channels { .. }) | None => self.latents.shallow_clone(),
        }
    }

    /// Everything needed to go on from here in another process.
    #[must_use]
    pub fn state(&self) -> DenoiseState {
        let mut caches = Vec::new();
        for (index, branch) in self.branches.iter().enumerate() {
            let tensors = branch.cache.as_ref().map(StepCache::state);
            for (name, tensor) in tensors.unwrap_or_default() {
                caches.push((format!("{index}.{name}"), tensor));
            }
        }
        DenoiseState {
            latents: self.latents.shallow_clone(),
            solver: self.stepper.state(),
            caches,
        }
    }

    /// `[1, c, f, h, w]`
    fn velocity(
        &mut self,
        timestep: f64,
        is_cancelled: CancelCheck<'_>,
    ) -> Result<Tensor, Cancelled> {
        let (input, timestep) = match self.plan.given {
            None => (self.latents.shallow_clone(), Timestep::Uniform(timestep)),
            Some(GivenFrames::Channels { channels, .. }) => (
                Tensor::cat(&[&self.latents, channels], 1),
                Timestep::Uniform(timestep),
            ),
            Some(GivenFrames::First(first)) => (
                with_first_frame(&self.latents, first),
                Timestep::CleanFirstFrame(timestep),
            ),
        };
        let mut velocities = Vec::new();
        for branch in &mut self.branches {
            let cache = branch.cache.as_mut();
            let velocity = self.transformer.forward(
                &input,
                timestep,
                &branch.conditioning,
                cache,
                is_cancelled,
            )?;
            velocities.extend(velocity.split(1, 0));
        }
        match velocities.as_slice() {
            [prompted, unprompted] => Ok(unprompted + (prompted - unprompted) * self.plan.guidance),
            _ => Ok(velocities.swap_remove(0)),
        }
    }
}

fn branches(
    transformer: &WanTransformer,
    plan: &DenoisePlan<'_>,
    noise: &Tensor,
    caches: &[(String, Tensor)],
) -> Result<Vec<Branch>, GenerateError> {
    let size = noise.size();
    let latent_size = [size[2], size[3], size[4]];
    let negative = plan.negative.filter(|_| plan.guidance > 1.0);
    let prompts: Vec<&Tensor> = std::iter::once(plan.prompt).chain(negative).collect();
    let is_small = transformer.tokens(latent_size) <= MAX_PAIRED_TOKENS;
    let batch = if plan.pairs && is_small {
        prompts.len()
    } else {
        1
    };
    let image = match plan.given {
        Some(GivenFrames::Channels { tokens, .. }) => tokens.as_ref(),
        Some(GivenFrames::First(_)) | None => None,
    };
    let mut branches = Vec::new();
    for (index, prompts) in prompts.chunks(batch).enumerate() {
        branches.push(Branch {
            conditioning: transformer.condition(prompts, image, latent_size)?,
            cache: step_cache(plan, index, caches)?,
        });
    }
    Ok(branches)
}

/// The step cache of a branch, with what it remembered if there is a state.
fn step_cache(
    plan: &DenoisePlan<'_>,
    branch: usize,
    caches: &[(String, Tensor)],
) -> Result<Option<StepCache>, tch::TchError> {
    if plan.step_cache <= 0.0 {
        return Ok(None);
    }
    let prefix = format!("{branch}.");
    let own: Vec<(String, Tensor)> = caches
        .iter()
        .filter_map(|(name, tensor)| {
            let name = name.strip_prefix(&prefix)?;
            Some((name.to_owned(), tensor.shallow_clone()))
        })
        .collect();
    let steps = usize::try_from(plan.steps).unwrap_or(usize::MAX);
    StepCache::resume(plan.step_cache, steps, &own).map(Some)
}

/// Latents whose first frame is the given one.
fn with_first_frame(latents: &Tensor, first: &Tensor) -> Tensor {
    let frames = latents.size()[2];
    let rest = latents.narrow(2, 1, frames - 1);
    Tensor::cat(&[first, &rest], 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::LoadOptions;
    use crate::wan::WanPipeline;

    const STEPS: u32 = 6;

    /// Six steps of a small clip of the trained model.
    struct Case {
        pipeline: WanPipeline,
        prompt: Tensor,
        negative: Tensor,
        noise: Tensor,
    }

    impl Case {
        fn new() -> Self {
            let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
            let folder = root.join("../../models/kinora-tiny-t2v");
            let mut pipeline = WanPipeline::load(&folder, &LoadOptions::default()).unwrap();
            Self {
                prompt: pipeline.encode_prompt("a red circle moves right").unwrap(),
                negative: pipeline.encode_prompt("a blue star").unwrap(),
                noise: pipeline.initial_noise(32, 32, 9, 3).unwrap(),
                pipeline,
            }
        }

        fn plan(&self, pairs: bool, step_cache: f64) -> DenoisePlan<'_> {
            DenoisePlan {
                prompt: &self.prompt,
                negative: Some(&self.negative),
                given: None,
                guidance: 4.0,
                steps: STEPS,
                sampler: Sampler::UniPc,
                grid: SigmaGrid::Native,
                shift: 3.0,
                train_timesteps: 1000,
                step_cache,
                pairs,
            }
        }

        /// Passes a step, and the latents after one step.
        fn one_step(&self, pairs: bool) -> (usize, Tensor) {
            let transformer = self.pipeline.transformer().enter().unwrap();
            let plan = self.plan(pairs, 0.0);
            let mut denoising = Denoising::begin(&transformer, plan, &self.noise, None).unwrap();
            assert_eq!(denoising.step(&|| false), Ok(true));
            (denoising.branches.len(), denoising.latents())
        }

        /// The latents at the end; before step `stop` the run goes through its state.
        fn all_steps(&self, plan: DenoisePlan<'_>, stop: Option<u32>) -> Tensor {
            let transformer = self.pipeline.transformer().enter().unwrap();
            let mut denoising = Denoising::begin(&transformer, plan, &self.noise, None).unwrap();
            for step in 0..STEPS {
                if stop == Some(step) {
                    let state = Some(denoising.state());
                    denoising = Denoising::begin(&transformer, plan, &self.noise, state).unwrap();
                }
                assert_eq!(denoising.step(&|| false), Ok(true));
            }
            assert_eq!(denoising.step(&|| false), Ok(false));
            denoising.latents()
        }
    }

    #[test]
    fn a_batch_of_two_equals_two_singles() {
        let case = Case::new();
        let (pairs, paired) = case.one_step(true);
        let (singles, single) = case.one_step(false);
        assert_eq!((pairs, singles), (1, 2));
        assert!(paired.allclose(&single, 1e-4, 1e-5, false));
    }

    #[test]
    fn a_run_goes_on_from_its_state_to_the_same_latents() {
        let case = Case::new();
        for pairs in [true, false] {
            for step_cache in [0.0, 0.3] {
                let plan = case.plan(pairs, step_cache);
                let expected = case.all_steps(plan, None);
                for stop in 0..STEPS {
                    let found = case.all_steps(plan, Some(stop));
                    assert_eq!(found, expected, "{pairs} {step_cache} {stop}");
                }
            }
        }
    }
}
