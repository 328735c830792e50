//! Configuration of the noise schedule.

use serde::Deserialize;

use super::{Checked, within};

/// What the sampler needs to know of `scheduler_config.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct SchedulerConfig {
    /// Timestep of pure noise.
    #[serde(default = "default_train_timesteps")]
    pub num_train_timesteps: u32,
    /// How far the grid leans towards high noise; 1 is even. Called `shift` by Euler schedulers.
    #[serde(alias = "shift")]
    pub flow_shift: f64,
    /// Must be `flow_prediction` where present.
    pub prediction_type: Option<String>,
}

/// How far the noise levels lean when nothing says otherwise (`sample_shift` of the native programs).
const PUBLISHED_SHIFT: f64 = 5.0;

impl SchedulerConfig {
    /// What the native programs take where no file says anything.
    #[must_use]
    pub fn published() -> Self {
        Self {
            num_train_timesteps: default_train_timesteps(),
            flow_shift: PUBLISHED_SHIFT,
            prediction_type: None,
        }
    }
}

impl Checked for SchedulerConfig {
    fn check(&self) -> Result<(), String> {
        within(
            "num_train_timesteps",
            self.num_train_timesteps,
            1..=1_000_000,
        )?;
        within("flow_shift", self.flow_shift, 0.01..=1000.0)?;
        match self.prediction_type.as_deref() {
            None | Some("flow_prediction") => Ok(()),
            Some(other) => Err(format!(
                "prediction_type is {other}, must be flow_prediction"
            )),
        }
    }
}

fn default_train_timesteps() -> u32 {
    1000
}
