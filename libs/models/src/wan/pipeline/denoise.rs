//! The loop of a generation around its steps: progress, checkpoints, previews.

use tch::Tensor;

use super::checkpoint;
use super::{WanPipeline, report, stopped, wants_stop};
use crate::error::GenerateError;
use crate::request::{Control, Signal, Stage};
use crate::wan::{DenoisePlan, DenoiseState, Denoising};

impl WanPipeline {
    pub(super) fn denoise_steps(
        &self,
        plan: &DenoisePlan<'_>,
        noise: &Tensor,
        start: Option<DenoiseState>,
        fingerprint: &str,
        control: &mut dyn Control,
    ) -> Result<Tensor, GenerateError> {
        let mut denoising = Denoising::begin(&self.transformer, *plan, noise, start)?;
        let steps = plan.steps;
        report(control, Stage::Denoising, denoising.finished_steps(), steps);
        loop {
            match denoising.step(&|| wants_stop(control)) {
                Ok(true) => {}
                Ok(false) => return Ok(denoising.latents()),
                Err(_) => {
                    hand_over(&denoising, steps, fingerprint, control)?;
                    return Err(stopped(control));
                }
            }
            let step = denoising.finished_steps();
            // Reading the answer waits for the device: progress is what it has finished.
            if !all_finite(&denoising.latents())? {
                return Err(GenerateError::NotFinite { step });
            }
            report(control, Stage::Denoising, step, steps);
            if control.wants_checkpoint() {
                control.checkpoint(checkpoint::write(&denoising.state(), steps, fingerprint)?);
            }
            if step < steps && control.wants_preview() {
                control.preview(self.preview_of(&denoising.latents())?);
            }
        }
    }
}

/// Gives the state of the last finished step to a control that pauses the generation.
fn hand_over(
    denoising: &Denoising<'_>,
    steps: u32,
    fingerprint: &str,
    control: &mut dyn Control,
) -> Result<(), GenerateError> {
    if control.signal() == Signal::Pause && denoising.finished_steps() > 0 {
        control.checkpoint(checkpoint::write(&denoising.state(), steps, fingerprint)?);
    }
    Ok(())
}

fn all_finite(latents: &Tensor) -> Result<bool, GenerateError> {
    Ok(bool::try_from(latents.f_isfinite()?.f_all()?)?)
}
