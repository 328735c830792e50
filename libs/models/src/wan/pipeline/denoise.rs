//! The loop of a generation around its steps: progress, checkpoints, previews.

use tch::Tensor;

use super::checkpoint;
use super::{WanPipeline, report, stoppable};
use crate::error::GenerateError;
use crate::request::{Control, Stage};
use crate::sampler::SamplerState;
use crate::wan::{DenoisePlan, DenoiseState, Denoising};

/// What is left when all steps are done.
pub(super) struct Denoised {
    /// `[1, c, f, h, w]`, to be decoded
    pub(super) latents: Tensor,
    /// To go on from, if the rest is cut off.
    pub(super) state: DenoiseState,
}

impl WanPipeline {
    pub(super) fn denoise_steps(
        &self,
        plan: &DenoisePlan<'_>,
        noise: &Tensor,
        start: Option<DenoiseState>,
        fingerprint: &str,
        control: &mut dyn Control,
    ) -> Result<Denoised, GenerateError> {
        let transformer = self.transformer.enter()?;
        let mut denoising = Denoising::begin(&transformer, *plan, noise, start)?;
        let steps = plan.steps;
        report(control, Stage::Denoising, denoising.finished_steps(), steps);
        loop {
            match stoppable(control, |stop| denoising.step(stop)) {
                Ok(true) => {}
                Ok(false) => {
                    return Ok(Denoised {
                        latents: denoising.latents(),
                        state: finished(denoising.state()),
                    });
                }
                Err(GenerateError::Paused) if denoising.finished_steps() > 0 => {
                    hand_over(&denoising.state(), steps, fingerprint, control)?;
                    return Err(GenerateError::Paused);
                }
                Err(error) => return Err(error),
            }
            let step = denoising.finished_steps();
            // Reading the answer waits for the device: progress is what it has finished.
            if !all_finite(&denoising.latents())? {
                return Err(GenerateError::NotFinite { step });
            }
            report(control, Stage::Denoising, step, steps);
            if control.wants_checkpoint() {
                hand_over(&denoising.state(), steps, fingerprint, control)?;
            }
            if step < steps && control.wants_preview() {
                self.show(&denoising.latents(), control);
            }
        }
    }
}

/// Gives a checkpoint to the control, unless it is too large to be one.
pub(super) fn hand_over(
    state: &DenoiseState,
    steps: u32,
    fingerprint: &str,
    control: &mut dyn Control,
) -> Result<(), GenerateError> {
    if let Some(checkpoint) = checkpoint::write(state, steps, fingerprint)? {
        control.checkpoint(checkpoint);
    }
    Ok(())
}

/// The state after the last step: nothing but the latents and the step is needed from here on.
fn finished(state: DenoiseState) -> DenoiseState {
    let solver = SamplerState {
        tensors: Vec::new(),
        ..state.solver
    };
    DenoiseState {
        solver,
        caches: Vec::new(),
        ..state
    }
}

fn all_finite(latents: &Tensor) -> Result<bool, GenerateError> {
    Ok(bool::try_from(latents.f_isfinite()?.f_all()?)?)
}
