//! Applies solver coefficients to latents.

use tch::Tensor;

use super::coefficients::Interval;
use super::{Sampler, Schedule};

/// A running solver. It is fed the network's velocity once per step.
#[derive(Debug)]
pub struct Stepper {
    sampler: Sampler,
    schedule: Schedule,
    step: usize,
    history: Option<History>,
}

/// What UniPC and DPM-Solver++ remember between steps.
#[derive(Debug)]
struct History {
    /// The sample the last step started from, after its correction.
    sample: Tensor,
    /// The prediction of x0 made there.
    latest: Tensor,
    /// The prediction of x0 one step earlier, if there was one.
    older: Option<Tensor>,
    /// The order of the last step.
    order: usize,
}

/// Everything needed to continue a run later, besides the latents.
#[derive(Debug)]
pub struct SamplerState {
    /// Finished steps.
    pub step: usize,
    /// The order of the last step; 0 before the first one and for Euler.
    pub order: usize,
    /// Named tensors of the solver's history, in 32-bit floats.
    pub tensors: Vec<(&'static str, Tensor)>,
}

/// Names that the tensors of a [`SamplerState`] can have.
pub const SOLVER_TENSORS: [&str; 3] = [SAMPLE, LATEST, OLDER];

const SAMPLE: &str = "sample";
const LATEST: &str = "latest";
const OLDER: &str = "older";

impl Stepper {
    /// A solver at the first step of `schedule`.
    #[must_use]
    pub fn new(sampler: Sampler, schedule: Schedule) -> Self {
        Self {
            sampler,
            schedule,
            step: 0,
            history: None,
        }
    }

    /// A solver that continues from a saved state.
    #[must_use]
    pub fn resume(sampler: Sampler, schedule: Schedule, state: SamplerState) -> Self {
        let SamplerState {
            step,
            order,
            tensors,
        } = state;
        let (mut sample, mut latest, mut older) = (None, None, None);
        for (name, tensor) in tensors {
            match name {
                SAMPLE => sample = Some(tensor),
                LATEST => latest = Some(tensor),
                _ => older = Some(tensor),
            }
        }
        let history = match (sample, latest) {
            (Some(sample), Some(latest)) => Some(History {
                sample,
                latest,
                older,
                order,
            }),
            _ => None,
        };
        Self {
            sampler,
            schedule,
            step,
            history,
        }
    }

    /// The state to save for [`Stepper::resume`].
    #[must_use]
    pub fn state(&self) -> SamplerState {
        let mut tensors = Vec::new();
        if let Some(history) = &self.history {
            tensors.push((SAMPLE, history.sample.copy()));
            tensors.push((LATEST, history.latest.copy()));
            tensors.extend(history.older.as_ref().map(|older| (OLDER, older.copy())));
        }
        let order = self.history.as_ref().map_or(0, |history| history.order);
        SamplerState {
            step: self.step,
            order,
            tensors,
        }
    }

    /// The network's time input for the next step; `None` when the run is finished.
    #[must_use]
    pub fn timestep(&self) -> Option<f64> {
        self.schedule.timesteps.get(self.step).copied()
    }

    /// Finished steps.
    #[must_use]
    pub fn finished_steps(&self) -> usize {
        self.step
    }

    /// Takes one step; must not be called on a finished run.
    ///
    /// # Shapes
    /// velocity and latents alike, 32-bit floats; the result is the latents at the next level
    pub fn step(&mut self, velocity: &Tensor, latents: &Tensor) -> Tensor {
        let next = match self.sampler {
            Sampler::Euler => {
                let change = self.schedule.sigmas[self.step + 1] - self.schedule.sigmas[self.step];
                latents + velocity * change
            }
            Sampler::UniPc => self.unipc_step(velocity, latents),
            Sampler::DpmPp => self.dpmpp_step(velocity, latents),
        };
        self.step += 1;
        next
    }

    fn unipc_step(&mut self, velocity: &Tensor, latents: &Tensor) -> Tensor {
        let x0 = latents - velocity * self.schedule.sigmas[self.step];
        match self.history.take() {
            Some(last) => {
                let corrected = self.correct(&last, &x0);
                self.predict(corrected, x0, Some(last.latest))
            }
            None => self.predict(latents.shallow_clone(), x0, None),
        }
    }

    /// UniPC without its correction.
    fn dpmpp_step(&mut self, velocity: &Tensor, latents: &Tensor) -> Tensor {
        let x0 = latents - velocity * self.schedule.sigmas[self.step];
        let older = self.history.take().map(|last| last.latest);
        self.predict(latents.shallow_clone(), x0, older)
    }

    /// The sample at the next level; remembers what it was made from.
    fn predict(&mut self, sample: Tensor, x0: Tensor, older: Option<Tensor>) -> Tensor {
        let is_last = self.step + 1 == self.schedule.steps();
        let order = if is_last || older.is_none() { 1 } else { 2 };
        let step = self.interval(self.step, order).predictor();
        let mut next = &sample * step.sample + &x0 * step.latest;
        if let (2, Some(older)) = (order, &older) {
            next += (older - &x0) * step.difference;
        }
        self.history = Some(History {
            sample,
            latest: x0,
            older,
            order,
        });
        next
    }

    /// Replaces the sample that the last step arrived at, now that the network has seen it.
    fn correct(&self, last: &History, x0: &Tensor) -> Tensor {
        let step = self.interval(self.step - 1, last.order).corrector();
        let mut corrected = &last.sample * step.sample + &last.latest * step.latest;
        if let (2, Some(older)) = (last.order, &last.older) {
            corrected += (older - &last.latest) * step.difference;
        }
        corrected + (x0 - &last.latest) * step.arrival
    }

    fn interval(&self, step: usize, order: usize) -> Interval {
        let sigmas = &self.schedule.sigmas;
        let before = (order == 2).then(|| sigmas[step - 1]);
        Interval {
            before,
            from: sigmas[step],
            to: sigmas[step + 1],
        }
    }
}
